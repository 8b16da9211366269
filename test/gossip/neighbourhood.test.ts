import { describe, expect, it } from 'vitest';
import { Directory } from '../../src/gossip/directory.ts';
import { areNear, Neighbourhood } from '../../src/gossip/neighbourhood.ts';
import { MemberTable } from '../../src/gossip/table.ts';
import { Random } from '../../src/testing/random.ts';
import { GossipSimulation } from '../lab/gossip/simulation.ts';
import { alive, dead, idOf, Solo } from './solo.ts';

const WANTED = 20;

/** The table of one of so many members, which all know each other. */
function tableOf(members: number, self = 0): MemberTable {
  const random = new Random(self + 1);
  const others = Array.from({ length: members }, (_, i) => i).filter((i) => i !== self);
  const known = others.map((i) => alive(i));
  return new MemberTable(new Directory(), alive(self), known, 20_000, () => random.float());
}

/** Members that are near to `self`, smallest first. */
function nearOf(members: number, self = 0, wanted = WANTED): number[] {
  const table = tableOf(members, self);
  const near = new Neighbourhood(table, wanted);
  return [...table.active()]
    .filter((slot) => near.includes(slot))
    .map((slot) => Number(table.statementOf(slot).id) - Number(idOf(0)))
    .toSorted((a, b) => a - b);
}

describe('neighbours', () => {
  it('are all, as long as they are no more than are wanted', () => {
    for (const members of [1, 2, 20, 21]) expect(nearOf(members)).toHaveLength(members - 1);
    expect(nearOf(22).length).toBeLessThanOrEqual(21);
    expect(nearOf(400, 0, Infinity)).toHaveLength(399);
  });

  it('are about as many as are wanted, whatever the size; nobody has none, and nobody a crowd', () => {
    for (const members of [60, 128, 400]) {
      const degrees = Array.from({ length: members }, (_, self) => nearOf(members, self).length);
      const mean = degrees.reduce((sum, degree) => sum + degree, 0) / members;
      // Of a binomial distribution: five deviations of the mean, and of a single one.
      expect(Math.abs(mean - WANTED)).toBeLessThan((5 * Math.sqrt(WANTED)) / Math.sqrt(members / 2));
      expect(Math.min(...degrees)).toBeGreaterThan(0);
      expect(Math.max(...degrees)).toBeLessThan(WANTED + 5 * Math.sqrt(WANTED));
    }
  });

  it('are so to each other, and reach everybody in a few steps', () => {
    const members = 300;
    const near = Array.from({ length: members }, (_, self) => nearOf(members, self));
    for (const [self, others] of near.entries()) for (const other of others) expect(near[other]).toContain(self);
    let reached = new Set([0]);
    for (let step = 0; step < 4; step++)
      reached = new Set([...reached].flatMap((self) => [self, ...(near[self] ?? [])]));
    expect(reached.size).toBe(members);
  });

  it('of ten thousand: nobody has few, nobody is probed seldom, and nobody is apart', () => {
    const members = 10_000;
    const directory = new Directory();
    const random = new Random(5);
    const hashes = Array.from({ length: members }, () => {
      const id = (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
      return directory.hashAt(directory.claim(String(id)));
    });
    const near: number[][] = hashes.map(() => []);
    for (let i = 0; i < members; i++) {
      for (let j = i + 1; j < members; j++) {
        if (!areNear(hashes[i] ?? 0, hashes[j] ?? 0, WANTED, members - 1)) continue;
        near[i]?.push(j);
        near[j]?.push(i);
      }
    }
    const degrees = near.map(({ length }) => length);
    expect(Math.min(...degrees)).toBeGreaterThanOrEqual(5);
    expect(Math.max(...degrees)).toBeLessThanOrEqual(45);
    // Each probes one of its neighbours a period.
    const probes = near.map((others) => others.reduce((sum, other) => sum + 1 / (degrees[other] ?? 0), 0));
    expect(Math.min(...probes)).toBeGreaterThan(0.2);
    const reached = new Set([0]);
    for (const member of reached) for (const other of near[member] ?? []) reached.add(other);
    expect(reached.size).toBe(members);
  });

  it('stay the same when others come: of two that are not near none becomes so, and of those that are one or two go', () => {
    const before = new Set(nearOf(200));
    const after = nearOf(210).filter((member) => member < 200);
    expect(after.filter((member) => !before.has(member))).toEqual([]);
    expect(before.size - after.length).toBeLessThanOrEqual(5);
  });

  it('follow the table: who is taken off it makes room for others', () => {
    const table = tableOf(200);
    const near = new Neighbourhood(table, WANTED);
    const before = near.pick(1000, () => true);
    expect(new Set(before)).toEqual(new Set([...table.active()].filter((slot) => near.includes(slot))));
    for (const slot of [...table.active()].slice(0, 150)) {
      table.judge(slot, dead(Number(table.statementOf(slot).id) - 1000, 0), 0);
    }
    for (let i = 0; i < 300; i++) table.nextTarget(1000, 0);
    expect(table.activeSize).toBe(50);
    const after = near.pick(1000, () => true);
    expect(after.length).toBeGreaterThan(WANTED / 2);
    expect(after.filter((slot) => !table.isListed(slot))).toEqual([]);
  });

  it('help to reach one of them: first those that are near to it too, then the others, each once', () => {
    const table = tableOf(100);
    const near = new Neighbourhood(table, WANTED);
    const all = near.pick(1000, () => true);
    const [target = -1] = all;
    const others = all.filter((slot) => slot !== target);
    // Those that the target itself has for neighbours.
    const ids = new Set(nearOf(100, Number(table.statementOf(target).id) - 1000).map((member) => idOf(member)));
    const common = others.filter((slot) => ids.has(table.statementOf(slot).id));
    expect(common.length).toBeGreaterThan(0);
    const helpers = near.pickHelpers(others.length, target, (slot) => slot !== target);
    expect(new Set(helpers.slice(0, common.length))).toEqual(new Set(common));
    expect(helpers).toHaveLength(others.length);
    expect(new Set(helpers)).toEqual(new Set(others));
    expect(near.pickHelpers(3, target, () => false)).toEqual([]);
  });
});

describe('a member of many', () => {
  it('probes its neighbours only, each in its turn, and tells them only what is new', () => {
    const solo = new Solo(200);
    const near = new Set(nearOf(200).map((member) => idOf(member)));
    const probed = new Set<string>();
    for (let second = 1; second <= 2 * near.size; second++) {
      solo.run(second * 1000);
      const { lastPing } = solo;
      if (lastPing !== null) {
        probed.add(idOf(lastPing.member));
        solo.receive(lastPing.member, { type: 'ack', sequence: lastPing.ping.sequence, health: 0, updates: [] });
      }
    }
    expect([...probed].toSorted()).toEqual([...near].toSorted());
    solo.core.setDetails({ name: 'another' });
    solo.run(solo.nowMs + 10_000);
    const told = solo.sent
      .filter(({ message }) => message.type === 'gossip')
      .map(({ to }) => idOf(Number(to.slice(5))));
    expect(told.length).toBeGreaterThan(10);
    expect(told.filter((id) => !near.has(id))).toEqual([]);
  });

  it('tells those first that it is linked with, and others while it is linked with none', () => {
    const near = nearOf(200);
    const linked = new Set(near.slice(0, 2).map((member) => idOf(member)));
    const solo = new Solo(200, { isLinked: (id) => linked.has(id) });
    const told = (): string[] => {
      solo.sent.length = 0;
      solo.core.setDetails({ name: `name ${solo.nowMs}` });
      solo.run(solo.nowMs + 1000);
      const news = solo.sent.filter(({ message }) => message.type === 'gossip');
      return [...new Set(news.map(({ to }) => idOf(Number(to.slice(5)))))];
    };
    expect(told().toSorted()).toEqual([...linked].toSorted());
    linked.clear();
    expect(told().length).toBeGreaterThan(3);
  });
});

describe('two hundred with twenty neighbours each', () => {
  it('send two messages a member a period, and speak to their neighbours alone', () => {
    const nodes = 200;
    const pairs = new Set<string>();
    const sim = new GossipSimulation({
      nodes,
      seed: 11,
      settings: { neighbours: WANTED, pushPullIntervalMs: 1e9 },
      onSend: (from, { to }) => pairs.add(`${from.index} ${to}`),
    });
    sim.run(60_000);
    const sent = sim.nodes.reduce((sum, node) => sum + node.sent, 0);
    expect(sent / nodes / 60).toBeGreaterThan(1.95);
    expect(sent / nodes / 60).toBeLessThan(2.2);
    // Both ways of each pair.
    expect(pairs.size).toBeLessThan(nodes * WANTED * 1.15);
  });

  it('find a crash, and all of them hear of it', () => {
    const sim = new GossipSimulation({ nodes: 200, seed: 12, settings: { neighbours: WANTED } });
    sim.run(5000);
    for (const index of [3, 77, 150]) sim.crash(index);
    expect(sim.runUntil(() => sim.agrees(), 60_000)).toBe(true);
  });

  it('grow together again after a split that was longer than the dead stay on the list', () => {
    const sim = new GossipSimulation({ nodes: 80, seed: 13, settings: { neighbours: WANTED } });
    sim.run(5000);
    sim.split(({ index }) => index % 2);
    sim.run(200_000);
    expect(sim.nodes.every(({ core }) => core.stats().alive === 40)).toBe(true);
    sim.split(null);
    expect(sim.runUntil(() => sim.agrees(), sim.nowMs + 60_000)).toBe(true);
  });

  it('know a newcomer within seconds, though its seed is no neighbour of it', () => {
    const sim = new GossipSimulation({ nodes: 60, seed: 14, acquainted: false, settings: { neighbours: 8 } });
    for (let i = 1; i < 60; i++) sim.join(i, [0]);
    expect(sim.runUntil(() => sim.agrees(), 20_000)).toBe(true);
  });
});
