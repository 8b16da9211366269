/** Who seems alive: real processes, real links, real signals. */
import { expect, test } from 'vitest';

import { connect, type MemberInfo } from '../../src/client/index.ts';
import { Shell } from './cli-shell.ts';
import { Cluster, type NodeProcess } from './cluster.ts';
import { until } from './until.ts';

async function membersOf(node: NodeProcess): Promise<readonly MemberInfo[]> {
  const { status, body } = await node.api.call('GET', '/v1/cluster/members');
  expect(status).toBe(200);
  return (JSON.parse(body.toString()) as { members: readonly MemberInfo[] }).members;
}

async function memberOf(node: NodeProcess, name: string): Promise<MemberInfo> {
  const found = (await membersOf(node)).find((member) => member.name === name);
  if (found === undefined) throw new Error(`${node.name} knows no ${name}`);
  return found;
}

/** Both see it so. */
async function seenAs(cluster: Cluster, by: readonly NodeProcess[], name: string, health: string): Promise<void> {
  await until(
    async () => (await Promise.all(by.map((node) => memberOf(node, name)))).every((one) => one.health === health),
    {
      timeoutMs: 60_000,
      what: `${name} is ${health}`,
      explain: () => cluster.logTails(),
    },
  );
}

async function met(cluster: Cluster): Promise<void> {
  await until(
    async () => {
      const views = await Promise.all(cluster.nodes.map(membersOf));
      return views.flat().every(({ incarnation, health }) => incarnation !== null && health === 'alive');
    },
    { timeoutMs: 30_000, what: 'all have heard of all', explain: () => cluster.logTails() },
  );
}

test('kill -9: suspect, then unreachable; started again: alive; SIGTERM: gone at once', async () => {
  const cluster = await Cluster.start({ args: ['--metadata', 'zone=b,rack=7'] });
  await met(cluster);
  const [a, b, c] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess];
  expect((await memberOf(a, c.name)).metadata).toEqual({ zone: 'b', rack: '7' });
  const { incarnation } = await memberOf(a, c.name);

  // All that a client is told meanwhile.
  const client = connect([a.url, b.url]);
  const told: string[] = [];
  const watching = (async () => {
    for await (const members of client.members.watch()) told.push(members.find(({ name }) => name === c.name)!.health);
  })();
  await until(() => told.at(-1) === 'alive', { timeoutMs: 10_000, what: 'the first list' });

  await c.kill('SIGKILL');
  await seenAs(cluster, [a, b], c.name, 'unreachable');
  await until(() => told.at(-1) === 'unreachable', { timeoutMs: 10_000, what: 'it is told' });
  expect(told).toContain('suspect');
  expect(told.indexOf('suspect')).toBeLessThan(told.indexOf('unreachable'));
  // A hint, and no more: it is a voter still.
  expect((await membersOf(a)).map(({ role }) => role)).toEqual(['voter', 'voter', 'voter']);

  await c.restart();
  await seenAs(cluster, [a, b], c.name, 'alive');
  expect((await memberOf(a, c.name)).incarnation).toBeGreaterThan(incarnation!);
  await met(cluster);
  await until(() => told.at(-1) === 'alive', { timeoutMs: 10_000, what: 'it is told' });

  told.length = 0;
  const exited = await c.kill('SIGTERM');
  expect(exited).toEqual({ code: 0, signal: null });
  // They know already when its process ends: nothing is waited for here.
  expect([(await memberOf(a, c.name)).health, (await memberOf(b, c.name)).health]).toEqual([
    'unreachable',
    'unreachable',
  ]);
  await until(() => told.at(-1) === 'unreachable', { timeoutMs: 10_000, what: 'it is told' });
  expect(told).not.toContain('suspect');
  await client.close();
  await watching;
});

test('a client that discovers goes on when the only node that it was told of is gone, by either way', async () => {
  const cluster = await Cluster.start();
  await met(cluster);
  const [a] = cluster.nodes as [NodeProcess];
  const { readFile } = await import('node:fs/promises');
  const secret = await readFile(cluster.secretFile, 'utf8');
  const clients = [
    connect(a.url, { discover: true }),
    connect(`kvorum://127.0.0.1:${a.peerPort}`, { discover: true, secret }),
  ];
  // Asked until they have looked at the cluster, which happens behind an answer.
  for (const client of clients) {
    await client.put('a', '1');
    expect((await client.members.list()).map(({ health }) => health)).toEqual(['alive', 'alive', 'alive']);
  }
  await a.kill('SIGKILL');
  for (const client of clients) {
    expect((await client.get('a', { timeout: '30s' }))?.value).toBe('1');
    await client.close();
  }
});

test('kvorum member list --watch: the list, and again when it has changed, until it is stopped', async () => {
  const shell = await Shell.start();
  await met(shell.cluster);
  const [json, text] = [
    shell.begin('member', 'list', '--watch', '-o', 'json'),
    shell.begin('member', 'list', '--watch'),
  ];
  await json.says(/"members":\[/);
  await text.says(/n3 .* alive/);
  await shell.cluster.node('n3').kill('SIGTERM');
  await json.says(/"name":"n3"[^}]*"health":"unreachable"/);
  await text.says(/n3 .* unreachable/);
  for (const running of [json, text]) {
    running.kill('SIGINT');
    expect(await running.code).toBe(0);
  }
});
