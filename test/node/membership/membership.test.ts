/** Members that come, go and are exchanged while the cluster runs: whole nodes on virtual time, disk and network. */
import { afterEach, describe, expect, test } from 'vitest';
import type { MemberInfo } from '../../../src/node/types.ts';
import { simCluster, type SimCluster, type SimClusterOptions } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

async function start(options: SimClusterOptions = {}): Promise<SimCluster> {
  cluster = await simCluster(options);
  return cluster;
}

function membersOf(node: SimNode): Record<string, MemberInfo['role']> {
  return Object.fromEntries(node.node.cluster().members.map(({ name, role }) => [name, role]));
}

/** Every running node says that these are the members. */
async function until(expected: Record<string, MemberInfo['role']>): Promise<void> {
  await cluster.until(
    () =>
      cluster.nodes
        .filter((node) => node.state === 'running')
        .every((node) => JSON.stringify(sorted(membersOf(node))) === JSON.stringify(sorted(expected))),
    `all agree on ${JSON.stringify(expected)}`,
  );
}

function sorted(record: Record<string, string>): [string, string][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

async function join(name: string, options: Parameters<SimCluster['add']>[1] = {}): Promise<SimNode> {
  const node = cluster.add(name, options);
  void node.start();
  await cluster.until(() => node.state !== 'starting', `${name} has joined`);
  if (node.failure !== null) throw node.failure;
  return node;
}

function leader(): SimNode {
  const { leader: found } = cluster;
  if (found === null) throw new Error('nobody leads');
  return found;
}

function put(node: SimNode, key: string, value: string): Promise<unknown> {
  return cluster.run(node.node.put(key, value));
}

async function get(node: SimNode, key: string): Promise<string | null> {
  const { entry } = await cluster.run(node.node.get(key));
  return entry === null ? null : new TextDecoder().decode(entry.value);
}

describe('joining', () => {
  test('a node that joins is a learner, then a voter, and has what was written', async () => {
    await start();
    await put(leader(), 'a', '1');
    const n4 = await join('n4');
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'voter' });
    expect(await get(n4, 'a')).toBe('1');
  });

  test('one node becomes three, five, three and one, and nothing is lost', async () => {
    await start({ nodes: 1 });
    await put(leader(), 'step', '1');
    for (const name of ['n2', 'n3', 'n4', 'n5']) await join(name);
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'voter', n5: 'voter' });
    await put(leader(), 'step', '5');
    for (const name of ['n1', 'n2', 'n3', 'n4']) {
      const removed = await cluster.run(cluster.node('n5').node.members.remove(name));
      expect(removed).toEqual({ removed: true });
      await cluster.until(() => !cluster.node(name).alive, `${name} has stopped`);
      expect(cluster.node(name).failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
      await cluster.until(() => cluster.leader !== null, 'somebody leads');
      await put(cluster.node('n5'), 'step', name);
    }
    await until({ n5: 'voter' });
    expect(await get(cluster.node('n5'), 'step')).toBe('n4');
  });

  test('a learner stays one until it is promoted', async () => {
    await start();
    await join('n4', { role: 'learner' });
    await cluster.advance(5000);
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'learner' });
    expect(await cluster.run(cluster.node('n2').node.members.promote('n4'))).toMatchObject({
      name: 'n4',
      role: 'voter',
    });
    expect(await cluster.run(cluster.node('n4').node.members.demote('n4'))).toMatchObject({
      name: 'n4',
      role: 'learner',
    });
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'learner' });
  });

  test('a learner that has not caught up is not promoted, and nothing is changed', async () => {
    await start();
    const n4 = await join('n4', { role: 'learner' });
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'learner' });
    n4.crash();
    // For as long as it was heard of late it counts as caught up.
    await cluster.advance(2000);
    const promoted = cluster.run(leader().node.members.promote('n4', { timeoutMs: 5000 }));
    await expect(promoted).rejects.toMatchObject({ code: 'ERR_NOT_CAUGHT_UP', outcome: 'none' });
    expect(membersOf(leader())['n4']).toBe('learner');
  });

  test('nor is a learner promoted that answers, and lacks more than a few hundred entries', async () => {
    await start();
    const n4 = await join('n4', { role: 'learner' });
    await cluster.until(() => n4.node.readiness().ready, 'n4 is ready');
    // It answers heartbeats, and acknowledges nothing.
    n4.disk.hold();
    const { node } = leader();
    const put600 = Promise.all(Array.from({ length: 600 }, (_, i) => node.put(`k${i}`, 'v')));
    await cluster.run(put600);
    await cluster.advance(500);
    const promoted = cluster.run(node.members.promote('n4', { timeoutMs: 1000 }));
    await expect(promoted).rejects.toMatchObject({ code: 'ERR_NOT_CAUGHT_UP', outcome: 'none' });
    expect(membersOf(leader())).toMatchObject({ n4: 'learner' });
    n4.disk.release();
    expect(await cluster.run(node.members.promote('n4'))).toMatchObject({ role: 'voter' });
  });

  test('a name that is taken is refused, and says by whom', async () => {
    await start();
    cluster.node('n3').crash();
    const twin = cluster.add('n3');
    void twin.start();
    await cluster.until(() => twin.state !== 'starting', 'the twin has an answer');
    expect(twin.failure).toMatchObject({ code: 'ERR_MEMBER_EXISTS' });
  });

  test('a node that joined finds its cluster again after a restart, though all first members are gone', async () => {
    await start({ nodes: 1 });
    const n2 = await join('n2');
    const n3 = await join('n3');
    await until({ n1: 'voter', n2: 'voter', n3: 'voter' });
    await cluster.run(n2.node.members.remove('n1'));
    await until({ n2: 'voter', n3: 'voter' });
    await cluster.until(() => !cluster.node('n1').alive, 'n1 has stopped');
    n2.crash();
    n3.crash();
    void n2.start();
    void n3.start();
    await cluster.until(() => n2.state === 'running' && n2.node.readiness().ready, 'n2 is back');
    await put(n2, 'a', '2');
  });

  test('a node that was let in and lost its memory of it is let in again', async () => {
    await start();
    const n4 = cluster.add('n4', { role: 'learner' });
    void n4.start();
    // It is a member as soon as the leader says so, and knows it only when its own disk does.
    await cluster.until(() => membersOf(leader())['n4'] === 'learner', 'n4 is a member');
    n4.crash();
    void n4.start();
    await cluster.until(() => n4.state === 'running' && n4.node.readiness().ready, 'n4 is here');
    await until({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'learner' });
  });
});

describe('replacing', () => {
  test('a dead member is replaced by a new node of another name in one step', async () => {
    await start();
    await put(leader(), 'a', '1');
    cluster.node('n2').crash();
    const n4 = await join('n4', { replaces: 'n2' });
    await until({ n1: 'voter', n3: 'voter', n4: 'voter' });
    expect(await get(n4, 'a')).toBe('1');
  });

  test('a wiped member comes back as a new one in its own place', async () => {
    await start();
    await put(leader(), 'a', '1');
    cluster.node('n2').crash();
    const n2 = await join('n2', { replaces: 'n2' });
    await until({ n1: 'voter', n2: 'voter', n3: 'voter' });
    expect(await get(n2, 'a')).toBe('1');
    expect(n2.node.cluster().members).toHaveLength(3);
  });

  test('a member that was replaced while it was down hears it when it comes back, and stops', async () => {
    await start();
    const n2 = cluster.node('n2');
    n2.crash();
    await join('n4', { replaces: 'n2' });
    await until({ n1: 'voter', n3: 'voter', n4: 'voter' });
    void n2.start();
    await cluster.until(() => n2.state === 'failed', 'n2 has stopped');
    expect(n2.failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
  });

  test('a running member is replaced by another in one joint change', async () => {
    await start();
    await join('n4', { role: 'learner' });
    await cluster.run(cluster.node('n4').node.members.replace('n1', 'n4'));
    await until({ n2: 'voter', n3: 'voter', n4: 'voter' });
    await cluster.until(() => cluster.node('n1').state === 'failed', 'n1 has stopped');
  });
});

describe('removing', () => {
  test('the leader can be removed: another leads soon, the removed one stops, its name is free', async () => {
    await start();
    const old = leader();
    const other = cluster.nodes.find((node) => node !== old)!;
    expect(await cluster.run(other.node.members.remove(old.name))).toEqual({ removed: true });
    await cluster.until(() => old.state === 'failed', 'it has stopped');
    expect(old.failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
    await cluster.until(() => cluster.leader !== null, 'another leads', 2000);
    await put(other, 'a', '1');
    const again = await join(old.name);
    await cluster.until(() => membersOf(again)[old.name] === 'voter', 'the name is taken again');
  });

  test('the only voter cannot go, and what is not there is gone already', async () => {
    await start({ nodes: 1 });
    const n1 = cluster.node('n1');
    await expect(cluster.run(n1.node.members.remove('n1'))).rejects.toMatchObject({ code: 'ERR_LAST_VOTER' });
    await expect(cluster.run(n1.node.members.demote('n1'))).rejects.toMatchObject({ code: 'ERR_LAST_VOTER' });
    expect(await cluster.run(n1.node.members.remove('n9'))).toEqual({ removed: false });
    await expect(cluster.run(n1.node.members.promote('n9'))).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  });

  test('a member that is cut off while it is removed stops when it is back', async () => {
    await start({ nodes: 5 });
    cluster.partition(['n5'], ['n1', 'n2', 'n3', 'n4']);
    await cluster.until(() => cluster.leader !== null && cluster.leader.name !== 'n5', 'the others have a leader');
    await cluster.run(cluster.node('n1').node.members.remove('n5'));
    await cluster.advance(20_000);
    expect(cluster.node('n5').state).toBe('running');
    cluster.heal();
    await cluster.until(() => cluster.node('n5').state === 'failed', 'n5 has stopped');
    expect(cluster.node('n5').failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
  });

  test('what is not committed is not answered as done', async () => {
    await start();
    const old = leader();
    const [one, two] = cluster.nodes.filter((node) => node !== old) as [SimNode, SimNode];
    one.pause();
    two.pause();
    // The first appends it, the second finds it in force: neither may say that it is done.
    const first = cluster.run(old.node.members.remove(one.name, { timeoutMs: 300 }));
    const second = cluster.run(old.node.members.remove(one.name, { timeoutMs: 300 }));
    await expect(first).rejects.toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    await expect(second).rejects.toMatchObject({ code: 'ERR_MEMBERSHIP_BUSY', outcome: 'none' });
    one.resume();
    two.resume();
  });

  test('a member that was removed while all others were exchanged hears it from those that it does not know', async () => {
    await start({ nodes: 5 });
    const n1 = cluster.node('n1');
    n1.crash();
    for (const name of ['n2', 'n3', 'n4', 'n5']) {
      await cluster.until(() => cluster.leader !== null, 'somebody leads');
      cluster.node(name).crash();
      // A new node at the same address: n1 will dial it, and not know it.
      const node = await join(name, { replaces: name });
      await cluster.until(() => membersOf(node)[name] === 'voter', `${name} votes`);
      // Until then those of before have to agree, and the next one is among them.
      await cluster.advance(2000);
    }
    await cluster.until(() => cluster.leader !== null, 'somebody leads');
    await cluster.run(leader().node.members.remove('n1'));
    void n1.start();
    await cluster.until(() => n1.state === 'failed', 'n1 has stopped');
    expect(n1.failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
  });

  test('without a majority nothing changes, and the answer says so', async () => {
    await start();
    cluster.node('n2').crash();
    cluster.node('n3').crash();
    await cluster.advance(5000);
    const removed = cluster.run(cluster.node('n1').node.members.remove('n2', { timeoutMs: 1000 }));
    await expect(removed).rejects.toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
  });

  test('calls that are repeated are answered as done', async () => {
    await start();
    await join('n4', { role: 'learner' });
    const { members } = leader().node;
    await cluster.run(members.promote('n4'));
    expect(await cluster.run(members.promote('n4'))).toMatchObject({ role: 'voter' });
    expect(await cluster.run(members.remove('n4'))).toEqual({ removed: true });
    expect(await cluster.run(members.remove('n4'))).toEqual({ removed: false });
  });
});

test('bad input is refused before anything is asked', async () => {
  await start({ nodes: 1 });
  const { members } = cluster.node('n1').node;
  const peerId = '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA';
  const good = { name: 'n2', peerId, address: 'n2:1' };
  for (const bad of [
    { ...good, name: 'a b' },
    { ...good, peerId: 'nonsense' },
    { ...good, address: 'n2' },
    { ...good, role: 'king' as 'voter' },
    { ...good, replaces: '' },
  ]) {
    await expect(members.add(bad)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  }
});

describe('join tokens', () => {
  test('let a node in that has no secret, which is given it', async () => {
    await start();
    const { token, expiresMs } = await cluster.run(
      leader().node.members.createToken({ ttlMs: 60_000, role: 'learner' }),
    );
    expect(expiresMs).toBeGreaterThan(0);
    const n4 = cluster.add('n4', { joinToken: token, role: 'learner' });
    void n4.start();
    await cluster.until(() => n4.state !== 'starting', 'n4 has joined');
    expect(n4.failure).toBeNull();
    await cluster.until(() => n4.node.readiness().ready, 'n4 is ready');
    // Long after the token has expired it starts again, and finds everybody.
    await cluster.advance(120_000);
    n4.crash();
    void n4.start();
    await cluster.until(() => n4.state === 'running' && n4.node.readiness().ready, 'n4 is back');
    await put(n4, 'a', '1');
  });

  test('do not let in as more than they say, nor when they have expired, nor into another cluster', async () => {
    await start();
    const { members } = leader().node;
    const learner = await cluster.run(members.createToken({ role: 'learner' }));
    const brief = await cluster.run(members.createToken({ ttlMs: 1000 }));
    await cluster.advance(10_000);
    for (const [name, joinToken] of [
      ['n4', learner.token],
      ['n5', brief.token],
      ['n6', learner.token.slice(0, -4)],
    ] as const) {
      const node = cluster.add(name, { joinToken });
      void node.start();
      await cluster.until(() => node.state === 'failed', `${name} is refused`);
      expect(node.failure).toMatchObject({ code: 'ERR_BAD_TOKEN' });
    }
    expect(membersOf(leader())).toEqual({ n1: 'voter', n2: 'voter', n3: 'voter' });
  });

  test('are refused for nonsense', async () => {
    await start({ nodes: 1 });
    const { members } = cluster.node('n1').node;
    await expect(members.createToken({ ttlMs: 0 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(members.createToken({ role: 'king' as 'agent' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});
