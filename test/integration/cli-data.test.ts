/** `kvorum watch`, `txn`, `lease`, `barrier`, `counter`, `compact` as processes against a real cluster. */
import { expect, test } from 'vitest';

import { kvorum } from '../cmd/cli.ts';
import { Shell } from './cli-shell.ts';
import { until } from './until.ts';

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('a watch goes on when the node dies that it talks to: each event once, in order, and Ctrl-C ends it with 0', async () => {
  const shell = await Shell.start();
  const watch = shell.begin('watch', '--prefix', 'w/', '-o', 'json', '--progress');
  await watch.says(/"events":\[\]/);
  const written: string[] = [];
  const write = async (value: string): Promise<void> => {
    const { code, stderr } = await shell.run('put', 'w/k', value, '--once', value, '--timeout', '8s');
    expect([code, stderr]).toEqual([0, '']);
    written.push(value);
    await watch.says(new RegExp(`"value":"${value}"`));
  };
  await write('v0');
  // Whichever it talks to, that one dies as well.
  for (const node of shell.cluster.nodes) {
    await node.kill('SIGKILL');
    await write(`v-${node.name}`);
    node.start();
    await node.ready();
  }
  expect((await shell.run('put', 'other', 'x')).code).toBe(0);
  expect((await shell.run('del', '--prefix', 'w/')).code).toBe(0);
  await watch.says(/"type":"delete"/);
  watch.kill('SIGINT');
  expect([await watch.code, watch.stderr]).toEqual([0, '']);
  const revisions = jsonLines(watch.stdout) as unknown as {
    revision: number;
    events: { type: string; key: string; value?: string }[];
  }[];
  const told = revisions.flatMap(({ events }) => events.map(({ type, key, value }) => [type, key, value]));
  expect(told).toEqual([...written.map((value) => ['put', 'w/k', value]), ['delete', 'w/k', undefined]]);
  const order = revisions.map(({ revision }) => revision);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

test('a watch for people, from history, filtered, with what was there before, compacted', async () => {
  const shell = await Shell.start();
  const bytesKey = Buffer.from([0xff, 0x01]).toString('base64url');
  await shell.run('put', 'a', '1');
  await shell.run('put', 'a', 'two\nlines');
  await kvorum(['put', bytesKey, '--key-encoding', 'base64url'], {
    env: { KVORUM_ENDPOINTS: shell.endpoints },
    stdin: Uint8Array.from([0xfe, 0]),
  });
  await shell.run('del', 'a');

  const people = shell.begin('watch', '--from', '1', '--prev');
  await people.says(/delete/);
  people.kill('SIGTERM');
  expect(await people.code).toBe(0);
  expect(people.stderr).toBe('kvorum: watching from revision 1; Ctrl-C ends it\n');
  expect(people.stdout).toBe(
    '1\tput\ta\t1\t(before: nothing)\n2\tput\ta\ttwo\\nlines\t(before: 1)\n' +
      `3\tput\tbase64url:${bytesKey}\t(2 bytes)\t(before: nothing)\n4\tdelete\ta\t(before: two\\nlines)\n`,
  );

  const bytes = shell.begin('watch', bytesKey, '--key-encoding', 'base64url', '--from', '1', '-o', 'json');
  await bytes.says(/\n/);
  expect(jsonLines(bytes.stdout)).toMatchObject([
    {
      revision: 3,
      events: [{ type: 'put', key: bytesKey, keyEncoding: 'base64url', value: '/gA=', encoding: 'base64' }],
    },
  ]);
  bytes.kill('SIGINT');
  const deletions = shell.begin('watch', 'a', '--from', '1', '--filter', 'delete');
  expect((await deletions.says(/^.*\n/))[0]).toBe('4\tdelete\ta\n');
  deletions.kill('SIGINT');
  expect(await deletions.code).toBe(0);

  expect(await shell.run('compact', '4')).toMatchObject({ code: 0, stdout: 'compacted: revision 4 is the oldest\n' });
  const late = await shell.run('watch', '--from', '1', '-o', 'json');
  expect([late.code, JSON.parse(late.stderr)]).toEqual([1, expect.objectContaining({ code: 'ERR_COMPACTED' })]);
  const resynced = shell.begin('watch', '--from', '1', '--resync');
  await resynced.says(new RegExp(`^4\\tresync\\t1 keys\\n3\\tentry\\tbase64url:${bytesKey}\\t\\(2 bytes\\)\\n`));
  resynced.kill('SIGINT');
  expect(await resynced.code).toBe(0);
  expect((await shell.run('compact', '1000')).code).toBe(1);
});

test('transactions: from standard input and a file, under conditions, fenced by a lock', async () => {
  const shell = await Shell.start();
  const txn = async (transaction: object, ...args: string[]) =>
    await kvorum(['txn', ...args], {
      env: { KVORUM_ENDPOINTS: shell.endpoints },
      stdin: JSON.stringify(transaction),
    });
  const create = {
    if: [{ key: 'a', target: 'version', op: '=', value: 0 }],
    then: [{ put: { key: 'a', value: '1' } }, { put: { key: 'b', value: '1', prev: true } }],
    else: [{ get: { key: 'a' } }, { get: { key: 'z' } }, { range: { prefix: '' } }, { delete: { key: 'z' } }],
  };
  expect(await txn(create)).toMatchObject({
    code: 0,
    stdout: 'succeeded, revision 1\nput\nput (before: nothing)\n',
  });
  const failed = await txn(create, '-');
  expect([failed.code, failed.stdout, failed.stderr]).toEqual([
    4,
    'the conditions did not hold, revision 1\nget: a\t1\nget: no such key\nrange: 2 of 2\n  a\t1\n  b\t1\ndeleted 0\n',
    '',
  ]);
  const fine = await txn(create, '--else-ok', '-o', 'json');
  expect([fine.code, JSON.parse(fine.stdout)]).toEqual([0, expect.objectContaining({ succeeded: false, revision: 1 })]);
  // The same key, the same answer, though the condition does not hold any more.
  const add = { if: [{ key: 'n', target: 'version', op: '=', value: 0 }], then: [{ put: { key: 'n', value: '1' } }] };
  for (let i = 0; i < 2; i++) expect(await txn(add, '--once', 'n-1')).toMatchObject({ code: 0 });
  expect((await txn({ then: [] }, '--once', 'n-1')).code).toBe(2);

  expect((await txn({ unless: [] })).stderr).toMatch(/^kvorum: ERR_INVALID_ARGUMENT: field "unless" is unknown/);
  expect((await txn([])).code).toBe(2);
  const broken = await kvorum(['txn'], { env: { KVORUM_ENDPOINTS: shell.endpoints }, stdin: '{' });
  expect([broken.code, broken.stderr]).toEqual([
    2,
    expect.stringMatching(/ERR_INVALID_ARGUMENT: standard input is not JSON/),
  ]);

  const guarded = `printf '{"if":[{"lock":"l","target":"token","op":"=","value":%s}],"then":[{"put":{"key":"f","value":"1"}}]}' $KVORUM_FENCE`;
  const own = await shell.run('lock', 'l', '--', 'sh', '-c', guarded);
  const request = JSON.parse(own.stdout) as object;
  // The lock is free again by now, and what carries its token is refused.
  expect((await txn(request)).code).toBe(4);
  expect((await shell.run('get', 'f')).code).toBe(3);
});

test('leases: keys go with them, keep keeps them, gone is 3', async () => {
  const shell = await Shell.start();
  const granted = await shell.run('lease', 'grant', '--ttl', '2s', '--owner', '{"who":"me"}');
  const id = granted.stdout.trim();
  expect([granted.code, granted.stdout]).toEqual([0, expect.stringMatching(/^\d+\n$/)]);
  const keep = shell.begin('lease', 'keep', id, '-o', 'json');
  await keep.says(/\n/);
  expect((await shell.run('put', 'w/1', 'up', '--lease', id)).code).toBe(0);
  // Longer than it would live by itself.
  await keep.says(/(?:.*\n){5}/);
  const got = await shell.run('lease', 'get', id);
  expect([got.code, got.stdout]).toEqual([
    0,
    expect.stringMatching(new RegExp(`^lease ${id}: [12]\\.\\ds of 2s left, owner \\{"who":"me"\\}\\nkey w/1\\n$`)),
  ]);
  expect((await shell.run('lease', 'list')).stdout).toMatch(
    new RegExp(`^ID +TTL +LEFT +KEYS +LOCKS +OWNER\\n${id} +2s +[12]\\.\\ds +1 +0 +\\{"who":"me"\\}\\n$`),
  );
  expect(await shell.run('lease', 'renew', id)).toMatchObject({ code: 0, stdout: `lease ${id} has 2s again\n` });
  keep.kill('SIGINT');
  expect(await keep.code).toBe(0);
  await until(async () => (await shell.run('get', 'w/1')).code === 3, { timeoutMs: 20_000, what: 'the key is gone' });
  for (const command of ['get', 'renew', 'revoke', 'keep']) {
    expect((await shell.run('lease', command, id)).code).toBe(3);
  }
  expect((await shell.run('put', 'w/1', 'up', '--lease', id)).code).toBe(3);

  const other = (await shell.run('lease', 'grant', '-o', 'json')).stdout;
  const { id: second } = JSON.parse(other) as { id: string };
  await shell.run('put', 'w/2', 'up', '--lease', second);
  const last = shell.begin('lease', 'keep', second, '--revoke');
  await last.says(new RegExp(`^kvorum: lease ${second} is kept alive; Ctrl-C ends that\\n$`), 'stderr');
  last.kill('SIGTERM');
  expect(await last.code).toBe(0);
  expect((await shell.run('get', 'w/2')).code).toBe(3);

  const third = (await shell.run('lease', 'grant')).stdout.trim();
  await shell.run('put', 'w/3', 'up', '--lease', third);
  expect(await shell.run('lease', 'revoke', third)).toMatchObject({ code: 0, stdout: 'revoked; keys deleted: 1\n' });
});

test('barriers and counters', async () => {
  const shell = await Shell.start();
  const [first, second] = [0, 1].map(() => shell.begin('barrier', 'b/1', '--parties', '3'));
  await until(async () => (await shell.run('barrier', 'b/1', '--inspect')).stdout === '2 of 3 are there\n', {
    timeoutMs: 20_000,
    what: 'two are there',
  });
  const third = await shell.run('barrier', 'b/1', '--parties', '3');
  expect(third).toMatchObject({ code: 0, stdout: 'all 3 are there\n' });
  expect([await first?.code, await second?.code]).toEqual([0, 0]);
  const early = await shell.run('barrier', 'b/1', '--parties', '3', '--wait', '300ms', '-o', 'json');
  expect([early.code, JSON.parse(early.stderr)]).toEqual([4, expect.objectContaining({ entered: 1 })]);
  const waiting = shell.begin('barrier', 'b/2', '--parties', '2');
  await until(async () => (await shell.run('barrier', 'b/2', '--inspect')).stdout === '1 of 2 are there\n', {
    timeoutMs: 20_000,
    what: 'one is there',
  });
  waiting.kill('SIGINT');
  expect(await waiting.code).toBe(130);

  expect((await shell.run('counter', 'c')).stdout).toBe('0\n');
  expect((await shell.run('counter', 'c', '--add', '5')).stdout).toBe('5\n');
  expect((await shell.run('counter', 'c', '--add', '-7', '-o', 'json')).stdout).toBe('{"name":"c","value":-2}\n');
  for (let i = 0; i < 2; i++)
    expect((await shell.run('counter', 'c', '--add', '1', '--once', 'k')).stdout).toBe('-1\n');
  expect((await shell.run('counter', 'c', '--add', String(-Number.MAX_SAFE_INTEGER))).code).toBe(2);
  expect((await shell.run('counter', 'c', '--delete')).stdout).toBe('deleted 1\n');
  expect((await shell.run('counter', 'c')).stdout).toBe('0\n');
});
