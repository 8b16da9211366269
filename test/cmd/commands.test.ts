/** put, get, del, ls and status against a node that speaks the contract: what goes over the wire, what comes out. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { kvorum, type Finished } from './cli.ts';
import { FakeNode, problem } from './fake-node.ts';

/** Port 1 of loopback: nothing listens there. */
const NOBODY = 'http://127.0.0.1:1';

let node: FakeNode;
beforeEach(async () => {
  node = await FakeNode.start();
});
afterEach(async () => {
  await node.close();
});

async function run(args: readonly string[], stdin?: string | Uint8Array): Promise<Finished> {
  return await kvorum([...args, '--endpoints', node.url], stdin === undefined ? {} : { stdin });
}

function errorOf({ stderr }: Finished): Record<string, unknown> {
  return JSON.parse(stderr) as Record<string, unknown>;
}

describe('put', () => {
  test('a value from the command line', async () => {
    const { code, stdout } = await run(['put', 'hello', 'world']);
    expect([code, stdout]).toEqual([0, 'revision 2 (created)\n']);
    expect(node.store.get('hello')?.value.toString()).toBe('world');
    expect(node.seen[0]?.query.get('timeout')).toBe('4000ms');
  });

  test('-o json gives what the node answered', async () => {
    node.set('hello', 'old');
    const { stdout } = await run(['put', 'hello', 'new', '--prev', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ revision: 3, created: false, prev: { value: 'old', modRevision: 2 } });
  });

  test('standard input byte for byte, with - and without VALUE', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    for (const args of [
      ['put', 'a'],
      ['put', 'a', '-'],
    ]) {
      const { code } = await run(args, bytes);
      expect(code).toBe(0);
      expect(Uint8Array.from(node.store.get('a')?.value ?? [])).toEqual(bytes);
    }
  });

  test('an empty value is a value', async () => {
    expect((await run(['put', 'a', ''])).code).toBe(0);
    expect(node.store.get('a')?.value.length).toBe(0);
  });

  test('a file, with its media type', async () => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-cli-'));
    try {
      const file = path.join(directory, 'value');
      await writeFile(file, '{"a":1}');
      expect((await run(['put', 'a', '--file', file, '--content-type', 'application/json'])).code).toBe(0);
      expect(node.store.get('a')).toMatchObject({ contentType: 'application/json' });
      expect(node.store.get('a')?.value.toString()).toBe('{"a":1}');
      const both = await run(['put', 'a', 'value', '--file', file]);
      expect(both.code).toBe(2);
      expect(both.stderr).toMatch(/^kvorum: ERR_INVALID_ARGUMENT: give VALUE or --file/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('conditions: exit code 4 and the current entry when they fail', async () => {
    node.set('a', '1');
    const failed = await run(['put', 'a', '2', '--if-revision', '9', '-o', 'json']);
    expect(failed.code).toBe(4);
    expect(errorOf(failed)).toMatchObject({ code: 'ERR_CAS_FAILED', outcome: 'none', current: { value: '1' } });
    expect((await run(['put', 'a', '2', '--if-revision', '2'])).code).toBe(0);
    expect((await run(['put', 'a', '3', '--if-absent'])).code).toBe(4);
    expect((await run(['put', 'b', '1', '--if-absent'])).code).toBe(0);
    expect((await run(['put', 'c', '1', '--if-exists'])).code).toBe(4);
    expect((await run(['put', 'c', '1', '--if-exists', '--if-absent'])).code).toBe(2);
    expect(node.seen.map(({ headers }) => headers['if-match'] ?? headers['if-none-match'])).toEqual([
      '"9"',
      '"2"',
      '*',
      '*',
      '*',
    ]);
  });

  test('a value that begins with a dash goes after --', async () => {
    const { code } = await kvorum(['put', '--endpoints', node.url, 'temperature', '--', '-5']);
    expect(code).toBe(0);
    expect(node.store.get('temperature')?.value.toString()).toBe('-5');
  });
});

describe('keys', () => {
  test.each([
    ['plain', '/v1/kv/plain', null],
    ['a/b c', '/v1/kv/a/b%20c', null],
    ['a+b?c#d%2F', '/v1/kv/a%2Bb%3Fc%23d%252F', null],
    ['größe/日本', '/v1/kv/gr%C3%B6%C3%9Fe/%E6%97%A5%E6%9C%AC', null],
    ['trailing/', '/v1/kv/trailing/', null],
    ['...', '/v1/kv/...', null],
    ['/leading', '/v1/kv/L2xlYWRpbmc', 'base64url'],
    ['a//b', '/v1/kv/YS8vYg', 'base64url'],
    ['a/../b', '/v1/kv/YS8uLi9i', 'base64url'],
    ['.', '/v1/kv/Lg', 'base64url'],
  ])('%s goes over the wire as %s', async (key, wirePath, keyEncoding) => {
    expect((await run(['put', key, 'x'])).code).toBe(0);
    expect(node.seen[0]?.path).toBe(wirePath);
    expect(node.seen[0]?.query.get('keyEncoding')).toBe(keyEncoding);
    expect([...node.store.keys()]).toEqual([Buffer.from(key).toString('latin1')]);
    expect((await run(['get', key])).stdout).toBe('x');
  });

  test('bytes that are not text, with --key-encoding', async () => {
    const key = Buffer.from([0xff, 0x00, 0x2f]).toString('base64url');
    expect((await run(['get', key, '--key-encoding', 'base64url'])).code).toBe(3);
    expect(node.seen[0]?.path).toBe(`/v1/kv/${key}`);
    for (const wrong of ['a=', 'a b', 'A', '+/']) {
      const { code, stderr } = await run(['get', wrong, '--key-encoding', 'base64url']);
      expect([wrong, code]).toEqual([wrong, 2]);
      expect(stderr).toMatch(/^kvorum: ERR_BAD_KEY: /);
    }
  });

  test('the empty key is refused here', async () => {
    const { code, stderr } = await run(['get', '']);
    expect([code, stderr]).toEqual([2, 'kvorum: ERR_BAD_KEY: the key is empty\n']);
    expect(node.seen).toEqual([]);
  });
});

describe('get', () => {
  test('raw bytes and nothing else', async () => {
    const bytes = Buffer.from([0, 1, 2, 255, 254, 10, 13]);
    node.set('a', bytes);
    expect((await run(['get', 'a'])).stdoutBytes.equals(bytes)).toBe(true);
  });

  test('-o json gives the entry', async () => {
    node.set('a', '1');
    const { stdout } = await run(['get', 'a', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ key: 'a', value: '1', encoding: 'utf8', modRevision: 2, version: 1 });
  });

  test('consistency and revision go along', async () => {
    node.set('a', '1');
    await run(['get', 'a', '--consistency', 'stale', '--revision', '5', '--timeout', '1s']);
    expect(node.seen[0]?.query.toString()).toBe('consistency=stale&revision=5&timeout=1000ms');
  });

  test('a key that is not there: exit code 3', async () => {
    const { code, stdout, stderr } = await run(['get', 'missing']);
    expect([code, stdout, stderr]).toEqual([3, '', 'kvorum: ERR_KEY_NOT_FOUND: detail of ERR_KEY_NOT_FOUND\n']);
  });
});

describe('del', () => {
  test('one key, and one that is not there', async () => {
    node.set('a', '1');
    expect((await run(['del', 'a'])).stdout).toBe('deleted 1\n');
    const again = await run(['del', 'a', '-o', 'json']);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toEqual({ revision: 3, deleted: 0 });
  });

  test('a prefix', async () => {
    for (const key of ['s/1', 's/2', 't']) node.set(key, '');
    expect((await run(['del', '--prefix', 's/'])).stdout).toBe('deleted 2\n');
    expect([...node.store.keys()]).toEqual(['t']);
  });

  test('everything only with --all', async () => {
    node.set('a', '');
    for (const args of [
      ['del'],
      ['del', '--prefix', ''],
      ['del', 'a', '--all'],
      ['del', '--all', '--if-revision', '3'],
    ]) {
      expect([args, (await run(args)).code]).toEqual([args, 2]);
    }
    expect(node.store.size).toBe(1);
    expect((await run(['del', '--all'])).stdout).toBe('deleted 1\n');
  });
});

describe('ls', () => {
  test('a line an entry, with what is not text made harmless', async () => {
    node.set('a', 'one');
    node.set('b\u001B[31m', 'two\nlines');
    node.set('c', Buffer.from([0xff, 0xfe]));
    const { stdout } = await run(['ls']);
    expect(stdout).toBe('a\tone\nb\\u001b[31m\ttwo\\nlines\nc\t(2 bytes)\n');
  });

  test('a prefix, keys only', async () => {
    for (const key of ['config/a', 'config/b', 'x']) node.set(key, 'v');
    expect((await run(['ls', 'config/', '--keys-only'])).stdout).toBe('config/a\nconfig/b\n');
  });

  test('one page says that there is more; --all follows the cursors', async () => {
    for (let index = 0; index < 25; index++) node.set(`k${String(index).padStart(2, '0')}`, String(index));
    const first = await run(['ls', '--limit', '10', '--keys-only']);
    expect(first.stdout.split('\n')).toHaveLength(11);
    expect(first.stderr).toBe('10 of 25 keys; --all shows every one\n');
    const all = await run(['ls', '--limit', '10', '--all', '--keys-only']);
    expect(all.stdout.trimEnd().split('\n')).toHaveLength(25);
    const json = JSON.parse((await run(['ls', '--limit', '10', '--all', '-o', 'json'])).stdout) as {
      entries: unknown[];
    };
    expect(json).toMatchObject({ count: 25, nextCursor: null });
    expect(json.entries).toHaveLength(25);
  });

  test('nothing at all is still a document', async () => {
    const { stdout } = await run(['ls', '--all', '-o', 'json']);
    expect(JSON.parse(stdout)).toEqual({ revision: 1, count: 0, entries: [], nextCursor: null });
  });
});

describe('endpoints', () => {
  test('a node that is down is passed over, for writes too: nothing was sent', async () => {
    const { code } = await kvorum(['put', 'a', '1', '--endpoints', `${NOBODY},${node.url}`]);
    expect(code).toBe(0);
  });

  test('none answers: exit code 5', async () => {
    const { code, stderr } = await kvorum(['get', 'a', '--endpoints', NOBODY]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^kvorum: ERR_UNAVAILABLE: no node could be reached: http:\/\/127\.0\.0\.1:1: ECONNREFUSED/);
  });

  test('a node without a leader is passed over, because it took nothing', async () => {
    const other = await FakeNode.start();
    try {
      node.failure = (_, response) => {
        problem(response, 503, 'ERR_NO_LEADER');
        return true;
      };
      const { code } = await kvorum(['put', 'a', '1', '--endpoints', `${node.url},${other.url}`]);
      expect([code, other.store.size]).toEqual([0, 1]);
    } finally {
      await other.close();
    }
  });

  test.each([
    ['an answer that says so', 'ERR_TIMEOUT'],
    ['a connection that breaks', 'reset'],
    ['a 503 of who knows what', 'proxy'],
  ])('a write whose outcome is unknown is not repeated: %s', async (_, how) => {
    const other = await FakeNode.start();
    try {
      node.failure = (_request, response) => {
        if (how === 'reset') response.destroy();
        else if (how === 'proxy') response.writeHead(503).end('<h1>oops</h1>');
        else problem(response, 504, 'ERR_TIMEOUT');
        return true;
      };
      const both = `${node.url},${other.url}`;
      const write = await kvorum(['put', 'a', '1', '-o', 'json', '--endpoints', both]);
      expect(write.code).toBe(5);
      expect(errorOf(write)).toMatchObject({ outcome: 'unknown' });
      expect(other.seen).toEqual([]);
      // A read of the same kind goes on to the next node.
      other.set('a', '1');
      const read = await kvorum(['get', 'a', '--endpoints', both]);
      expect([read.code, read.stdout]).toEqual([0, '1']);
    } finally {
      await other.close();
    }
  });

  test('a node that never answers: 5 within the timeout and a second', async () => {
    node.failure = () => true;
    const startedAt = performance.now();
    const { code, stderr } = await run(['put', 'a', '1', '--timeout', '100ms']);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^kvorum: ERR_TIMEOUT: .*no answer within/);
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });

  test('the token goes along', async () => {
    await kvorum(['get', 'a', '--endpoints', node.url], { env: { KVORUM_HTTP_TOKEN: 'open-sesame' } });
    expect(node.seen[0]?.headers.authorization).toBe('Bearer open-sesame');
  });

  test('what is no Kvorum node is said to be none', async () => {
    node.failure = (_, response) => {
      response.writeHead(200).end('<html>');
      return true;
    };
    const { code, stderr } = await run(['ls']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('is it a Kvorum node?')]);
  });
});

describe('status', () => {
  test('a table that shows the node that is down', async () => {
    const { code, stdout } = await kvorum(['status', '--endpoints', `${NOBODY},${node.url}`]);
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('cluster c1, leader n1, term 3');
    expect(lines[2]).toMatch(/^NAME +ENDPOINT +ROLE +LEADER +TERM +REVISION +APPLIED +HEALTH$/);
    expect(lines[3]).toMatch(/^n2 +http:\/\/127\.0\.0\.1:1 .*unreachable \(http:\/\/127\.0\.0\.1:1: ECONNREFUSED\)$/);
    expect(lines[4]).toMatch(/^n1 +http:\/\/127\.0\.0\.1:\d+ +leader +n1 +3 +1 +7 +ready$/);
  });

  test('a member that was not asked is there as the others see it', async () => {
    const { stdout } = await run(['status', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      clusterId: 'c1',
      leader: 'n1',
      term: 3,
      nodes: [
        { name: 'n1', role: 'leader', health: 'ready', error: null },
        { name: 'n2', role: 'voter', health: 'unreachable' },
      ],
    });
  });

  test('learners and agents are told apart, and counted', async () => {
    const { members } = node;
    const [n1] = members;
    n1!.role = 'learner';
    members.push({ ...n1!, id: '103', name: 'n3', http: null, role: 'learner', health: 'suspect' });
    members.push({ ...n1!, id: '104', name: 'shop', http: null, role: 'agent' });
    node.leader = 'n2';
    const { code, stdout } = await run(['status']);
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('cluster c1, leader n2, term 3: 1 voter, 2 learners, 1 agent');
    expect(lines[3]).toMatch(/^n1 +http:\/\/127\.0\.0\.1:\d+ +learner +n2 +3 +1 +7 +ready$/);
    expect(lines[4]).toMatch(/^n2 +http:\/\/127\.0\.0\.1:1 +voter .*unreachable \(not asked/);
    expect(lines[5]).toMatch(/^n3 +- +learner .*suspect \(not asked/);
    expect(lines[6]).toMatch(/^shop +- +agent .*alive \(not asked/);
  });

  test('no leader: exit code 5', async () => {
    node.leader = null;
    const { code, stdout } = await run(['status']);
    expect(code).toBe(5);
    expect(stdout).toMatch(/^cluster c1, leader unknown, term 3\n/);
    expect(stdout).toMatch(/not ready/);
  });

  test('no node: exit code 5', async () => {
    expect((await kvorum(['status', '--endpoints', NOBODY])).code).toBe(5);
  });
});
