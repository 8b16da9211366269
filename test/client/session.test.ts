/** Sessions: numbers, the lowest unanswered one, what happens when a session is gone. */
import { describe, expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import { Random } from '../../src/testing/random.ts';
import { failure, settle } from './fake-time.ts';
import type { Asked, FakeTransport } from './fake-transport.ts';
import { fails, gives, never, scene } from './fake-transport.ts';

const PUT = { revision: 7, created: true };

/** Each put waits until it is told what to answer. */
function held(node: FakeTransport): { readonly asked: Asked; readonly answer: (value: unknown) => void }[] {
  const waiting: { asked: Asked; answer: (value: unknown) => void }[] = [];
  node.always(
    'put',
    (asked) =>
      new Promise((resolve, reject) => {
        waiting.push({ asked, answer: (value) => (value instanceof Error ? reject(value) : resolve(value)) });
      }),
  );
  return waiting;
}

function numbers({ once }: Asked): readonly [number, number] {
  if (once === null || !('session' in once)) throw new Error('not numbered');
  return [once.sequence, once.lowestUnanswered];
}

describe('numbers', () => {
  test('one session, opened with the first write, for all writes; none for reads', async () => {
    const { client, node, time } = scene();
    node.always('get', gives({ entry: null }));
    node.always('put', gives(PUT));
    await time.until(client.get('a'));
    expect(node.of('leaseGrant')).toHaveLength(0);
    await time.until(Promise.all([client.put('a', '1'), client.put('b', '1')]));
    await time.until(client.put('c', '1'));
    expect(node.of('leaseGrant').map(({ request, once }) => [request, once])).toEqual([
      [{ ttlMs: 60_000, owner: undefined }, null],
    ]);
    expect(node.of('put').map(numbers)).toEqual([
      [1, 1],
      [2, 1],
      [3, 3],
    ]);
    expect(node.of('get')[0]!.once).toBeNull();
  });

  test('the lowest unanswered number is that of the moment at which it is sent, also of a repetition', async () => {
    const { client, node, time } = scene();
    const waiting = held(node);
    const puts = ['a', 'b', 'c'].map((key) => client.put(key, '1'));
    await settle();
    waiting[1]!.answer(PUT);
    waiting[0]!.answer(new KvorumError('ERR_TIMEOUT', 'late', { outcome: 'unknown' }));
    await time.pass(100);
    waiting[2]!.answer(PUT);
    await settle();
    waiting[3]!.answer(PUT);
    await time.until(Promise.all(puts));
    void client.put('d', '1');
    await settle();
    // 1 was sent twice; 2 and 3 were answered, but 1 was not, until the end.
    expect(node.of('put').map(numbers)).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [1, 1],
      [4, 4],
    ]);
  });

  test('a write that was given up holds nothing back', async () => {
    const { client, node, time } = scene();
    node.next('put', never);
    node.always('put', gives(PUT));
    const stop = new AbortController();
    const lost = client.put('a', '1', { signal: stop.signal });
    await settle();
    await time.until(client.put('b', '1'));
    stop.abort(new Error('enough'));
    await failure(lost);
    await time.until(client.put('c', '1'));
    expect(node.of('put').map(numbers)).toEqual([
      [1, 1],
      [2, 1],
      [3, 3],
    ]);
  });

  test('the key of the caller is sent instead, and false sends neither', async () => {
    const { client, node, time } = scene();
    node.always('put', gives(PUT));
    await time.until(client.put('a', '1', { once: { key: 'mine' } }));
    await time.until(client.put('a', '1', { once: false }));
    expect(node.of('put').map(({ once }) => once)).toEqual([{ key: 'mine' }, null]);
    expect(node.of('leaseGrant')).toHaveLength(0);
  });
});

describe('the window', () => {
  test('writes beyond it wait, in order, and go on when there is room', async () => {
    const { client, node } = scene(1, { sessionWindow: 2 });
    const waiting = held(node);
    for (const key of ['a', 'b', 'c', 'd']) void client.put(key, '1');
    await settle();
    expect(waiting.map(({ asked }) => (asked.request as { key: string }).key)).toEqual(['a', 'b']);
    // The one behind the lowest makes no room: the cluster has to remember from the lowest one on.
    waiting[1]!.answer(PUT);
    await settle();
    expect(waiting).toHaveLength(2);
    waiting[0]!.answer(PUT);
    await settle();
    expect(waiting.map(({ asked }) => numbers(asked))).toEqual([
      [1, 1],
      [2, 1],
      [3, 3],
      [4, 3],
    ]);
  });

  test('whoever waits for room may leave, and has written nothing', async () => {
    const { client, node, time } = scene(1, { sessionWindow: 1 });
    node.always('put', never);
    void client.put('a', '1').catch(() => undefined);
    await settle();
    expect(await failure(time.until(client.put('b', '1', { timeout: '1s' })))).toMatchObject({
      code: 'ERR_TIMEOUT',
      outcome: 'none',
    });
    expect(node.of('put')).toHaveLength(1);
  });

  test('calls that stand in a queue have sessions of their own, and a full one is replaced', async () => {
    const { client, node, time } = scene(1, { sessionWindow: 2 });
    let id = 0;
    node.always('leaseGrant', () => ({ id: String(++id), ttlMs: 60_000 }));
    node.always('lockAcquire', never);
    node.always('put', gives(PUT));
    for (let i = 0; i < 5; i++) void client.lock(`l${i}`, { wait: '30s' }).catch(() => undefined);
    await time.pass(1);
    expect(node.of('lockAcquire').map(({ once }) => once)).toEqual([
      { session: '1', sequence: 1, lowestUnanswered: 1 },
      { session: '1', sequence: 2, lowestUnanswered: 1 },
      { session: '2', sequence: 1, lowestUnanswered: 1 },
      { session: '2', sequence: 2, lowestUnanswered: 1 },
      { session: '3', sequence: 1, lowestUnanswered: 1 },
    ]);
    // And nobody else is held up by them.
    await time.until(client.put('a', '1'), 10);
  });
});

describe('a session that is gone', () => {
  const gone = fails('ERR_SESSION_EXPIRED', 'unknown');

  test('a write that was sent once is sent again under a new one', async () => {
    const { client, node, time } = scene();
    let id = 0;
    node.always('leaseGrant', () => ({ id: String(++id), ttlMs: 60_000 }));
    node.next('put', gone, gives(PUT));
    await expect(time.until(client.put('a', '1'))).resolves.toEqual(PUT);
    expect(node.of('put').map(({ once }) => once)).toEqual([
      { session: '1', sequence: 1, lowestUnanswered: 1 },
      { session: '2', sequence: 1, lowestUnanswered: 1 },
    ]);
  });

  test('a write that may have been made before is not', async () => {
    const { client, node, time } = scene();
    node.next('put', fails('ERR_TIMEOUT', 'unknown'), gone);
    expect(await failure(time.until(client.put('a', '1')))).toMatchObject({
      code: 'ERR_SESSION_EXPIRED',
      outcome: 'unknown',
    });
    expect(node.of('put')).toHaveLength(2);
  });

  test('one that certainly was not is', async () => {
    const { client, node, time } = scene();
    node.next('put', fails('ERR_NO_LEADER', 'none'), gone, gives(PUT));
    await expect(time.until(client.put('a', '1'))).resolves.toEqual(PUT);
  });

  test('again and again: not for ever, and nothing was done', async () => {
    const { client, node, time } = scene();
    node.always('put', gone);
    expect(await failure(time.until(client.put('a', '1')))).toMatchObject({
      code: 'ERR_SESSION_EXPIRED',
      outcome: 'none',
    });
    expect(node.of('put')).toHaveLength(3);
  });

  test('that none can be opened is told without a doubt about the write', async () => {
    const { client, node, time } = scene();
    node.always('leaseGrant', fails('ERR_TIMEOUT', 'unknown'));
    expect(await failure(time.until(client.put('a', '1', { timeout: '60s' })))).toMatchObject({
      code: 'ERR_TIMEOUT',
      outcome: 'none',
    });
    expect(node.of('put')).toHaveLength(0);
  });
});

describe('kept alive', () => {
  async function opened(): Promise<ReturnType<typeof scene>> {
    const made = scene();
    made.node.always('put', gives(PUT));
    await made.time.until(made.client.put('a', '1'));
    return made;
  }
  const sessionsOf = (node: FakeTransport): number => node.of('leaseGrant').length;

  test('at a third of its time to live', async () => {
    const { node, time, client } = await opened();
    await time.pass(60_000);
    expect(node.of('leaseRenew')).toHaveLength(3);
    expect(node.of('leaseRenew')[0]).toMatchObject({ request: '900', at: 21_000 });
    await time.until(client.put('b', '1'));
    expect(sessionsOf(node)).toBe(1);
  });

  test('gone: the next write opens another', async () => {
    const { node, time, client } = await opened();
    node.next('leaseRenew', fails('ERR_LEASE_NOT_FOUND'));
    await time.pass(20_000);
    await time.until(client.put('b', '1'));
    expect(sessionsOf(node)).toBe(2);
  });

  test('after a stall for longer than it lives it is not even tried', async () => {
    const { node, time, client } = await opened();
    time.stall(61_000);
    await time.until(client.put('b', '1'));
    expect(sessionsOf(node)).toBe(2);
  });

  test('given up when nobody writes for long', async () => {
    const { node, time, client } = await opened();
    await time.pass(400_000);
    expect(node.of('leaseRevoke')).toHaveLength(1);
    expect(time.pending).toBe(0);
    await time.until(client.put('b', '1'));
    expect(sessionsOf(node)).toBe(2);
  });
});

/** A counter that keeps to the rules of the cluster, behind a network that does not keep to any. */
class ModelCluster {
  value = 0;
  readonly applied: number[] = [];
  #nextLease = 1;
  readonly #sessions = new Map<string, { mark: number; done: Map<number, number> }>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  grant(): { id: string; ttlMs: number } {
    const id = String(this.#nextLease++);
    this.#sessions.set(id, { mark: 0, done: new Map() });
    return { id, ttlMs: 60_000 };
  }

  /** Somebody revoked it, or a leader counted wrong. */
  forgetSessions(): void {
    this.#sessions.clear();
  }

  add({ once, request }: Asked): { value: number } {
    if (once === null || !('session' in once)) throw new Error('not numbered');
    const session = this.#sessions.get(once.session);
    if (session === undefined) throw new KvorumError('ERR_SESSION_EXPIRED', 'no such session', { outcome: 'unknown' });
    const before = session.done.get(once.sequence);
    if (before !== undefined) return { value: before };
    if (once.sequence < session.mark) {
      throw new KvorumError('ERR_SESSION_EXPIRED', 'forgotten', { outcome: 'unknown' });
    }
    if (session.done.size >= 1024) throw new KvorumError('ERR_OVERLOADED', 'full');
    const { delta } = request as { delta: number };
    this.applied.push(delta);
    this.value += 1;
    session.done.set(once.sequence, this.value);
    session.mark = Math.max(session.mark, once.lowestUnanswered);
    for (const sequence of session.done.keys()) if (sequence < session.mark) session.done.delete(sequence);
    return { value: this.value };
  }

  /** The same with requests that get lost, answers that get lost, and requests that arrive much later. */
  unreliably(asked: Asked, late: (task: () => void) => void): { value: number } | Promise<never> {
    const luck = this.#random.float();
    if (luck < 0.1) throw new KvorumError('ERR_UNAVAILABLE', 'refused');
    if (luck < 0.2) throw new KvorumError('ERR_UNAVAILABLE', 'lost on the way', { outcome: 'unknown' });
    if (luck < 0.3) {
      late(() => {
        try {
          this.add(asked);
        } catch {
          // Nobody hears it.
        }
      });
      throw new KvorumError('ERR_TIMEOUT', 'on its way still', { outcome: 'unknown' });
    }
    const answer = this.add(asked);
    if (luck < 0.45) throw new KvorumError('ERR_UNAVAILABLE', 'the answer got lost', { outcome: 'unknown' });
    return luck < 0.5 ? new Promise<never>(() => undefined) : answer;
  }
}

test('whatever gets lost: acknowledged writes are made once, unknown ones at most once, others never', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Random(seed);
    const cluster = new ModelCluster(random);
    const { client, nodes, time } = scene(3, { sessionWindow: 8 });
    for (const node of nodes) {
      node.always('leaseGrant', () => cluster.grant());
      node.always('counterAdd', (asked) =>
        cluster.unreliably(asked, (task) => time.after(random.between(0, 20_000), task)),
      );
    }
    if (seed % 4 === 0) for (let i = 1; i < 8; i++) time.after(i * 5000, () => cluster.forgetSessions());
    const acknowledged = new Set<number>();
    const unknown = new Set<number>();
    const counter = client.counter('c');
    // `delta` is the name of the write.
    const writes = Array.from({ length: 120 }, async (_, delta) => {
      await new Promise<void>((resolve) => time.after(random.between(0, 30_000), resolve));
      try {
        await counter.add(delta);
        acknowledged.add(delta);
      } catch (error) {
        if ((error as KvorumError).outcome === 'unknown') unknown.add(delta);
      }
    });
    await time.until(Promise.all(writes));
    await time.pass(30_000);
    const counts = new Map<number, number>();
    for (const delta of cluster.applied) counts.set(delta, (counts.get(delta) ?? 0) + 1);
    for (let delta = 0; delta < 120; delta++) {
      const made = counts.get(delta) ?? 0;
      const where = `seed ${seed}, write ${delta}`;
      if (acknowledged.has(delta)) expect(made, where).toBe(1);
      else expect(made, where).toBeLessThanOrEqual(unknown.has(delta) ? 1 : 0);
    }
    expect(acknowledged.size, `seed ${seed}`).toBeGreaterThan(60);
  }
});
