/** `kvorum lock`, `sem` and `elect` as processes against a real cluster: who holds runs, who lost is stopped. */
import { expect, test } from 'vitest';

import { kvorum } from '../cmd/cli.ts';
import { Notes, type Running } from './cli-process.ts';
import { Shell } from './cli-shell.ts';
import { until } from './until.ts';

/** Says `start` and `stopped` in the notes, and goes on until it gets SIGTERM. */
function patient(notes: Notes, name = 'it'): string[] {
  const script = `trap 'echo "${name} stopped" >> ${notes.file}; exit 0' TERM; echo "${name} started" >> ${notes.file}
    while :; do sleep 0.05; done`;
  return ['sh', '-c', script];
}

/** `in T`, `out T`, `in U`, `out U`: never two at once, and tokens that grow. Gives the tokens. */
function tokensOf(lines: readonly string[]): number[] {
  const tokens: number[] = [];
  for (let i = 0; i < lines.length; i += 2) {
    const [, token = ''] = /^in (\d+)$/.exec(lines[i] ?? '') ?? [];
    expect(lines.slice(i, i + 2)).toEqual([`in ${token}`, `out ${token}`]);
    tokens.push(Number(token));
  }
  expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  expect(new Set(tokens).size).toBe(tokens.length);
  return tokens;
}

test('those who compete run one after the other, under tokens that grow, also when nodes die meanwhile', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const script = `echo "in $KVORUM_FENCE" >> ${notes.file}; sleep 0.1; echo "out $KVORUM_FENCE" >> ${notes.file}`;
  const lock = ['lock', 'race/1', '--ttl', '5s', '--wait', 'forever', '--', 'sh', '-c', script];
  const workers = [0, 1, 2].map(async () => {
    const codes: (number | null)[] = [];
    for (let round = 0; round < 4; round++) codes.push(await shell.begin(...lock).code);
    return codes;
  });
  await until(() => notes.lines().length >= 4, { timeoutMs: 30_000, what: 'two have run' });
  const leader = await shell.cluster.leader();
  await leader.kill('SIGKILL');
  expect(await Promise.all(workers)).toEqual([0, 1, 2].map(() => [0, 0, 0, 0]));
  expect(tokensOf(notes.lines())).toHaveLength(12);
});

test('a process that was stopped for longer than its time to live finds the lock lost: the command is stopped, exit code 70', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const first = shell.begin('lock', 'paused', '--ttl', '2s', '--', ...patient(notes));
  await notes.says('it started');
  const before = await shell.inspect('paused');
  first.kill('SIGSTOP');
  // Another gets in when its time is over, while the first knows nothing of it.
  const second = await shell.run(
    'lock',
    'paused',
    '--wait',
    '8s',
    '-o',
    'json',
    '--',
    'sh',
    '-c',
    'echo $KVORUM_FENCE',
  );
  expect([second.code, second.stderr]).toEqual([0, '']);
  expect(Number(second.stdout)).toBeGreaterThan(before.holders[0]?.token ?? Infinity);
  expect([notes.lines(), first.ended]).toEqual([['it started'], false]);
  first.kill('SIGCONT');
  expect(await first.code).toBe(70);
  expect(notes.lines()).toEqual(['it started', 'it stopped']);
  expect(first.stderr).toMatch(/^kvorum: ERR_LOCK_LOST: lock "paused" was lost: .*\n$/);
});

test('a command that will not stop is killed', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const stubborn = `trap '' TERM; echo started >> ${notes.file}; while :; do sleep 0.05; done`;
  const held = shell.begin(
    'lock',
    'a',
    '--ttl',
    '1s',
    '--kill-after',
    '300ms',
    '-o',
    'json',
    '--',
    'sh',
    '-c',
    stubborn,
  );
  await notes.says('started');
  expect((await shell.run('lock', '--break', 'a')).stdout).toBe('broken 1\n');
  expect(await held.code).toBe(70);
  expect(JSON.parse(held.stderr)).toMatchObject({ code: 'ERR_LOCK_LOST' });
});

test('exit codes: of the command, of a signal, of a lock that is held, of a cluster that is gone', async () => {
  const shell = await Shell.start();
  expect((await shell.run('lock', 'a', '--', 'sh', '-c', 'exit 7')).code).toBe(7);
  expect((await shell.run('lock', 'a', '--', 'sh', '-c', 'kill -9 $$')).code).toBe(137);
  expect(await shell.run('lock', 'a', '--', '/does/not/exist')).toMatchObject({
    code: 127,
    stderr: 'kvorum: /does/not/exist: there is no such command\n',
  });
  expect((await shell.run('lock', 'a', '--', '/')).code).toBe(126);
  await shell.isFree('a');
  expect((await shell.run('lock', '--break', 'a')).stdout).toBe('broken 0\n');

  // A name may be any text, and what the command prints, reads and sees is its own.
  const named = ['lock', '--', '-x', '--', 'sh', '-c', 'cat; echo "$KVORUM_LOCK|$0|$1"', '--help', '--'];
  const echoed = await kvorum(named, { env: { KVORUM_ENDPOINTS: shell.endpoints }, stdin: 'read ' });
  expect(echoed).toMatchObject({ code: 0, stdout: 'read -x|--help|--\n', stderr: '' });

  const holder = shell.begin('lock', 'a', '--owner', '{"who":"first"}');
  const [, token = ''] = await holder.says(/^(\d+)\n$/);
  await holder.says(/^kvorum: lock "a" is held, token \d+, lease \d+; Ctrl-C gives it back\n$/, 'stderr');
  expect(await shell.inspect('a')).toMatchObject({ holders: [{ token: Number(token), owner: { who: 'first' } }] });
  for (const wait of [[], ['--wait', '300ms']]) {
    const refused = await shell.run('lock', 'a', ...wait, '-o', 'json', '--', 'echo', 'never');
    expect([refused.code, refused.stdout]).toEqual([4, '']);
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'ERR_LOCK_HELD', holder: { token: Number(token) } });
  }
  const reader = await shell.run('lock', 'a', '--mode', 'read');
  expect([reader.code, reader.stderr]).toEqual([
    4,
    expect.stringMatching(
      new RegExp(
        `^kvorum: ERR_LOCK_HELD: lock "a" is held by \\{"who":"first"\\}, token ${token} since 20[-T:.\\dZ]+\\n$`,
      ),
    ),
  ]);
  expect((await shell.run('sem', 'a', '--permits', '2')).code).toBe(2);
  expect((await shell.run('lock', '--list')).stdout).toMatch(
    new RegExp(`^NAME +KIND +HELD +WAITING +TOKEN +OWNER\\na +lock +1 +0 +${token} +\\{"who":"first"\\}\\n$`),
  );
  expect((await shell.run('lock', '--list', 'b', '-o', 'json')).stdout).toBe('{"locks":[]}\n');

  // Who waits and is told to end leaves the queue.
  const waiting = shell.begin('lock', 'a', '--wait', 'forever', '--', 'true');
  await until(async () => (await shell.inspect('a')).queue.length === 1, { timeoutMs: 20_000, what: 'a queue' });
  waiting.kill('SIGINT');
  expect([await waiting.code, waiting.stderr]).toEqual([130, '']);
  await until(async () => (await shell.inspect('a')).queue.length === 0, { timeoutMs: 20_000, what: 'no queue' });

  holder.kill('SIGINT');
  expect(await holder.code).toBe(0);
  await shell.isFree('a');

  const last = shell.begin('lock', 'a', '--ttl', '2s', '--', 'sleep', '60');
  await until(async () => (await shell.inspect('a')).holders.length === 1, { timeoutMs: 20_000, what: 'a holder' });
  await shell.cluster.killAll();
  expect(await last.code).toBe(70);
  expect((await shell.run('lock', 'a', '--timeout', '1s', '--', 'true')).code).toBe(5);
});

test('signals are passed on, and what the command makes of them counts', async () => {
  const shell = await Shell.start();
  for (const [signal, code] of [
    ['SIGTERM', 3],
    ['SIGINT', 4],
    ['SIGHUP', 5],
    ['SIGUSR1', 6],
    ['SIGUSR2', 7],
  ] as const) {
    const notes = await Notes.create();
    const script = `trap 'exit ${code}' ${signal.slice(3)}; echo ready >> ${notes.file}; while :; do sleep 0.05; done`;
    const held = shell.begin('lock', 'a', '--', 'sh', '-c', script);
    await notes.says('ready');
    held.kill(signal);
    expect([signal, await held.code]).toEqual([signal, code]);
  }
  const plain = shell.begin('lock', 'a', '--', 'sleep', '60');
  await until(async () => (await shell.inspect('a')).holders.length === 1, { timeoutMs: 20_000, what: 'a holder' });
  plain.kill('SIGTERM');
  expect(await plain.code).toBe(143);
  await shell.isFree('a');
});

test('a semaphore lets in as many as it has permits, and readers share a lock', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const script = `echo in >> ${notes.file}; sleep 0.3; echo out >> ${notes.file}`;
  const all = [0, 1, 2, 3, 4].map(
    async () => await shell.begin('sem', 's', '--permits', '2', '--wait', 'forever', '--', 'sh', '-c', script).code,
  );
  expect(await Promise.all(all)).toEqual([0, 0, 0, 0, 0]);
  let inside = 0;
  let most = 0;
  for (const line of notes.lines()) {
    inside += line === 'in' ? 1 : -1;
    most = Math.max(most, inside);
  }
  expect([notes.lines().length, inside]).toEqual([10, 0]);
  expect(most).toBeLessThanOrEqual(2);

  const readers = [0, 1].map(() => shell.begin('lock', 'rw', '--mode', 'read'));
  for (const reader of readers) await reader.says(/^\d+\n$/);
  expect((await shell.run('lock', 'rw', '--mode', 'write', '--', 'true')).code).toBe(4);
  for (const reader of readers) reader.kill('SIGTERM');
  expect(await Promise.all(readers.map(({ code }) => code))).toEqual([0, 0]);
});

test('an election: another leads when the leader dies, a leader that was paused stands again', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const observer = shell.begin('elect', 'relay', '--observe', '-o', 'json');
  await observer.says(/"leader":null/);
  const elect = (name: string): Running =>
    shell.begin('elect', 'relay', '--ttl', '2s', '--value', name, '--', ...patient(notes, name));
  const a = elect('a');
  await notes.says('a started');
  const b = elect('b');
  await until(async () => (await shell.inspect('relay')).queue.length === 1, { timeoutMs: 20_000, what: 'b stands' });
  expect((await shell.run('elect', 'relay', '--inspect')).stdout).toMatch(
    /^leader: .*, value "a", term \d+, lease \d+\n$/,
  );
  expect((await shell.run('elect', 'relay', '--wait', '0', '--', 'true')).code).toBe(4);

  a.kill('SIGSTOP');
  await notes.says('b started');
  a.kill('SIGCONT');
  await notes.says('a stopped');
  await until(async () => (await shell.inspect('relay')).queue.length === 1, {
    timeoutMs: 20_000,
    what: 'a stands again',
  });
  expect(a.stderr).toMatch(/^kvorum: ERR_LOCK_LOST: election "relay" was lost: .*\n$/);
  b.kill('SIGTERM');
  expect(await b.code).toBe(0);
  await notes.count('a started', 2);

  // With --once the lead is not asked for again.
  a.kill('SIGTERM');
  expect(await a.code).toBe(0);
  const c = shell.begin('elect', 'relay', '--ttl', '1s', '--once', '--', ...patient(notes, 'c'));
  await notes.says('c started');
  const [term] = (await shell.inspect('relay')).holders;
  expect((await shell.run('lease', 'revoke', term?.lease ?? '')).code).toBe(0);
  expect(await c.code).toBe(70);

  await shell.isFree('relay');
  expect((await shell.run('elect', 'relay', '--inspect')).code).toBe(3);
  observer.kill('SIGINT');
  expect(await observer.code).toBe(0);
  const seen = observer.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { token: number | null; value: string | null });
  const values = seen.map(({ value }) => value).filter((value, i, all) => value !== null && value !== all[i - 1]);
  expect(values).toEqual(['a', 'b', 'a']);
});
