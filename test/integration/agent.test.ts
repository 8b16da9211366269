/** An agent in a process of its own: `kvorum start --join … --role agent` with a token, beside a cluster of three. */
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { kvorum } from '../cmd/cli.ts';
import { joinArguments, startArguments } from '../processes/node-process.ts';
import { json, type ClusterView } from './api.ts';
import { Cluster, freePorts, NodeProcess } from './cluster.ts';
import { report } from './report.ts';
import { until } from './until.ts';

type Member = ClusterView['members'][number];

/** Not started. It is let in by a token, and has no secret. */
async function agentOf(cluster: Cluster, token: string): Promise<NodeProcess> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const [name, http] = ['a1', `127.0.0.1:${httpPort}`];
  const dataDir = path.join(cluster.directory, name);
  const args = startArguments({ name, dataDir, http, members: '', secretFile: '' });
  const secret = args.indexOf('--secret-file');
  const contacts = cluster.nodes.map((node) => `127.0.0.1:${node.peerPort}`);
  const agent = new NodeProcess({
    ...{ name, dataDir, http, peerPort, logFile: path.join(cluster.directory, `${name}.log`) },
    args: [
      ...joinArguments(args.toSpliced(secret, 2), contacts, null),
      ...['--role', 'agent', '--listen', `127.0.0.1:${peerPort}`],
    ],
  });
  agent.env['KVORUM_JOIN_TOKEN'] = token;
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') report(agent.logTail());
    await agent.destroy();
  });
  return agent;
}

/** What this node shows of it; undefined: it is not there. */
async function seen(by: NodeProcess, name = 'a1'): Promise<Member | undefined> {
  const { members } = json(await by.api.call('GET', '/v1/cluster/members')) as Pick<ClusterView, 'members'>;
  return members.find((member) => member.name === name);
}

test(
  'an agent process joins by a token, serves, outlives the member that serves it, and leaves',
  { timeout: 120_000 },
  async () => {
    const cluster = await Cluster.start();
    const asked = { env: { KVORUM_ENDPOINTS: cluster.nodes.map(({ url }) => url).join(',') } };
    const made = await kvorum(['token', 'create', '--role', 'agent', '-o', 'json'], asked);
    expect([made.code, made.stderr]).toEqual([0, '']);
    const agent = await agentOf(cluster, (JSON.parse(made.stdout) as { token: string }).token);
    agent.start();
    await agent.ready();
    const explain = (): string => `${cluster.logTails()}\n${agent.logTail()}`;

    expect((await agent.api.put('by/agent', '1')).status).toBe(200);
    for (const node of [agent, ...cluster.nodes]) expect((await node.api.get('by/agent')).body.toString()).toBe('1');
    expect((await agent.api.get('by/nobody')).status).toBe(404);
    const told = await watching(agent, 'by/member');
    await cluster.node('n1').api.put('by/member', '2');
    expect(await told.next()).toMatchObject({ events: [{ type: 'put', key: 'by/member', value: '2' }] });
    told.end();

    const alive = async (node: NodeProcess): Promise<void> => {
      await until(
        async () => {
          const { role, health } = (await seen(node)) ?? {};
          return role === 'agent' && health === 'alive';
        },
        { timeoutMs: 15_000, what: `${node.name} shows the agent, alive`, explain },
      );
    };
    for (const node of cluster.nodes) await alive(node);
    const listed = await kvorum(['member', 'list'], asked);
    expect(listed.stdout).toMatch(/^a1 +\d+ +agent /mu);

    // The member that serves it.
    const served = /^\[\+\]member ok: (n\d) serves it$/mu;
    const readiness = async (): Promise<string> =>
      (await agent.api.call('GET', '/readyz', { query: { verbose: 'true' } })).body.toString();
    const [, server = ''] = served.exec(await readiness()) ?? [];
    await cluster.node(server).kill('SIGKILL');
    await until(async () => (await agent.api.put('by/agent', '3')).status === 200, {
      ...{ timeoutMs: 30_000, what: 'the agent goes on', explain },
    });
    const [, other] = served.exec(await readiness()) ?? [];
    expect(other).toMatch(/^n\d$/u);
    expect(other).not.toBe(server);
    const living = cluster.nodes.filter((node) => node.alive);
    for (const node of living) expect((await node.api.get('by/agent')).body.toString()).toBe('3');
    for (const node of living) await alive(node);

    const { code, signal } = await agent.kill('SIGTERM');
    expect([code, signal]).toEqual([0, null]);
    // One that is taken for dead is shown for half a minute as unreachable; one that has left is not shown at all.
    const shown: (string | undefined)[] = [];
    for (const node of living) {
      await until(
        async () => {
          shown.push((await seen(node))?.health);
          return shown.at(-1) === undefined;
        },
        { timeoutMs: 10_000, what: `${node.name} knows that the agent has left`, explain },
      );
    }
    expect(shown).not.toContain('unreachable');
    expect((await cluster.leader()).alive).toBe(true);
  },
);

/** The events of a key on a node, once the watch stands. */
async function watching(node: NodeProcess, key: string): Promise<{ next(): Promise<unknown>; end(): void }> {
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const response = await fetch(`${node.url}/v1/watch?key=${encodeURIComponent(key)}`, { signal: ended.signal });
  expect(response.status).toBe(200);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    async next() {
      for (;;) {
        const [, data] = /^data: (.*"events".*)$/mu.exec(text) ?? [];
        if (data !== undefined) return JSON.parse(data) as unknown;
        const { done, value } = await reader.read();
        if (done) throw new Error(`the watch ended after ${text}`);
        text += value;
      }
    },
    end: () => ended.abort(),
  };
}

test.each([
  [['--join', '127.0.0.1:1', '--role', 'agent', '--replace', 'n1'], 2, /an agent takes the place of no member/u],
  [['--role', 'agent'], 2, /--role belongs to --join, which is missing/u],
  [['--join', '127.0.0.1:1', '--role', 'witness'], 2, /--role: "witness" is not one of voter, learner, agent/u],
  [['--join', '127.0.0.1:1', '--role', 'agent'], 2, /secret|token/u],
] as const)('flags that make no sense: %j', async (flags, expected, message) => {
  const { code, stdout, stderr } = await kvorum(['start', '--name', 'a1', '--http', 'off', ...flags]);
  expect([code, stdout]).toEqual([expected, '']);
  expect(stderr).toMatch(message);
});
