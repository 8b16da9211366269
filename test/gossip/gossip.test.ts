/** What one core tells, joins, leaves, refuses and bounds. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/gossip/settings.ts';
import type { AliveStatement, Statement } from '../../src/gossip/types.ts';
import { alive, CLUSTER, dead, detailsOf, idOf, incarnationOf, left, peerOf, signed, Solo, suspect } from './solo.ts';

describe('what is told of members', () => {
  it('up, suspect, alive again, dead, alive again, left, up', () => {
    const solo = new Solo(4);
    solo.hear(1, alive(7));
    solo.hear(1, suspect(7, 1), alive(7, 1));
    solo.hear(1, dead(7, 2, 1), suspect(7, 1, 1));
    solo.hear(1, alive(7, 2), left(7, 2));
    solo.hear(1, alive(7, 3));
    expect(solo.takeTold()).toEqual([
      ...['up 7', 'suspect 7', 'alive-again 7', 'dead 7', 'alive-again 7', 'left 7', 'up 7'],
    ]);
  });

  it('updated only when what it says of itself is another', () => {
    const solo = new Solo(4);
    solo.hear(1, alive(2, 1));
    expect(solo.takeTold()).toEqual([]);
    solo.hear(1, alive(2, 2, { metadata: Uint8Array.of(7) }));
    expect(solo.takeTold()).toEqual(['updated 2']);
    expect(solo.core.member(idOf(2))?.metadata).toEqual(Uint8Array.of(7));
  });

  it('who said it', () => {
    const solo = new Solo(4);
    solo.hear(1, suspect(2, 3), alive(9));
    expect(solo.told).toMatchObject([
      { event: 'suspect', id: idOf(2), by: idOf(3), incarnation: incarnationOf(0) },
      { event: 'up', id: idOf(9), by: idOf(9), incarnation: incarnationOf(0) },
    ]);
  });

  it('members() lists all, this node first; health is what each told of itself', () => {
    const solo = new Solo(3);
    const { member, ping } = solo.lastPing ?? { member: 0, ping: { sequence: 0 } };
    solo.receive(member, { type: 'ack', sequence: ping.sequence, health: 4, updates: [] });
    solo.core.reportHealth(2);
    solo.hear(1, dead(3 - member, member));
    const members = solo.core.members();
    expect(members.map(({ id }) => id)[0]).toBe(idOf(0));
    expect(members).toHaveLength(3);
    expect(members[0]).toMatchObject({ state: 'alive', health: 2, peerId: peerOf(0), name: 'node-0' });
    expect(solo.core.member(idOf(member))).toMatchObject({ state: 'alive', health: 4, sinceMs: null });
    expect(solo.core.member(idOf(3 - member))).toMatchObject({ state: 'dead', sinceMs: 0 });
    expect(solo.core.member('404')).toBeUndefined();
  });
});

describe('this node', () => {
  it('answers an accusation by somebody that it does not know: others may have known the accuser, and believe it', () => {
    const solo = new Solo(5);
    solo.hear(1, dead(0, 99));
    expect(solo.core.incarnation).toBe(incarnationOf(1));
    // Only what was said of it as it is, and whoever makes up accusers is not answered each time.
    solo.hear(1, dead(0, 99), dead(0, 98, 7), dead(0, 98, 1), suspect(0, 97, 1));
    expect(solo.core.incarnation).toBe(incarnationOf(1));
    expect(solo.core.stats()).toMatchObject({ health: 0, refused: { unknownAuthor: 3 } });
    solo.run(1000);
    solo.hear(1, dead(0, 98, 1));
    expect(solo.core.incarnation).toBe(incarnationOf(2));
  });

  it('tells of its start, with the incarnation of its boot epoch, unless the others know', () => {
    const solo = new Solo(3, { announce: true });
    expect(solo.lastPing?.ping.updates).toMatchObject([{ kind: 'alive', id: idOf(0), incarnation: incarnationOf(0) }]);
    expect(new Solo(3).lastPing?.ping.updates).toEqual([]);
  });

  it('tells at once what it says otherwise of itself, under a new incarnation', () => {
    const solo = new Solo(3);
    solo.core.setDetails({ metadata: Uint8Array.of(1), role: 'voter' });
    solo.receive(1, { type: 'ping', sequence: 1, health: 0, updates: [] });
    expect(solo.sentOf('ack')[0]?.message.updates).toMatchObject([
      { id: idOf(0), incarnation: incarnationOf(1), role: 'voter', name: 'node-0', metadata: Uint8Array.of(1) },
    ]);
    expect(solo.core.member(idOf(0))).toMatchObject({ role: 'voter' });
  });

  it('what it has to say itself goes out at once, then with the others', () => {
    const solo = new Solo(50, { retransmitMultiplier: 1000 });
    solo.run(450);
    solo.core.setDetails({ metadata: Uint8Array.of(1) });
    solo.run(450);
    expect(solo.sentOf('gossip')).toHaveLength(3);
    solo.run(599);
    expect(solo.sentOf('gossip')).toHaveLength(3);
    solo.run(600);
    expect(solo.sentOf('gossip')).toHaveLength(6);
  });

  it.each([
    { metadata: new Uint8Array(LIMITS.metadataBytes + 1) },
    { name: 'x'.repeat(LIMITS.nameCharacters + 1) },
    { http: 'x'.repeat(LIMITS.httpCharacters + 1) },
    { addresses: Array.from({ length: LIMITS.addresses + 1 }, () => 'a') },
    { addresses: ['x'.repeat(LIMITS.addressCharacters + 1)] },
  ])('cannot say what others would refuse', (details) => {
    const solo = new Solo(3);
    expect(() => solo.core.setDetails(details)).toThrow('over the limits');
    expect(solo.core.incarnation).toBe(incarnationOf(0));
  });

  it('a restart wins over all that was said before, by the boot epoch alone', () => {
    const solo = new Solo(3);
    solo.hear(1, alive(2, 900), dead(2, 1, 900));
    const reborn = signed<AliveStatement>(
      { kind: 'alive', id: idOf(2), peerId: peerOf(2), incarnation: incarnationOf(0, 2), ...detailsOf(2) },
      2,
    );
    solo.hear(1, reborn);
    expect(solo.stateOf(2)).toBe('alive');
  });

  it('when it was put back to an older state, it goes beyond what it said then', () => {
    const solo = new Solo(3);
    solo.hear(1, alive(0, 30));
    expect(solo.core.incarnation).toBe(incarnationOf(31));
    solo.hear(1, left(0, 40));
    expect(solo.core.incarnation).toBe(incarnationOf(41));
    solo.hear(1, { ...alive(0, 50), name: 'forged' });
    expect(solo.core.incarnation).toBe(incarnationOf(41));
    expect(solo.core.stats().refused.badSignature).toBe(1);
  });

  it('leaves with a word of its own, that nobody takes for a failure, and does not come back by itself', () => {
    const solo = new Solo(4);
    solo.do((core) => core.leave(0));
    solo.takeSent();
    expect(solo.core.stats().queued).toBe(1);
    solo.hear(1, suspect(0, 1));
    solo.core.setDetails({ name: 'other' });
    expect(solo.core.incarnation).toBe(incarnationOf(0));
    solo.run(3000);
    expect(solo.core.stats().queued).toBe(0);
    expect(solo.sentOf('ping')).toEqual([]);
    const [word] = solo.sentOf('gossip')[0]?.message.updates ?? [];
    expect(word).toMatchObject({ kind: 'left', id: idOf(0) });
    expect(solo.core.nextTickMs()).toBe(Infinity);

    const other = new Solo(4);
    other.hear(1, left(2), dead(2, 1), suspect(2, 1));
    expect(other.takeTold()).toEqual(['left 2']);
    other.run(200_000);
    expect(other.sentOf('digest').filter(({ to }) => to === peerOf(2))).toEqual([]);
  });
});

describe('joining', () => {
  it('asks the seeds with a word of itself, again at growing intervals until one has told its table', () => {
    const solo = new Solo(1);
    solo.do((core) => core.join([peerOf(1), peerOf(2), peerOf(0)], 0));
    expect(solo.sentOf('digest').map(({ to }) => to)).toEqual([peerOf(1), peerOf(2)]);
    expect(solo.sentOf('digest')[0]?.message).toMatchObject({
      clusterId: CLUSTER,
      count: 1,
      updates: [{ id: idOf(0) }],
    });
    solo.takeSent();
    solo.run(1999);
    expect(solo.sentOf('digest')).toEqual([]);
    solo.run(14_000);
    expect(solo.sentOf('digest').map(({ to }) => to)).toEqual([1, 2, 1, 2, 1, 2].map(peerOf));
    solo.hear(1, alive(1));
    expect(solo.stateOf(1)).toBe('alive');
    solo.takeSent();
    solo.receive(1, { type: 'sync', answer: true, statements: [alive(1), alive(2), alive(3)] });
    expect(solo.core.stats().alive).toBe(4);
    const [reply] = solo.sentOf('sync');
    expect(reply?.message.answer).toBe(false);
    expect(reply?.message.statements).toHaveLength(4);
    solo.takeSent();
    solo.run(20_000);
    expect(solo.sentOf('digest').filter(({ message }) => message.updates.length > 1)).toEqual([]);
  });

  it('a digest that is the same is answered with an empty part, another with the table', () => {
    const solo = new Solo(5);
    const twin = new Solo(5);
    twin.do((core) => core.join([peerOf(0)], 0));
    const joins = new Solo(5, { self: { id: idOf(1), peerId: peerOf(1), bootEpoch: 1, ...detailsOf(1) } });
    joins.do((core) => core.join([peerOf(0)], 0));
    const digest = joins.sentOf('digest')[0]?.message;
    if (digest === undefined) throw new Error('nobody was asked');
    // It knows member 0 not at all, and has its own statement twice: so it says another count.
    solo.receive(1, digest);
    expect(solo.sentOf('sync')[0]?.message).toMatchObject({ answer: true });
    solo.takeSent();
    solo.receive(1, { ...digest, ...ownDigest(solo) });
    expect(solo.sentOf('sync')[0]?.message).toEqual({ type: 'sync', answer: false, statements: [] });
  });

  it('a member that is taken for dead and can be reached again hears it at once, another is left alone', () => {
    const solo = new Solo(4);
    solo.hear(1, dead(2, 3));
    solo.takeSent();
    for (const member of [1, 2, 99]) solo.do((core) => core.reachable(idOf(member), 0));
    const asked = solo.sentOf('digest');
    expect(asked.map(({ to }) => to)).toEqual([peerOf(2)]);
    expect(asked[0]?.message.updates[0]).toMatchObject({ kind: 'dead', id: idOf(2) });
    expect(asked[0]?.message.updates.some(({ id }) => id === idOf(0))).toBe(true);
  });

  it('one that has come back as it was in an older life is told what it has forgotten, and outbids it', () => {
    const solo = new Solo(3);
    const newest = alive(1, 5, { http: 'http://new' });
    const accusation = dead(1, 2, 5);
    solo.hear(2, newest, accusation);
    solo.takeSent();
    solo.receive(1, { type: 'sync', answer: false, statements: [alive(1, 2)] });
    const sent = (): unknown => solo.sentOf('sync').map(({ to, message }) => [to, message.statements]);
    expect(sent()).toEqual([
      [peerOf(1), [accusation]],
      [peerOf(1), [newest]],
    ]);
    // Another hears what it has to pass on, and no more.
    solo.takeSent();
    solo.receive(2, { type: 'sync', answer: false, statements: [alive(1, 2), alive(2)] });
    expect(sent()).toEqual([[peerOf(2), [accusation]]]);
    const old = new Solo(3);
    old.receive(1, { type: 'sync', answer: false, statements: [dead(0, 2, 5)] });
    expect(old.core.incarnation).toBe(incarnationOf(0));
    old.receive(1, { type: 'sync', answer: false, statements: [alive(0, 5, { http: 'http://new' })] });
    expect(old.core.incarnation).toBe(incarnationOf(6));
    expect(old.core.members()[0]?.http).toBe('');
  });

  it('large tables go in parts, the last of which asks for the answer', () => {
    const solo = new Solo(2 * LIMITS.syncStatements + 10);
    solo.receive(1, { type: 'digest', clusterId: CLUSTER, count: 1, hash: [1, 2], updates: [] });
    const parts = solo.sentOf('sync').map(({ message }) => [message.statements.length, message.answer]);
    expect(parts).toEqual([
      [LIMITS.syncStatements, false],
      [LIMITS.syncStatements, false],
      [10, true],
    ]);
  });

  it('whole tables are told so many times at once, then four times a second', () => {
    const solo = new Solo(3);
    const ask = (): void => {
      solo.receive(1, { type: 'digest', clusterId: CLUSTER, count: 9, hash: [1, 2], updates: [] });
    };
    for (let i = 0; i < 40; i++) ask();
    expect(solo.sentOf('sync')).toHaveLength(16);
    expect(solo.core.stats().refused.tooManySyncs).toBe(24);
    solo.run(1000);
    solo.takeSent();
    for (let i = 0; i < 10; i++) ask();
    expect(solo.sentOf('sync')).toHaveLength(4);
  });

  it('another cluster is not listened to', () => {
    const solo = new Solo(3);
    const updates = [alive(9)];
    solo.receive(9, { type: 'digest', clusterId: 'other', count: 1, hash: [1, 2], updates });
    expect(solo.sentOf('sync')).toEqual([]);
    expect(solo.stateOf(9)).toBeUndefined();
    expect(solo.core.stats().refused.wrongCluster).toBe(1);
  });

  it('who is dead in the table of another is suspected in silence, and told of it, so that it can speak up', () => {
    const solo = new Solo(5);
    const word = dead(2, 3);
    solo.takeSent();
    solo.receive(1, { type: 'sync', answer: false, statements: [word] });
    expect(solo.takeTold()).toEqual(['suspect 2']);
    expect(solo.takeSent()).toMatchObject([{ to: peerOf(2), message: { type: 'gossip', updates: [word] } }]);
    expect(solo.core.stats().queued).toBe(0);
    solo.hear(1, dead(3, 1));
    expect(solo.takeTold()).toEqual(['dead 3']);
  });

  it('who tells a table in which somebody lives that is dead here, hears so', () => {
    const solo = new Solo(5);
    const word = dead(2, 3);
    solo.hear(1, word);
    solo.takeSent();
    solo.receive(1, { type: 'sync', answer: false, statements: [alive(2), alive(3)] });
    expect(solo.sentOf('sync')).toMatchObject([{ to: peerOf(1), message: { answer: false, statements: [word] } }]);
  });
});

describe('the dead', () => {
  it('are asked one at a time for ever, and told that they were taken for dead', () => {
    const solo = new Solo(3, { pushPullIntervalMs: 1e9 });
    const word = dead(2, 1);
    solo.hear(1, word, left(1));
    solo.run(600_000);
    const asked = solo.sentOf('digest').filter(({ to }) => to === peerOf(2));
    expect(asked.length).toBeGreaterThanOrEqual(19);
    expect(asked.length).toBeLessThanOrEqual(21);
    for (const { message } of asked) expect(message.updates[0]).toBe(word);
  });

  it('are gossiped to for a while', () => {
    const solo = new Solo(2, { retransmitMultiplier: 1000, gossipToTheDeadMs: 5000, pushPullIntervalMs: 1e9 });
    solo.hear(1, alive(5));
    solo.hear(1, dead(5, 1), left(1));
    solo.run(4900);
    const toTheDead = (): number => solo.sentOf('gossip').filter(({ to }) => to === peerOf(5)).length;
    expect(toTheDead()).toBeGreaterThan(10);
    solo.run(5000);
    const before = toTheDead();
    solo.run(20_000);
    expect(toTheDead()).toBe(before);
  });
});

describe('forgery', () => {
  const cases: [string, Statement, 'badSignature' | 'badIdentity' | 'unknownAuthor' | 'unknownSubject'][] = [
    ['a name that was changed', { ...alive(9), name: 'forged' }, 'badSignature'],
    ['an incarnation that was changed', { ...alive(2), incarnation: incarnationOf(5) }, 'badSignature'],
    ['somebody who speaks for another', signed<AliveStatement>({ ...alive(2, 3) }, 1), 'badSignature'],
    ['an id that is not that of the peer', signed<AliveStatement>({ ...alive(9, 3), id: idOf(2) }, 9), 'badIdentity'],
    ['a peer id that is none', signed<AliveStatement>({ ...alive(9), peerId: 'nonsense' }, 9), 'badIdentity'],
    ['an accusation in the name of another', { ...suspect(2, 1), by: idOf(3) }, 'badSignature'],
    ['a suspicion made a death', { ...suspect(2, 1), kind: 'dead' }, 'badSignature'],
    ['an accusation by nobody known', dead(2, 99), 'unknownAuthor'],
    ['an accusation of nobody known', dead(99, 1), 'unknownSubject'],
    ['a good-bye that another says', { ...left(2), signature: suspect(2, 1).signature }, 'badSignature'],
    ['a statement of another cluster', signed<AliveStatement>({ ...alive(9) }, 9, 'other'), 'badSignature'],
    ['an accusation of this node that was changed', { ...suspect(0, 1), by: idOf(2) }, 'badSignature'],
  ];

  it.each(cases)('is not believed, and counted: %s', (_, statement, reason) => {
    const solo = new Solo(5);
    const before = solo.core.members();
    solo.hear(1, statement);
    solo.receive(1, { type: 'sync', answer: false, statements: [statement] });
    expect(solo.core.members()).toEqual(before);
    expect(solo.takeTold()).toEqual([]);
    expect(solo.core.stats().refused[reason]).toBe(2);
    solo.receive(3, { type: 'ping', sequence: 1, health: 0, updates: [] });
    expect(solo.sentOf('ack')[0]?.message.updates).toEqual([]);
  });

  it('costs a verification only for what would change something', () => {
    const solo = new Solo(10);
    const verified = (): number => solo.core.stats().verifications;
    solo.hear(1, alive(2), alive(3), { ...alive(4), name: 'forged' });
    expect(verified()).toBe(0);
    solo.hear(1, dead(5, 1));
    expect(verified()).toBe(1);
    solo.hear(1, ...[2, 3, 4].flatMap((by) => [dead(5, by), suspect(5, by)]), alive(5));
    expect(verified()).toBe(1);
    solo.hear(1, dead(0, 2, 77), suspect(0, 3, 77));
    expect(verified()).toBe(1);
  });
});

describe('bounds', () => {
  it('members that somebody invents do not make the table grow, and drive nobody out who lives', () => {
    const solo = new Solo(5, { maxMembers: 20 });
    for (let i = 10; i < 500; i++) solo.hear(1, alive(i));
    const { alive: living, refused, queued } = solo.core.stats();
    expect(living).toBe(20);
    expect(refused.tableFull).toBe(475);
    expect(queued).toBeLessThanOrEqual(20);
    for (const member of [1, 2, 3, 4]) expect(solo.stateOf(member)).toBe('alive');
  });

  it('who takes the place of one that is being probed is not suspected in its stead', () => {
    const solo = new Solo(3, { maxMembers: 3 });
    const target = solo.lastPing?.member ?? 0;
    solo.hear(3 - target, left(target), alive(9));
    expect(solo.stateOf(target)).toBeUndefined();
    expect(solo.stateOf(9)).toBe('alive');
    solo.takeTold();
    solo.run(1000);
    expect(solo.core.stats().failedProbes).toBe(1);
    expect(solo.sentOf('pingRequest').map(({ message }) => message.target)).toContain(idOf(target));
    expect(solo.takeTold()).toEqual([]);
  });

  it('accusations of incarnations to come are kept for a few only', () => {
    const solo = new Solo(200);
    for (let i = 1; i < 200; i++) solo.hear(1, dead(i, i === 1 ? 2 : 1, 5));
    for (let i = 1; i < 200; i++) solo.hear(1, alive(i, 5));
    expect(solo.core.stats().dead).toBe(64);
  });

  it('ping requests in flight', () => {
    const solo = new Solo(5, { maxRelays: 10 });
    for (let i = 0; i < 30; i++) {
      solo.receive(1, { type: 'pingRequest', sequence: i, target: idOf(2), updates: [] });
    }
    expect(solo.core.stats().refused.tooManyRelays).toBe(20);
    solo.run(8000);
    solo.receive(1, { type: 'pingRequest', sequence: 99, target: idOf(2), updates: [] });
    expect(solo.core.stats().refused.tooManyRelays).toBe(20);
    solo.receive(1, { type: 'pingRequest', sequence: 99, target: idOf(77), updates: [] });
    expect(solo.core.stats().refused.unknownSubject).toBe(1);
  });

  it('frames that could not be read are counted', () => {
    const solo = new Solo(2);
    solo.core.refuse('malformed');
    expect(solo.core.stats().refused.malformed).toBe(1);
  });
});

describe('time', () => {
  it('does not go back', () => {
    const solo = new Solo(2);
    solo.run(5000);
    expect(() => solo.core.tick(4000)).toThrow('Time goes back');
  });

  it('a process that stood still accuses nobody: its probe and its suspicions get the time back, its health gets worse', () => {
    const solo = new Solo(10);
    solo.hear(2, suspect(1, 2));
    solo.run(100);
    solo.tick(60_000);
    expect(solo.takeTold()).toEqual(['suspect 1']);
    expect(solo.core.stats()).toMatchObject({ stalls: 1, health: 1, failedProbes: 0 });
    // What the others said meanwhile is read now.
    solo.hear(2, alive(1, 1));
    const { member, ping } = solo.lastPing ?? { member: 0, ping: { sequence: 0 } };
    solo.receive(member, { type: 'ack', sequence: ping.sequence, health: 0, updates: [] });
    solo.run(60_400);
    expect(solo.takeTold()).toEqual(['alive-again 1']);
    expect(solo.core.stats()).toMatchObject({ failedProbes: 0, health: 0 });
  });

  it('switched off it accuses as the papers have it', () => {
    const solo = new Solo(10, { stallMs: Infinity });
    solo.hear(2, suspect(1, 2));
    solo.run(100);
    solo.tick(60_000);
    expect(solo.takeTold()).toContain('dead 1');
    expect(solo.core.stats()).toMatchObject({ stalls: 0, failedProbes: 1 });
  });

  it('a loop that is held stands still and is not waited for, and goes on where it was', () => {
    const solo = new Solo(10);
    solo.tick(100, { probe: true });
    expect(solo.core.nextTickMs()).toBeGreaterThan(1500);
    solo.tick(1400, { probe: true });
    expect(solo.core.stats().failedProbes).toBe(0);
    solo.tick(1400);
    expect(solo.core.stats()).toMatchObject({ failedProbes: 1, stalls: 0 });
    solo.takeSent();
    solo.tick(1600, { gossip: true, pushPull: true });
    expect(solo.sentOf('gossip')).toEqual([]);
    solo.tick(1650);
    expect(solo.sentOf('gossip')).toHaveLength(3);
  });
});

/** What this node would ask with. */
function ownDigest(solo: Solo): { count: number; hash: readonly [number, number] } {
  solo.do((core) => core.join([peerOf(3)], solo.nowMs));
  const asked = solo.sentOf('digest').at(-1)?.message;
  if (asked === undefined) throw new Error('it asks nobody');
  solo.takeSent();
  return { count: asked.count, hash: asked.hash };
}
