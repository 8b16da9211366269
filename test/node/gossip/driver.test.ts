import { afterEach, describe, expect, test } from 'vitest';
import { signedBytes, type AliveStatement, type GossipMessage } from '../../../src/gossip/index.ts';
import { encodeGossip } from '../../../src/node/gossip/frames.ts';
import { MAX_REMEMBERED } from '../../../src/node/gossip/remembered.ts';
import { Signatures } from '../../../src/node/signatures.ts';
import { Random } from '../../../src/testing/random.ts';
import { Peers, type TestPeer } from './peers.ts';

/** The default protocol period. */
const PERIOD_MS = 1000;

let peers: Peers;
afterEach(() => peers.close());

function bytesOf(message: GossipMessage): Uint8Array {
  return Uint8Array.from(Buffer.concat(encodeGossip(message).flat()));
}

describe('peers that gossip', () => {
  test('know each other from one contact, by links that are made when they are needed', async () => {
    peers = new Peers(1);
    const all = await peers.meet(8);
    for (const peer of all) {
      expect(
        peer.gossip
          .members()
          .map(({ name }) => name)
          .toSorted(),
      ).toEqual(all.map(({ name }) => name).toSorted());
      expect(peer.gossip.stats().refused).toMatchObject({ badSignature: 0, badIdentity: 0, malformed: 0 });
    }
    // After a while each has pinged each: nobody was told to dial.
    await peers.time.pass(10 * PERIOD_MS);
    for (const peer of all) expect(peer.transport.peers().length).toBeGreaterThan(1);
    expect(all.reduce((sum, { links }) => sum + links.size, 0)).toBeGreaterThan(all.length);
    expect(all.flatMap(({ events }) => events).filter(({ event }) => event === 'suspect')).toEqual([]);
  });

  test('find a crash by probes within the periods that it may take', async () => {
    peers = new Peers(2);
    const all = await peers.meet(5);
    const [dead, ...others] = all.toReversed() as [TestPeer, ...TestPeer[]];
    const at = peers.time.now;
    dead.crash();
    await peers.until(() => others.every((peer) => peer.state(dead) === 'dead'), 'all know of it');
    // Each probes all others in turn, so one is met within 2(n-1)-1 periods (SWIM §4.3); the probe takes one; suspicion between 4 and 24; then it spreads.
    expect((peers.time.now - at) / PERIOD_MS).toBeLessThan(7 + 1 + 24 + 2);
    for (const peer of others) {
      expect(peer.told(dead)).toEqual(['up', 'suspect', 'dead']);
      expect(peer.transport.peer(dead.id)).toBeUndefined();
    }
    expect(others.flatMap((peer) => others.flatMap((other) => peer.told(other)))).not.toContain('suspect');
  });

  test('hear it when one leaves, within a period, and do not suspect it', async () => {
    peers = new Peers(3);
    const all = await peers.meet(5);
    const [left, ...others] = all as [TestPeer, ...TestPeer[]];
    const at = peers.time.now;
    await peers.time.settle(left.close());
    expect(peers.time.now - at).toBeLessThanOrEqual(PERIOD_MS);
    await peers.until(() => others.every((peer) => peer.state(left) === 'left'), 'all know of it');
    expect(peers.time.now - at).toBeLessThanOrEqual(2 * PERIOD_MS);
    await peers.time.pass(10 * PERIOD_MS);
    for (const peer of others) expect(peer.told(left)).toEqual(['up', 'left']);
  });

  test('leaves at once when there is nobody to tell', async () => {
    peers = new Peers(4);
    const alone = peers.add('alone');
    await alone.start([]);
    await peers.time.pass(100);
    const at = peers.time.now;
    await peers.time.settle(alone.close());
    expect(peers.time.now - at).toBeLessThan(10);
  });

  test('take one that comes back for itself, with a larger incarnation', async () => {
    peers = new Peers(5);
    const all = await peers.meet(3);
    const [a, , c] = all as [TestPeer, TestPeer, TestPeer];
    const before = a.gossip.member(c.id)!.incarnation;
    c.crash();
    await peers.until(() => a.state(c) === 'dead', 'dead');
    await c.start([a]);
    await peers.until(() => a.state(c) === 'alive', 'alive again', 5 * PERIOD_MS);
    expect(a.gossip.member(c.id)!.incarnation).toBeGreaterThan(before);
    expect(a.told(c)).toEqual(['up', 'suspect', 'dead', 'alive-again']);
  });

  test('one that stood still speaks up, and does not accuse the others', async () => {
    peers = new Peers(6);
    const all = await peers.meet(4);
    const [slow, ...others] = all as [TestPeer, ...TestPeer[]];
    slow.process.pause();
    await peers.until(() => others.every((peer) => peer.state(slow) === 'suspect'), 'suspected', 20 * PERIOD_MS);
    await peers.time.pass(PERIOD_MS);
    slow.process.resume();
    await peers.until(() => others.every((peer) => peer.state(slow) === 'alive'), 'well again', 5 * PERIOD_MS);
    expect(slow.gossip.stats().refutations).toBeGreaterThan(0);
    expect(slow.gossip.lags).toBeGreaterThan(0);
    expect(slow.events.map(({ event }) => event)).not.toContain('suspect');
    expect(slow.gossip.stats().stalls).toBeGreaterThan(0);
  });

  test('half of them cut off for longer than the dead are gossiped to come together again', async () => {
    peers = new Peers(7, { gossipToTheDeadMs: 3000, deadRetryIntervalMs: 2000, pushPullIntervalMs: 5000 });
    const all = await peers.meet(8);
    const [left, right] = [all.slice(0, 4), all.slice(4)];
    for (const a of left) for (const b of right) peers.network.cut(a.address, b.address);
    const dead = (mine: TestPeer[], theirs: TestPeer[]): boolean =>
      mine.every((peer) => theirs.every((other) => peer.state(other) === 'dead'));
    await peers.until(() => dead(left, right) && dead(right, left), 'two halves');
    await peers.time.pass(10_000);
    expect(all.map((peer) => peer.count('alive'))).toEqual(all.map(() => 4));
    peers.network.healAll();
    const at = peers.time.now;
    await peers.until(() => all.every((peer) => peer.count('alive') === 8), 'one cluster again');
    // Somebody on either side tries one of the dead every 2 s; the rest is one exchange and one round of gossip.
    expect(peers.time.now - at).toBeLessThan(15_000);
  });

  test('what one says of itself reaches the others: at once when it is asked to look', async () => {
    peers = new Peers(8);
    const [a, b] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    a.role = 'learner';
    a.gossip.refresh();
    await peers.until(() => b.gossip.member(a.id)?.role === 'learner', 'a learner', PERIOD_MS);
    a.role = 'voter';
    await peers.until(() => b.gossip.member(a.id)?.role === 'voter', 'looked at by itself', 3 * PERIOD_MS);
    expect(b.told(a)).toEqual(['up', 'updated', 'updated']);
  });

  test('links stay within their bound, whoever is pinged', async () => {
    peers = new Peers(9);
    const first = peers.add('p0');
    first.maxLinks = 3;
    await first.start([]);
    const others = Array.from({ length: 10 }, (_, i) => peers.add(`q${i}`));
    for (const peer of others) await peer.start([first]);
    await peers.until(() => first.count('alive') === 11, 'all known');
    for (let i = 0; i < 30; i++) {
      await peers.time.pass(PERIOD_MS);
      expect(first.links.size).toBeLessThanOrEqual(3);
    }
    expect([first, ...others].map((peer) => peer.count('alive'))).toEqual(Array.from({ length: 11 }, () => 11));
  });
});

describe('members are remembered', () => {
  test('and found again when the contact is gone', async () => {
    peers = new Peers(10);
    const all = await peers.meet(4);
    const [contact, a, b, c] = all as [TestPeer, TestPeer, TestPeer, TestPeer];
    await peers.time.pass(6000);
    for (const peer of all) peer.crash();
    for (const peer of [a, b, c]) await peer.start([contact]);
    await peers.until(
      () => [a, b, c].every((peer) => [a, b, c].every((other) => peer.state(other) === 'alive')),
      'found',
    );
    // Nobody is taken on trust for long.
    await peers.until(() => a.state(contact) === 'dead', 'the one that is gone');
  });

  test('but not who has left, and not more than there is room for', async () => {
    peers = new Peers(11);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await peers.time.settle(c.close());
    // Signed as by strangers that are members: more than are remembered.
    const statements = Array.from({ length: MAX_REMEMBERED + 50 }, (_, i) => aliveOf(peers.add(`s${i}`)));
    for (let at = 0; at < statements.length; at += 50) {
      const part = statements.slice(at, at + 50);
      b.transport.send(a.id, 'gossip', [bytesOf({ type: 'sync', answer: false, statements: part })]);
    }
    await peers.until(() => a.gossip.members().length > MAX_REMEMBERED, 'all are known');
    await peers.time.pass(6000);
    for (const peer of [a, b]) peer.crash();
    await a.start([]);
    expect(a.gossip.members()).toHaveLength(1 + MAX_REMEMBERED);
    expect(a.gossip.member(b.id)?.state).toBe('alive');
    expect(a.gossip.member(c.id)).toBeUndefined();
  });
});

/** What a peer would say of itself. */
function aliveOf(peer: TestPeer, change: Partial<AliveStatement> = {}, by: TestPeer = peer): AliveStatement {
  const { id, peerId, name, address } = peer;
  const fields = { kind: 'alive', id, peerId, incarnation: 2 ** 20, name, role: 'agent', http: '' } as const;
  const unsigned = { ...fields, addresses: [address], metadata: new Uint8Array(0), ...change };
  return { ...unsigned, signature: new Signatures(by.key).sign(signedBytes('4711', unsigned)) };
}

describe('what is forged', () => {
  test('is counted by its reason, and changes nothing', async () => {
    peers = new Peers(20);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    const stranger = peers.add('stranger');
    const forged: readonly [GossipMessage, string][] = [
      // Of a member, with another's signature.
      [{ type: 'gossip', updates: [aliveOf(c, { incarnation: 2 ** 40, name: 'evil' }, b)] }, 'badSignature'],
      // An id that does not belong to the key.
      [{ type: 'gossip', updates: [aliveOf(stranger, { id: '5' })] }, 'badIdentity'],
      [{ type: 'gossip', updates: [aliveOf(stranger, { peerId: 'nobody' })] }, 'badIdentity'],
      [
        {
          type: 'gossip',
          updates: [{ kind: 'left', id: c.id, incarnation: c.gossip.incarnation, signature: new Uint8Array(64) }],
        },
        'badSignature',
      ],
      [
        {
          type: 'gossip',
          updates: [
            { kind: 'dead', id: c.id, incarnation: c.gossip.incarnation, by: b.id, signature: new Uint8Array(64) },
          ],
        },
        'badSignature',
      ],
      [{ type: 'digest', clusterId: '4712', count: 1, hash: [0, 0], updates: [] }, 'wrongCluster'],
      [{ type: 'pingRequest', sequence: 1, target: '77', updates: [] }, 'unknownSubject'],
    ];
    for (const [message, reason] of forged) {
      const before = a.gossip.stats().refused[reason as 'badSignature'];
      expect(b.transport.send(a.id, 'gossip', [bytesOf(message)])).toBe(true);
      await peers.until(() => a.gossip.stats().refused[reason as 'badSignature'] === before + 1, reason, PERIOD_MS);
    }
    expect(
      a.gossip
        .members()
        .map(({ name, state }) => `${name} ${state}`)
        .toSorted(),
    ).toEqual(['p1 alive', 'p2 alive', 'p3 alive']);
    expect(a.told(c)).toEqual(['up']);
  });

  test('a flood of noise and of strangers ends within bounds, and the others are served', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    peers = new Peers(21, { maxMembers: 40 });
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    const random = new Random(seed);
    const valid = [
      bytesOf({ type: 'gossip', updates: [aliveOf(c)] }),
      bytesOf({ type: 'pingRequest', sequence: 7, target: c.id, updates: [] }),
      bytesOf({ type: 'digest', clusterId: '4711', count: 9, hash: [1, 2], updates: [] }),
      bytesOf({ type: 'ping', sequence: 7, health: 0, updates: [] }),
    ];
    const strangers = Array.from({ length: 60 }, (_, i) => aliveOf(peers.add(`s${i}`)));
    for (let i = 0; i < 4000; i++) {
      const frame = i % 2 === 0 ? random.bytes(random.between(0, 300)) : random.pick(valid).slice();
      if (i % 3 === 0 && frame.length > 0) frame[random.between(0, frame.length - 1)] = random.between(0, 255);
      b.transport.send(a.id, random.pick(['ping', 'gossip']), [frame]);
      if (i % 50 === 0) {
        b.transport.send(a.id, 'gossip', [bytesOf({ type: 'gossip', updates: [random.pick(strangers)] })]);
        await peers.time.pass(2);
      }
    }
    await peers.time.pass(2 * PERIOD_MS);
    const { refused } = a.gossip.stats();
    expect(refused.malformed, `seed ${seed}`).toBeGreaterThan(1000);
    expect(refused.tooManyRelays + refused.tooManySyncs, `seed ${seed}`).toBeGreaterThan(100);
    expect(a.gossip.members().length, `seed ${seed}`).toBeLessThanOrEqual(40);
    expect(a.links.size, `seed ${seed}`).toBeLessThanOrEqual(60);
    expect(a.transport.stats().malformed, `seed ${seed}`).toBe(0);
    // It is still a member among members.
    await peers.until(() => a.state(b) === 'alive' && c.state(a) === 'alive', `all well, seed ${seed}`);
  });
});
