/** What goes over the wire when writes carry a key, and what commands do when nobody answers. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { kvorum, type Finished } from './cli.ts';
import { FakeNode, json, problem } from './fake-node.ts';

/** Port 1 of loopback: nothing listens there. */
const NOBODY = 'http://127.0.0.1:1';

let node: FakeNode;
beforeEach(async () => {
  node = await FakeNode.start();
});
afterEach(async () => {
  await node.close();
});

async function run(args: readonly string[], stdin?: string): Promise<Finished> {
  return await kvorum([...args, '--endpoints', node.url], stdin === undefined ? {} : { stdin });
}

describe('--once', () => {
  test('put and del carry the key, and put its lease', async () => {
    expect((await run(['put', 'a', '1', '--once', 'order 7', '--lease', '41'])).code).toBe(0);
    expect((await run(['del', 'a', '--once', 'order 8'])).code).toBe(0);
    expect((await run(['put', 'a', '1'])).code).toBe(0);
    expect(node.seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['order 7', 'order 8', undefined]);
    expect(node.seen[0]?.query.get('lease')).toBe('41');
  });

  test('with it a write that broke off is sent to the next node; without it, it is not', async () => {
    const other = await FakeNode.start();
    try {
      node.failure = (_, response) => {
        response.destroy();
        return true;
      };
      const both = `${node.url},${other.url}`;
      const with_ = await kvorum(['put', 'a', '1', '--once', 'k', '--endpoints', both]);
      expect([with_.code, with_.stdout]).toEqual([0, 'revision 2 (created)\n']);
      expect(other.seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['k']);
      const without = await kvorum(['put', 'a', '1', '--endpoints', both, '-o', 'json']);
      expect([without.code, JSON.parse(without.stderr)]).toEqual([5, expect.objectContaining({ outcome: 'unknown' })]);
      expect(other.seen).toHaveLength(1);
    } finally {
      await other.close();
    }
  });

  test('when no node answers afterwards, the outcome is unknown: the one that broke off may have done it', async () => {
    node.failure = (_, response) => {
      response.destroy();
      return true;
    };
    for (const endpoints of [`${node.url},${NOBODY}`, `${NOBODY},${node.url}`]) {
      const { code, stderr } = await kvorum(['put', 'a', '1', '--once', 'k', '-o', 'json', '--endpoints', endpoints]);
      expect([code, JSON.parse(stderr)]).toEqual([5, expect.objectContaining({ outcome: 'unknown' })]);
    }
  });

  test('commands that always carry one make up a new one each time', async () => {
    node.failure = (_, response) => {
      json(response, 200, { name: 'n', value: 1 });
      return true;
    };
    for (const more of [[], [], ['--once', 'mine']]) {
      expect((await run(['counter', 'n', '--add', '1', ...more])).code).toBe(0);
    }
    const keys = node.seen.map(({ headers }) => headers['idempotency-key']);
    expect(keys[2]).toBe('mine');
    expect(new Set(keys).size).toBe(3);
    expect(node.seen.map(({ path, body }) => [path, body.toString()])).toEqual(
      keys.map(() => ['/v1/counters/n/add', '{"delta":1}']),
    );
  });
});

describe('exit codes of what a node says', () => {
  test.each([
    ['ERR_LEASE_NOT_FOUND', 410, 3],
    ['ERR_LOCK_HELD', 409, 4],
    ['ERR_IDEMPOTENCY_MISMATCH', 422, 2],
    ['ERR_SESSION_EXPIRED', 410, 5],
    ['ERR_COMPACTED', 410, 1],
    ['ERR_QUOTA', 507, 1],
  ])('%s', async (code, status, exitCode) => {
    node.failure = (_, response) => {
      problem(response, status, code);
      return true;
    };
    expect((await run(['txn', '-'], '{}')).code).toBe(exitCode);
  });
});

test('names are one segment of the path', async () => {
  await run(['lock', '--inspect', 'orders/42 ü?#']);
  await run(['elect', '--inspect', 'a/b']);
  await run(['counter', '-o', 'json', 'a%2Fb']);
  expect(node.seen.map(({ path }) => path)).toEqual([
    '/v1/locks/orders%2F42%20%C3%BC%3F%23',
    '/v1/elections/a%2Fb',
    '/v1/counters/a%252Fb',
  ]);
});

describe('kvorum service', () => {
  test.each([
    [['register', 'a'], /--address is missing/],
    [['register', 'a', '--address', 'h:1', '--check-tcp', '--check-http', '/x'], /not both/],
    [['register', 'a', '--address', 'h:1', '--weight', '0'], /weight/],
    [['register', 'a', '--address', 'h:1', '--metadata', '[1]'], /metadata must be an object/],
    [['register', '..', '--address', 'h:1'], /cannot stand in a path/],
    [['list', '--passing'], /goes with the NAME/],
  ])('what cannot be meant is exit code 2, and nothing is sent: %j', async (args, message) => {
    const { code, stderr } = await run(['service', ...args]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(node.seen).toEqual([]);
  });

  test('list: pages are put together, nobody is exit code 3', async () => {
    node.failure = ({ path, query }, response) => {
      const first = query.get('after') === null;
      const name = first ? 'a' : 'b';
      if (path === '/v1/services') {
        json(response, 200, { services: [{ name, instances: 2, passing: 1 }], next: first ? 'a' : null });
      } else json(response, 200, { name, revision: 7, instances: [] });
      return true;
    };
    expect((await run(['service', 'list'])).stdout).toBe(
      'NAME  INSTANCES  PASSING\na     2          1\nb     2          1\n',
    );
    expect(await run(['service', 'list', 'x', '-o', 'json'])).toMatchObject({ code: 3 });
  });
});

test('names of services and instances are segments of the path, too', async () => {
  await run(['service', 'list', 'a/b']);
  await run(['service', 'deregister', 'a/b', 'c/d']);
  expect(node.seen.map(({ path }) => path)).toEqual(['/v1/services/a%2Fb', '/v1/services/a%2Fb/c%2Fd']);
});

describe('when nobody listens: exit code 5, in time', () => {
  test.each([
    [['watch', 'a']],
    [['txn', '-']],
    [['compact', '1']],
    [['lock', 'a', '--', 'true']],
    [['lock', 'a', '--wait', 'forever', '--', 'true']],
    [['lock', '--list']],
    [['sem', 'a', '--permits', '2', '--', 'true']],
    [['elect', 'a', '--', 'true']],
    [['elect', 'a', '--observe']],
    [['barrier', 'a', '--parties', '2', '--wait', '0']],
    [['counter', 'a', '--add', '1']],
    [['lease', 'grant']],
    [['lease', 'keep', '1']],
    [['service', 'register', 'a', '--address', 'h:1', '--', 'true']],
    [['service', 'list']],
    [['service', 'watch', 'a']],
    [['service', 'deregister', 'a', 'b']],
  ])('%j', async (args) => {
    const { code, stdout, stderr } = await kvorum(args, {
      stdin: '{}',
      env: { KVORUM_TIMEOUT: '300ms', KVORUM_ENDPOINTS: NOBODY },
    });
    expect([code, stdout, stderr]).toEqual([5, '', expect.stringMatching(/^kvorum: ERR_[A-Z_]+: .+\n$/)]);
  });
});
