/** Agents: peers without a replica, in whole clusters on virtual time. */
import { afterEach, describe, expect, test } from 'vitest';
import type { KvorumError } from '../../../src/errors.ts';
import { simCluster, type SimCluster, type SimClusterOptions } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

async function start(options: SimClusterOptions = {}): Promise<void> {
  cluster = await simCluster(options);
}

async function agent(name: string): Promise<SimNode> {
  const node = cluster.add(name, { role: 'agent' });
  void node.start();
  await cluster.until(() => node.state !== 'starting', `${name} has joined`);
  if (node.failure !== null) throw node.failure;
  await cluster.until(() => node.node.readiness().ready, `${name} is served`);
  return node;
}

function health(of: SimNode, name: string): string | undefined {
  return of.node.cluster().members.find((member) => member.name === name)?.health;
}

async function malformed(of: SimNode): Promise<number> {
  const registry = of.node.registry as { metrics(): Promise<string> };
  const [, value] = /^kvorum_peer_malformed_total (\d+)$/m.exec(await registry.metrics()) ?? [];
  return Number(value);
}

function text(value: Uint8Array | undefined): string {
  return new TextDecoder().decode(value);
}

describe('an agent', () => {
  test('reads, writes, locks and watches by the members, and is no member of theirs', async () => {
    await start();
    const one = await agent('a1');
    await cluster.run(one.node.put('k', '1'));
    expect(text((await cluster.run(cluster.node('n2').node.get('k'))).entry?.value)).toBe('1');
    expect(text((await cluster.run(one.node.get('k'))).entry?.value)).toBe('1');
    const { token } = await cluster.run(one.node.locks.acquire('l'));
    expect(token).toBeGreaterThan(0);
    const watch = await cluster.run(one.node.watch({ prefix: 'k', from: 1 }));
    const { value } = await cluster.run(watch.next());
    expect(value).toMatchObject({ events: [{ type: 'put', entry: { key: 'k' } }] });
    watch.close();
    const { members } = cluster.node('n1').node.cluster();
    expect(members.filter(({ role }) => role !== 'agent')).toHaveLength(3);
  });

  test('has the members hand over leadership', async () => {
    await start();
    const one = await agent('a1');
    const before = cluster.leader?.name;
    const { leader } = await cluster.run(one.node.transferLeadership());
    expect(leader).toMatch(/^n\d$/u);
    expect(leader).not.toBe(before);
    expect(await cluster.run(one.node.transferLeadership(before))).toEqual({ leader: before });
    expect(cluster.leader?.name).toBe(before);
    for (const name of ['a1', 'n9']) {
      await expect(cluster.run(one.node.transferLeadership(name))).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    }
  });

  test('does not go on saying who leads when nobody answers it', async () => {
    await start();
    const one = await agent('a1');
    await cluster.until(() => one.node.cluster().leader !== null, 'a1 knows who leads');
    for (const { name } of [...cluster.nodes]) if (name !== 'a1') cluster.node(name).pause();
    await cluster.until(() => one.node.cluster().leader === null, 'a1 says nothing that is old', 5000);
    for (const { name } of [...cluster.nodes]) cluster.node(name).resume();
    await cluster.until(() => one.node.cluster().leader !== null, 'a1 knows it again');
  });

  test('is known to all, and all are known to it; its end is noticed', async () => {
    await start();
    const one = await agent('a1');
    const two = await agent('a2');
    await cluster.until(() => health(cluster.node('n3'), 'a1') === 'alive', 'n3 knows a1');
    await cluster.until(() => health(two, 'a1') === 'alive', 'a2 knows a1');
    expect(
      cluster
        .node('n3')
        .node.cluster()
        .members.find(({ name }) => name === 'a1')?.role,
    ).toBe('agent');
    one.crash();
    await cluster.until(() => health(two, 'a1') !== 'alive', 'a2 suspects a1');
    await cluster.until(() => health(cluster.node('n1'), 'a1') === 'unreachable', 'n1 takes a1 for dead');
  });

  test('says good-bye, and is gone at once', async () => {
    await start();
    const one = await agent('a1');
    await cluster.until(() => health(cluster.node('n1'), 'a1') === 'alive', 'n1 knows a1');
    // And it knows whom to tell.
    await cluster.until(() => one.node.cluster().members.length === 4, 'a1 knows all');
    await cluster.advance(1000);
    const closed = one.close();
    await cluster.until(() => health(cluster.node('n1'), 'a1') === undefined, 'a1 is gone', 5000);
    await cluster.run(closed);
  });

  test('goes on at another member when the one that serves it dies, and by its client without an error', async () => {
    await start();
    const one = await agent('a1');
    for (let round = 0; round < 3; round++) {
      const leader = cluster.leader;
      leader?.crash();
      await cluster.until(() => one.node.readiness().ready, 'somebody serves it');
      await cluster.until(() => cluster.leader !== null, 'somebody leads');
      await cluster.run(one.node.put('round', String(round)));
      if (leader !== null) void leader.start();
      await cluster.until(
        () => leader === null || (leader.state === 'running' && leader.node.readiness().ready),
        'back',
      );
    }
    expect(text((await cluster.run(one.node.get('round'))).entry?.value)).toBe('2');
  });

  test('goes on at another member when the one that serves it is cut off from the others', async () => {
    await start();
    const one = await agent('a1');
    for (let round = 0; round < 4; round++) {
      const detail = one.node.readiness().checks.find(({ name }) => name === 'member')?.detail ?? '';
      const server = detail.split(' ')[0] ?? '';
      const others = ['n1', 'n2', 'n3'].filter((name) => name !== server);
      expect(others).toHaveLength(2);
      cluster.partition([server], others);
      await cluster.until(() => others.includes(cluster.leader?.name ?? ''), 'the others have a leader');
      const codes: string[] = [];
      const put = (): Promise<unknown> => one.node.put('round', String(round), { timeoutMs: 2000 });
      for (let tries = 0; codes.at(-1) !== 'ok' && tries < 3; tries++) {
        codes.push(
          await cluster.run(
            put().then(
              () => 'ok',
              (error: KvorumError) => error.code,
            ),
          ),
        );
      }
      // The one that is cut off was asked once or twice: one that led took what it could not commit.
      expect(codes.slice(0, -1).filter((code) => code !== 'ERR_TIMEOUT' && code !== 'ERR_NO_LEADER')).toEqual([]);
      expect(codes.at(-1)).toBe('ok');
      cluster.heal();
      await cluster.until(() => cluster.nodes.every(({ node }) => node.readiness().ready), 'all is well again');
    }
  });

  test('does not wait for ever for a member that stands still', async () => {
    await start();
    const one = await agent('a1');
    const met = (): boolean => ['n1', 'n2', 'n3'].every((name) => health(cluster.node(name), 'a1') === 'alive');
    await cluster.until(met, 'they have met');
    await cluster.advance(2000);
    for (const { name } of [...cluster.nodes]) if (name !== 'a1') cluster.node(name).pause();
    const put = one.node.put('k', 'v', { timeoutMs: 1000 });
    await expect(cluster.run(put, 2100)).rejects.toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    // And what has much time, when gossip takes the member for dead.
    const lock = one.node.locks.acquire('l', { waitMs: 60_000 });
    await expect(cluster.run(lock, 120_000)).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
    for (const { name } of [...cluster.nodes]) cluster.node(name).resume();
    await cluster.until(() => one.node.readiness().ready, 'somebody serves it');
    await cluster.until(() => cluster.leader !== null, 'somebody leads');
    // Both sides dial when they wake: what is asked over a link that gives way to another is lost with it, and the caller is told so.
    const lost: unknown[] = [];
    const again = async (): Promise<unknown> => {
      try {
        return await one.node.put('k', 'v');
      } catch (error) {
        lost.push(error);
        if (lost.length > 3) throw error;
        return await again();
      }
    };
    await cluster.run(again());
    for (const error of lost) expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
    // Not because the agent used a number again that its call of before the silence has on the same link: a member closes a link for that.
    for (const name of ['n1', 'n2', 'n3']) expect(await malformed(cluster.node(name)), name).toBe(0);
  });

  test('follows members that are all exchanged', async () => {
    await start({ nodes: 1 });
    const one = await agent('a1');
    for (const name of ['n2', 'n3']) {
      const node = cluster.add(name);
      void node.start();
      await cluster.until(() => node.state === 'running' && node.node.readiness().ready, `${name} is here`);
      await cluster.until(
        () => node.node.cluster().members.some((member) => member.name === name && member.role === 'voter'),
        `${name} votes`,
      );
    }
    await cluster.run(one.node.members.remove('n1'));
    await cluster.until(() => !cluster.node('n1').alive, 'n1 has stopped');
    // What was asked of a member that stops meanwhile is answered by nobody.
    await cluster.advance(1000);
    await cluster.until(() => one.node.readiness().ready, 'another serves it');
    await cluster.run(one.node.put('a', '1'));
    expect(one.node.cluster().members.map(({ name }) => name)).not.toContain('n1');
  });

  test('comes by a token, without the secret', async () => {
    await start();
    const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ role: 'agent' }));
    const one = cluster.add('a1', { role: 'agent', joinToken: token });
    void one.start();
    await cluster.until(() => one.state === 'running' && one.node.readiness().ready, 'a1 is here');
    await cluster.run(one.node.put('a', '1'));
    const voter = cluster.add('n9', { role: 'voter', joinToken: token });
    void voter.start();
    await cluster.until(() => voter.state === 'failed', 'it is for agents only');
    expect(voter.failure).toMatchObject({ code: 'ERR_BAD_TOKEN' });
  });

  test('is no dead end for who comes by a token and asks it first', async () => {
    await start();
    const one = await agent('a1');
    const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ role: 'learner' }));
    const joiner = cluster.add('n4', { role: 'learner', joinToken: token });
    joiner.options = { ...joiner.options, join: [one.address] };
    cluster.network.cut(joiner.address, 'n1:1');
    void joiner.start();
    // It is refused, and not for good: whoever started it may have named members as well.
    await cluster.advance(10_000);
    expect([joiner.state, joiner.failure]).toEqual(['starting', null]);
    joiner.crash();
    joiner.options = { ...joiner.options, join: [one.address, 'n2:1'] };
    void joiner.start();
    await cluster.until(() => joiner.state === 'running', 'n4 has joined');
  });

  test('without any member it says so, at once', async () => {
    await start();
    const one = await agent('a1');
    for (const name of ['n1', 'n2', 'n3']) cluster.node(name).crash();
    await cluster.until(() => !one.node.readiness().ready, 'nobody serves it');
    await expect(cluster.run(one.node.put('a', '1'))).rejects.toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
  });
});
