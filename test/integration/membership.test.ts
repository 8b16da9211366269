/** One node becomes three, five, three and one, by one command a step, under load; then a lost member is replaced by one command. Real processes. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { kvorum } from '../cmd/cli.ts';
import { joinArguments, startArguments } from '../processes/node-process.ts';
import { freePorts, NodeProcess } from './cluster.ts';
import { Load } from './load.ts';
import { report } from './report.ts';
import { until } from './until.ts';

const MAX_NODES = 6;

class Growing {
  readonly nodes: NodeProcess[] = [];
  readonly #directory: string;
  readonly #secretFile: string;
  readonly #ports: readonly number[];

  private constructor(directory: string, secretFile: string, ports: readonly number[]) {
    this.#directory = directory;
    this.#secretFile = secretFile;
    this.#ports = ports;
  }

  static async make(): Promise<Growing> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-test-'));
    const secretFile = path.join(directory, 'secret');
    await writeFile(secretFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
    const growing = new Growing(directory, secretFile, await freePorts(2 * MAX_NODES));
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail') report(growing.nodes.map((node) => node.logTail()).join('\n'));
      await Promise.all(growing.nodes.map(async (node) => await node.destroy()));
      await rm(directory, { recursive: true, force: true });
    });
    return growing;
  }

  get living(): NodeProcess[] {
    return this.nodes.filter((node) => node.alive);
  }

  node(name: string): NodeProcess {
    const found = this.nodes.findLast((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  /** The first forms a cluster of one, the others join those that run. */
  async start(name: string, replaces: string | null = null): Promise<NodeProcess> {
    const number = this.nodes.length;
    const [peerPort = 0, httpPort = 0] = this.#ports.slice(2 * number);
    const dataDir = path.join(this.#directory, `${name}-${number}`);
    const http = `127.0.0.1:${httpPort}`;
    const members = `${name}=127.0.0.1:${peerPort}`;
    const args = startArguments({ name, dataDir, http, members, secretFile: this.#secretFile });
    const contacts = this.living.map((node) => `127.0.0.1:${node.peerPort}`);
    const node = new NodeProcess({
      ...{ name, dataDir, http, peerPort, logFile: path.join(this.#directory, `${name}-${number}.log`) },
      args: number === 0 ? args : [...joinArguments(args, contacts, replaces), '--listen', `127.0.0.1:${peerPort}`],
    });
    this.nodes.push(node);
    node.start();
    await node.ready();
    return node;
  }

  async kvorum(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const endpoints = this.living.map(({ url }) => url).join(',');
    return await kvorum(args, { env: { KVORUM_ENDPOINTS: endpoints } });
  }

  /** Everybody who runs says that these, and no others, are the members, and how they vote. */
  async agree(expected: Readonly<Record<string, string>>): Promise<void> {
    const wanted = Object.entries(expected)
      .map(([name, role]) => `${name} ${role}`)
      .toSorted((a, b) => (a < b ? -1 : 1))
      .join(', ');
    await until(
      async () => {
        const views = await Promise.all(this.living.map(async (node) => await node.api.cluster()));
        return views.every(({ members }) => {
          const seen = members.map(({ name, role }) => `${name} ${role}`);
          return seen.toSorted((a, b) => (a < b ? -1 : 1)).join(', ') === wanted;
        });
      },
      {
        timeoutMs: 30_000,
        what: `all agree on ${wanted}`,
        explain: () => this.nodes.map((n) => n.logTail()).join('\n'),
      },
    );
  }
}

test('one, three, five, three, one under load: nothing acknowledged is lost', { timeout: 240_000 }, async () => {
  const cluster = await Growing.make();
  await cluster.start('n1');
  const load = new Load({
    target: (writer) => (cluster.living[writer % cluster.living.length] ?? cluster.node('n1')).api,
    writers: 4,
    prefix: 'growing/',
  });
  const more = async (): Promise<void> => {
    const enough = load.acknowledged.size + 50;
    await until(() => load.acknowledged.size >= enough, { timeoutMs: 30_000, what: '50 more acknowledged writes' });
  };
  await more();
  for (const name of ['n2', 'n3']) await cluster.start(name);
  await cluster.agree({ n1: 'voter', n2: 'voter', n3: 'voter' });
  await more();
  for (const name of ['n4', 'n5']) await cluster.start(name);
  await cluster.agree({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'voter', n5: 'voter' });
  await more();
  for (const name of ['n1', 'n2', 'n3', 'n4']) {
    const gone = cluster.node(name);
    const { code, stdout } = await cluster.kvorum('member', 'remove', name, '--timeout', '8s');
    expect([code, stdout]).toEqual([0, expect.stringContaining(`removed ${name}`)]);
    const { code: end } = await gone.exited;
    expect(end).toBe(1);
    expect(gone.logs()).toContain('ERR_MEMBER_REMOVED');
    await more();
  }
  await cluster.agree({ n5: 'voter' });
  await load.stop();
  const last = cluster.node('n5');
  for (const [key, value] of load.acknowledged) expect((await last.api.get(key)).body.toString()).toBe(value);
  const { code } = await cluster.kvorum('member', 'remove', 'n5');
  expect(code).toBe(4);
});

test('a killed member is replaced by one command', { timeout: 120_000 }, async () => {
  const cluster = await Growing.make();
  for (const name of ['n1', 'n2', 'n3']) await cluster.start(name);
  await cluster.agree({ n1: 'voter', n2: 'voter', n3: 'voter' });
  const before = await cluster.node('n1').api.put('a', '1');
  expect(before.status).toBe(200);
  await cluster.node('n2').kill('SIGKILL');
  const n4 = await cluster.start('n4', 'n2');
  await cluster.agree({ n1: 'voter', n3: 'voter', n4: 'voter' });
  // The other two can lose one more now, and what it had is there.
  await cluster.node('n1').kill('SIGKILL');
  await until(async () => (await n4.api.put('b', '2')).status === 200, { timeoutMs: 20_000, what: 'writes go on' });
  expect((await n4.api.get('a')).body.toString()).toBe('1');
});
