/** dht against the HTTP API of a node whose DHT has one other peer. */
import { beforeEach, describe, expect, test } from 'vitest';

import { serve, type Served } from '../http/wire.ts';
import { inProcess, type Ended } from './in-process.ts';

let served: Served;
beforeEach(async () => {
  served = await serve();
});

async function run(...args: readonly string[]): Promise<Ended> {
  return await inProcess(['dht', ...args, '--endpoints', `http://127.0.0.1:${served.port}`]);
}

const COST = 'complete: 1 request, 1 hop, 2 ms\n';

describe('dht', () => {
  test('a value is put, and got byte for byte', async () => {
    expect(await run('put', 'a/b', 'hello')).toEqual({ code: 0, stdout: '2 nodes keep it\n', stderr: '' });
    expect(await run('get', 'a/b')).toEqual({ code: 0, stdout: 'hello', stderr: '' });
    const { stdout } = await run('get', 'a/b', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({ key: 'a/b', value: 'hello', encoding: 'utf8', node: '101' });
  });

  test('how long it is kept, and by how many paths it is looked for, are told to the node', async () => {
    await run('put', 'a', 'x', '--ttl', '10m', '--paths', '4', '--timeout', '9s');
    const [{ method, args, options }] = served.node.calls.slice(-1) as [(typeof served.node.calls)[number]];
    expect([method, args[0]]).toEqual(['dht.put', 'a']);
    expect(options).toMatchObject({ ttlMs: 600_000, paths: 4, timeoutMs: 9000 });
  });

  test('a trace is a table on standard error, and leaves standard output alone', async () => {
    await run('put', 'a', 'hello');
    const { code, stdout, stderr } = await run('get', 'a', '--trace');
    expect([code, stdout]).toEqual([0, 'hello']);
    expect(stderr).toBe(
      [
        'STEP  PATH  PEER  KEY               DISTANCE  ASKED        OUTCOME   CONTACTS  FRESH  RECORDS  MS',
        '1     0     n2    a7e5e57f0e5d7a49  254       FindRecords  answered  1         0      1        1',
        `${COST}\n`,
      ].join('\n'),
    );
    const { steps } = JSON.parse((await run('get', 'a', '--trace', '-o', 'json')).stdout) as { steps: unknown[] };
    expect(steps).toHaveLength(1);
  });

  test('what is not found is exit code 3, with its trace', async () => {
    const { code, stdout, stderr } = await run('get', 'nothing', '--trace');
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toContain('FindRecords');
    expect(stderr).toContain('kvorum: ERR_NOT_FOUND: none of those asked has, in 1 request: a value under this key');
    expect((await run('providers', 'service/pay')).code).toBe(3);
    expect((await run('lookup', '--node', '7')).code).toBe(3);
  });

  test('who provides something', async () => {
    const { code, stdout } = await run('providers', 'group/1');
    expect(code).toBe(0);
    const card = '{"id":"102","name":"n2","role":"voter","addresses":["10.0.0.2:7201"],"http":null}';
    expect(stdout).toBe(
      ['NODE  KEPT UNTIL                VALUE', `102   2027-01-15T08:30:00.000Z  ${card}`, COST].join('\n'),
    );
  });

  test('the nodes closest to a key, and where a node is', async () => {
    expect((await run('lookup', 'a')).stdout).toBe(
      ['NAME  ID   ADDRESS        KEY', 'n2    102  10.0.0.2:7201  a7e5e57f0e5d7a49', COST].join('\n'),
    );
    expect((await run('lookup', '--node', '102')).stdout).toBe(
      ['NAME  ID   ROLE   ADDRESS        HTTP', 'n2    102  voter  10.0.0.2:7201  http://10.0.0.2:7101', COST].join(
        '\n',
      ),
    );
  });

  test.each([
    [['lookup'], 'give a KEY, or --node'],
    [['lookup', 'a', '--node', '7'], 'give a KEY, or --node'],
    [['lookup', '--node', 'n2'], 'is not the id of a node'],
    [['get', ''], 'the name is empty'],
    [['get', 'a', '--paths', '9'], '--paths'],
    [['put', 'a', 'x', '--ttl', '49h'], '--ttl'],
    [['put', 'a', 'x', '--file', 'f'], 'give VALUE or --file, not both'],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await run(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(served.node.calls).toEqual([]);
  });
});
