/** `npm start`, as a newcomer runs it: three processes, one Ctrl-C, and the data is there the next time. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { cleanEnvironment, ENTRY, kvorum } from '../cmd/cli.ts';
import { freePorts } from './cluster.ts';
import { until } from './until.ts';

const ROOT = path.join(import.meta.dirname, '../..');

interface Setting {
  readonly args: readonly string[];
  readonly home: string;
  readonly endpoints: string;
  readonly httpPort: number;
}

async function setting(): Promise<Setting> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-local-'));
  onTestFinished(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  const [httpPort, peerPort] = [await portsInARow(3), await portsInARow(3)];
  const args = ['--data-dir', directory, '--http-port', String(httpPort), '--peer-port', String(peerPort)];
  const endpoints = [0, 1, 2].map((index) => `http://127.0.0.1:${httpPort + index}`).join(',');
  return { args, home: path.join(directory, 'local'), endpoints, httpPort };
}

async function portsInARow(count: number): Promise<number> {
  for (;;) {
    const ports = await freePorts(count);
    const [first = 0] = ports;
    if (ports.every((port, index) => port === first + index)) return first;
  }
}

/** A `kvorum local` in a process group of its own, as a terminal would start it. */
class Local {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly closed: Promise<number | null>;

  constructor(command: readonly string[]) {
    this.child = spawn(command[0] ?? '', command.slice(1), {
      cwd: ROOT,
      detached: true,
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.closed = once(this.child, 'close').then(([code]) => code as number | null);
    onTestFinished(() => {
      this.signalGroup('SIGKILL');
    });
  }

  /** To every process of the group, as Ctrl-C does. */
  signalGroup(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.child.pid ?? 0), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async ready(): Promise<number[]> {
    await until(() => /nodes? (?:are|is) ready|"event":"ready"/i.test(this.stdout), {
      timeoutMs: 30_000,
      what: 'all nodes are ready',
      explain: () => this.stdout + this.stderr,
    });
    return [...this.stdout.matchAll(/(?:\(pid |"pid":)(\d+)/g)].map(([, pid]) => Number(pid));
  }
}

/** Gone, or dead and only waiting for its parent to notice. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  }
}

async function allGone(pids: readonly number[]): Promise<void> {
  await until(() => pids.every(isGone), { timeoutMs: 15_000, what: `${pids.join(', ')} are gone` });
}

test('npm start: ready, usable, stopped by one Ctrl-C without a trace, and the data is there again', async () => {
  const { args, home, endpoints, httpPort } = await setting();
  const first = new Local(['npm', 'start', '--', ...args]);
  const pids = await first.ready();
  expect(pids).toHaveLength(3);
  for (const line of ['curl -X PUT', '/v1/kv/hello', 'npm run -s kvorum -- put hello', `127.0.0.1:${httpPort + 2}`]) {
    expect(first.stdout).toContain(line);
  }
  expect(statSync(path.join(home, 'secret')).mode & 0o777).toBe(0o600);
  expect(await kvorum(['put', 'hello', 'world', '--endpoints', endpoints])).toMatchObject({ code: 0 });
  expect(await kvorum(['get', 'hello', '--endpoints', endpoints])).toMatchObject({ code: 0, stdout: 'world' });
  const status = await kvorum(['status', '--endpoints', endpoints, '-o', 'json']);
  expect(JSON.parse(status.stdout)).toMatchObject({
    nodes: [{ health: 'ready' }, { health: 'ready' }, { health: 'ready' }],
  });

  first.signalGroup('SIGINT');
  await first.closed;
  await allGone(pids);
  expect(first.stderr).toContain('all nodes have stopped');
  expect(first.stderr).not.toMatch(/exited with|was killed|did not stop/);

  // Without the ports: the directory knows them.
  const second = new Local([process.execPath, ENTRY, 'local', '--data-dir', path.dirname(home)]);
  const again = await second.ready();
  expect(await kvorum(['get', 'hello', '--endpoints', endpoints])).toMatchObject({ code: 0, stdout: 'world' });
  second.child.kill('SIGTERM');
  expect(await second.closed).toBe(0);
  await allGone(again);
});

test('a node that dies is reported and the others go on; a second start is refused; a killed parent takes all along', async () => {
  const { args, home, endpoints, httpPort } = await setting();
  const local = new Local([process.execPath, ENTRY, 'local', ...args, '-o', 'json']);
  const pids = await local.ready();

  const second = await kvorum(['local', ...args]);
  expect(second.code).toBe(1);
  expect(second.stderr).toBe(
    `kvorum: ERR_DATA_DIR_IN_USE: ${home} is in use by another kvorum local, pid ${local.child.pid}\n`,
  );
  const other = await kvorum(['local', ...args, '--nodes', '5']);
  expect([other.code, other.stderr]).toEqual([
    2,
    expect.stringMatching(/^kvorum: ERR_CONFIG: --nodes: .* holds a cluster of 3/),
  ]);

  process.kill(pids[0] ?? 0, 'SIGKILL');
  await until(() => local.stderr.includes('2 of 3 nodes go on'), {
    timeoutMs: 10_000,
    what: 'the report',
    explain: () => local.stderr,
  });
  expect(local.stderr).toMatch(/kvorum: n1 was killed by SIGKILL; its last lines, of .*n1\.log:\n {2}/);
  expect(await kvorum(['put', 'a', '1', '--endpoints', endpoints])).toMatchObject({ code: 0 });
  const status = await kvorum(['status', '--endpoints', endpoints]);
  expect([status.code, status.stdout]).toEqual([
    0,
    expect.stringMatching(new RegExp(`n1 +http://127\\.0\\.0\\.1:${httpPort} .*unreachable`)),
  ]);

  local.child.kill('SIGKILL');
  await local.closed;
  await allGone(pids);
});

test.each(['--http-port', '--peer-port'])('a port that is taken is named with its option: %s', async (option) => {
  const { args, home } = await setting();
  const taken = Number(args[args.indexOf(option) + 1]) + 1;
  const server = net.createServer().listen(taken, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { code, stderr } = await kvorum(['local', ...args]);
  expect(code).toBe(1);
  expect(stderr).toMatch(new RegExp(`^kvorum: ERR_ADDRESS_IN_USE: ${option}: port ${taken} is taken`));
  // Nothing was begun, and another choice is free to begin.
  expect(() => statSync(path.join(home, 'cluster.json'))).toThrow(/ENOENT/);
});
