/** Where things are: real processes, real links, the command line, and an agent in this process, in a thread of its own too. */
import { readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';

import { startNode, type EmbeddedNode } from '../../src/index.ts';
import { Shell } from './cli-shell.ts';
import { until } from './until.ts';

interface Found {
  readonly outcome: string;
  readonly steps: readonly unknown[];
  readonly providers: readonly { readonly node: string; readonly value: string }[];
}

test.each([
  ['agent', false],
  ['agent in a thread of its own', true],
])('members, an %s and the command line find what one of them knows', async (_, isolate) => {
  const shell = await Shell.start();
  const { cluster } = shell;
  const agent: EmbeddedNode = await startNode({
    ...{ name: 'shop', role: 'agent', listen: '127.0.0.1:0', isolate },
    join: cluster.nodes.map(({ peerPort }) => `127.0.0.1:${peerPort}`),
    secret: await readFile(cluster.secretFile, 'utf8'),
  });
  onTestFinished(() => agent.close());

  expect(await agent.dht.put('greeting', 'hello from the shop')).toMatchObject({ stored: 4, outcome: 'complete' });
  expect(await shell.run('dht', 'get', 'greeting')).toMatchObject({ code: 0, stdout: 'hello from the shop' });
  expect((await shell.run('dht', 'put', 'answer', '42')).stdout).toBe('4 nodes keep it\n');
  const { record, steps } = await agent.dht.get('answer', { trace: true, paths: 2 });
  expect(new TextDecoder().decode(record?.value)).toBe('42');
  expect(steps!.length).toBeGreaterThan(0);

  const client = agent.client();
  await client.services.register('payments', { address: '10.0.0.7:8080', instance: 'one' });
  const provided = (service: string): Promise<Found> =>
    until(
      async () => {
        const { code, stdout } = await shell.run('dht', 'providers', `service/${service}`, '-o', 'json');
        return code === 0 ? (JSON.parse(stdout) as Found) : null;
      },
      { timeoutMs: 20_000, what: `somebody provides ${service}`, explain: () => cluster.logTails() },
    );
  const found = await provided('payments');
  expect(found.providers).toMatchObject([{ node: agent.id }]);
  expect(JSON.parse(found.providers[0]!.value)).toMatchObject([{ instance: 'one', address: '10.0.0.7:8080' }]);

  // What runs beside no node is told of by a member.
  const registered = await fetch(`${cluster.node('n1').url}/v1/services/orders/two?timeout=10s`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ address: '10.0.0.8:8080', ttl: '60s' }),
  });
  expect(registered.status).toBe(201);
  const orders = (await provided('orders')).providers;
  expect(orders).toHaveLength(1);
  expect(orders[0]!.node).not.toBe(agent.id);
  expect(JSON.parse(orders[0]!.value)).toMatchObject([{ instance: 'two', address: '10.0.0.8:8080' }]);

  // An agent is in no hurry to say where it is.
  const looked = await until(
    async () => {
      const { code, stdout } = await shell.run('dht', 'lookup', '--node', agent.id);
      return code === 0 ? stdout : null;
    },
    { timeoutMs: 30_000, what: 'it says where it is', explain: () => cluster.logTails() },
  );
  expect(looked).toContain(`shop  ${agent.id}`);
  const traced = await shell.run('dht', 'lookup', 'greeting', '--trace');
  expect(traced.stdout).toMatch(/^NAME +ID +ADDRESS +KEY\n/);
  expect(traced.stderr).toMatch(/^STEP +PATH +PEER/);
  expect((await shell.run('dht', 'get', 'nothing')).code).toBe(3);

  // Without a majority, and without who put it.
  await cluster.node('n2').kill('SIGKILL');
  await cluster.node('n3').kill('SIGKILL');
  await agent.close();
  expect(await shell.run('dht', 'get', 'greeting')).toMatchObject({ code: 0, stdout: 'hello from the shop' });
});
