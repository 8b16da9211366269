/** What is sent again, when, where, and what is said about it in the end. */
import { describe, expect, test } from 'vitest';

import type { CallOptions } from '../../src/client/options.ts';
import { KvorumError } from '../../src/errors.ts';
import type { ErrorCode, Outcome } from '../../src/errors.ts';
import { failure } from './fake-time.ts';
import { fails, gives, never, scene } from './fake-transport.ts';

const PUT = { revision: 7, created: true };
const TRANSIENT: readonly ErrorCode[] = [
  'ERR_UNAVAILABLE',
  'ERR_NO_LEADER',
  'ERR_OVERLOADED',
  'ERR_CLOSED',
  'ERR_TIMEOUT',
  'ERR_RATE_LIMITED',
  'ERR_REQUEST_TIMEOUT',
  'ERR_STORE_POISONED',
];
const FINAL: readonly ErrorCode[] = [
  'ERR_INVALID_ARGUMENT',
  'ERR_BAD_KEY',
  'ERR_UNAUTHENTICATED',
  'ERR_FORBIDDEN',
  'ERR_CAS_FAILED',
  'ERR_LEASE_NOT_FOUND',
  'ERR_IDEMPOTENCY_MISMATCH',
  'ERR_TOO_LARGE',
  'ERR_QUOTA',
  'ERR_INTERNAL',
];

describe('the rules, one row an error', () => {
  const keyed: CallOptions = { once: { key: 'mine' } };
  const bare: CallOptions = { once: false };

  for (const outcome of ['none', 'unknown'] as const) {
    for (const code of TRANSIENT) {
      const cases: readonly [string, CallOptions, boolean][] = [
        ['numbered by the session', {}, true],
        ['with a key', keyed, true],
        ['with neither', bare, outcome === 'none'],
      ];
      for (const [how, options, repeated] of cases) {
        test(`${code}, outcome ${outcome}: a write ${how} is ${repeated ? '' : 'not '}sent again`, async () => {
          const { client, node, time } = scene();
          node.next('put', fails(code, outcome), gives(PUT));
          const put = client.put('a', '1', options);
          if (repeated) {
            await expect(time.until(put)).resolves.toEqual(PUT);
            expect(node.of('put')).toHaveLength(2);
          } else {
            expect(await failure(time.until(put))).toMatchObject({ code, outcome });
            expect(node.of('put')).toHaveLength(1);
          }
        });
      }
      test(`${code}, outcome ${outcome}: a read is made again`, async () => {
        const { client, node, time } = scene();
        node.next('get', fails(code, outcome), gives({ entry: null }));
        await expect(time.until(client.get('a'))).resolves.toBeNull();
      });
    }
    for (const code of FINAL) {
      test(`${code}, outcome ${outcome}: is told at once`, async () => {
        const { client, node } = scene(3);
        node.next('put', fails(code, outcome));
        expect(await failure(client.put('a', '1', keyed))).toMatchObject({ code, outcome });
      });
    }
  }
});

describe('what became of a write', () => {
  const rows: readonly [string, ErrorCode, Outcome][] = [
    // Answers that are kept with the key, or that every node gives to the same request.
    ['kept with the key', 'ERR_CAS_FAILED', 'none'],
    ['kept with the key', 'ERR_LEASE_NOT_FOUND', 'none'],
    // Refused at the door now; the attempt before may have got in.
    ['refused at the door', 'ERR_UNAUTHENTICATED', 'unknown'],
    ['refused at the door', 'ERR_QUOTA', 'unknown'],
    ['refused at the door', 'ERR_INTERNAL', 'unknown'],
  ];
  for (const [why, code, outcome] of rows) {
    test(`after an attempt with unknown outcome, ${code} (${why}) has outcome ${outcome}`, async () => {
      const { client, node, time } = scene();
      node.next('put', fails('ERR_TIMEOUT', 'unknown'), fails(code));
      expect(await failure(time.until(client.put('a', '1')))).toMatchObject({ code, outcome });
    });
  }

  test('time over after refusals alone: nothing was done', async () => {
    const { client, node, time } = scene();
    node.always('put', fails('ERR_NO_LEADER'));
    const error = await failure(time.until(client.put('a', '1', { timeout: '2s' })));
    expect(error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
    expect(node.of('put').length).toBeGreaterThan(3);
  });

  test('time over with an unknown outcome on the way: unknown, whatever came last', async () => {
    const { client, node, time } = scene();
    node.next('put', fails('ERR_TIMEOUT', 'unknown'));
    node.always('put', fails('ERR_NO_LEADER'));
    const error = await failure(time.until(client.put('a', '1', { timeout: '2s' })));
    expect(error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'unknown' });
  });

  test('a read has never done anything', async () => {
    const { client, node, time } = scene();
    node.always('get', fails('ERR_TIMEOUT', 'unknown'));
    expect(await failure(time.until(client.get('a', { timeout: '1s' })))).toMatchObject({ outcome: 'none' });
  });

  test('a transport that throws something else may have written', async () => {
    const { client, node } = scene();
    node.next('put', () => {
      throw new TypeError('a bug');
    });
    const error = await failure(client.put('a', '1'));
    expect(error).toMatchObject({ code: 'ERR_INTERNAL', outcome: 'unknown', message: 'a bug' });
  });
});

describe('time', () => {
  test('an endpoint that says nothing is given up after its attempt, and the next is asked', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.always('put', never);
    nodes[1]!.always('put', gives(PUT));
    nodes[1]!.always('leaseGrant', gives({ id: '901', ttlMs: 60_000 }));
    const started = time.now();
    await expect(time.until(client.put('a', '1'))).resolves.toEqual(PUT);
    expect(time.now() - started).toBeGreaterThanOrEqual(3500);
    expect(time.now() - started).toBeLessThan(4000);
    expect(nodes[0]!.of('put')[0]!.attempt.signal.aborted).toBe(true);
  });

  test('each attempt tells the node the same time, because it may be part of the fingerprint', async () => {
    const { client, node, time } = scene();
    node.next('put', fails('ERR_TIMEOUT', 'unknown'), fails('ERR_NO_LEADER'), gives(PUT));
    await time.until(client.put('a', '1', { timeout: '5s' }));
    expect(node.of('put').map(({ timeoutMs }) => timeoutMs)).toEqual([3000, 3000, 3000]);
  });

  test('nodes are told whole milliseconds', async () => {
    const { client, node, time } = scene();
    node.always('get', gives({ entry: null }));
    time.stall(0.25);
    await time.until(client.get('a', { timeout: 1500.75 }));
    node.always('lockAcquire', gives({ name: 'l', token: 1, lease: '5', ttlMs: 1001.5 }));
    node.always('lockRelease', gives({ released: true }));
    const lock = await time.until(client.lock('l'));
    await time.until(lock.release());
    for (const { timeoutMs } of node.asked) expect(Number.isSafeInteger(timeoutMs)).toBe(true);
  });

  test('the waits grow, at random below a bound that doubles, up to 2 s', async () => {
    const { client, node, time } = scene();
    node.always('get', fails('ERR_NO_LEADER'));
    await failure(time.until(client.get('a', { timeout: '60s' })));
    const at = node.of('get').map((asked) => asked.at);
    const waits = at.slice(1).map((each, i) => each - at[i]!);
    waits.forEach((wait, i) => expect(wait).toBeLessThanOrEqual(Math.min(2000, 50 * 2 ** i)));
    expect(Math.max(...waits)).toBeGreaterThan(500);
    expect(new Set(waits).size).toBe(waits.length);
  });

  test('Retry-After is kept to', async () => {
    const { client, node, time } = scene();
    node.next('get', fails('ERR_OVERLOADED', 'none', { retryAfterMs: 3000 }), gives({ entry: null }));
    const started = time.now();
    await time.until(client.get('a'));
    expect(node.of('get')[1]!.at - started).toBeGreaterThanOrEqual(3000);
  });

  test('Retry-After beyond the deadline: no use waiting', async () => {
    const { client, node, time } = scene();
    node.next('get', fails('ERR_OVERLOADED', 'none', { retryAfterMs: 30_000 }));
    const started = time.now();
    expect(await failure(time.until(client.get('a')))).toMatchObject({ code: 'ERR_OVERLOADED' });
    expect(time.now() - started).toBeLessThan(100);
  });

  test('Retry-After is about one endpoint: another is asked meanwhile', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.next('get', fails('ERR_OVERLOADED', 'none', { retryAfterMs: 5000 }));
    nodes[1]!.always('get', gives({ entry: null }));
    const started = time.now();
    await time.until(client.get('a'));
    expect(time.now() - started).toBeLessThan(200);
  });

  test('nothing is left behind: no timer, no listener', async () => {
    const { client, node, time } = scene();
    node.next('get', fails('ERR_NO_LEADER'), gives({ entry: null }));
    await time.until(client.get('a'));
    expect(time.pending).toBe(0);
  });
});

describe('endpoints', () => {
  test('all are tried at once when they cannot be reached', async () => {
    const { client, nodes, time } = scene(3);
    nodes[0]!.always('get', fails('ERR_UNAVAILABLE'));
    nodes[1]!.always('get', fails('ERR_CLOSED'));
    nodes[2]!.always('get', gives({ entry: null }));
    const started = time.now();
    await time.until(client.get('a'));
    expect(time.now()).toBe(started);
    // Whoever answered is asked first from then on.
    await time.until(client.get('b'));
    expect(nodes[2]!.of('get')).toHaveLength(2);
    expect(nodes[0]!.of('get')).toHaveLength(1);
  });

  test('one that failed is asked after the others for a while, then again', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.next('get', fails('ERR_UNAVAILABLE'));
    nodes[0]!.always('get', gives({ entry: null }));
    nodes[1]!.next('get', gives({ entry: null }), fails('ERR_UNAVAILABLE'));
    await time.until(client.get('a'));
    await time.until(client.get('b'));
    expect(nodes.map((node) => node.of('get').length)).toEqual([2, 2]);
  });

  test('a definite answer is an answer: the endpoint is kept', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.always('put', fails('ERR_CAS_FAILED'));
    await failure(time.until(client.put('a', '1', { condition: 'absent' })));
    await failure(time.until(client.put('a', '1', { condition: 'absent' })));
    expect(nodes[1]!.asked).toHaveLength(0);
  });

  test('preferLeader: goes where the leader is', async () => {
    const { client, nodes, time } = scene(3, { preferLeader: true });
    for (const node of nodes) {
      node.always('get', gives({ entry: null }));
      node.always('cluster', gives({ leader: 'two', members: [{ name: 'two', http: 'n2/' }] }));
    }
    await time.until(client.get('a'));
    await time.pass(0);
    await time.until(client.get('a'));
    expect(nodes[1]!.of('get')).toHaveLength(1);
    // Looked at again after a while, not with each call.
    for (let i = 0; i < 20; i++) await time.until(client.get('a'));
    expect(nodes.flatMap((node) => node.of('cluster'))).toHaveLength(1);
    await time.pass(5000);
    await time.until(client.get('a'));
    expect(nodes.flatMap((node) => node.of('cluster'))).toHaveLength(2);
  });
});

describe('signals and closing', () => {
  test('rejects with the reason of the signal, before, during and between attempts', async () => {
    const { client, node, time } = scene();
    const reason = new Error('enough');
    expect(await failure(client.get('a', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(node.asked).toHaveLength(0);

    node.next('get', never);
    const during = new AbortController();
    const first = client.get('a', { signal: during.signal });
    await time.pass(10);
    during.abort(reason);
    expect(await failure(first)).toBe(reason);
    expect(node.of('get')[0]!.attempt.signal.reason).toBe(reason);

    node.next('get', fails('ERR_OVERLOADED', 'none', { retryAfterMs: 5000 }));
    const between = new AbortController();
    const second = client.get('a', { signal: between.signal });
    await time.pass(10);
    between.abort(reason);
    expect(await failure(second)).toBe(reason);
    expect(time.pending).toBe(0);
  });

  test('close rejects what is under way, lets in nothing new, ends the session', async () => {
    const { client, node, time } = scene();
    node.next('put', gives(PUT), never);
    await time.until(client.put('a', '1'));
    node.always('get', never);
    const write = client.put('b', '1');
    const read = client.get('c');
    await time.pass(1);
    const closed = client.close();
    expect(await failure(write)).toMatchObject({ code: 'ERR_CLOSED', outcome: 'unknown' });
    expect(await failure(read)).toMatchObject({ code: 'ERR_CLOSED' });
    await time.until(closed);
    expect(await failure(client.get('d'))).toMatchObject({ code: 'ERR_CLOSED', outcome: 'none' });
    expect(node.of('leaseRevoke').map(({ request }) => request)).toEqual(['900']);
    expect(node.closed).toBe(true);
    expect(time.pending).toBe(0);
    await client.close();
  });

  test('await using', async () => {
    const { node, ...rest } = scene();
    {
      await using client = rest.client;
      node.next('get', gives({ entry: null }));
      await client.get('a');
    }
    expect(node.closed).toBe(true);
  });

  test('ERR_CLOSED of a node is not the end of the client', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.next('get', fails('ERR_CLOSED'));
    nodes[1]!.next('get', gives({ entry: null }));
    await expect(time.until(client.get('a'))).resolves.toBeNull();
  });
});

test('details of the last error are kept, and the number of attempts is told', async () => {
  const { client, node, time } = scene();
  node.next('put', fails('ERR_TIMEOUT', 'unknown'), fails('ERR_TOO_LARGE', 'none', { limit: 7 }));
  const error = await failure(time.until(client.put('a', '1')));
  expect(KvorumError.is(error, 'ERR_TOO_LARGE')).toBe(true);
  expect((error as KvorumError).details).toEqual({ limit: 7 });
  expect((error as KvorumError).message).toContain('attempt 2');
});
