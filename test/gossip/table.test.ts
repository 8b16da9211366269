import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Directory } from '../../src/gossip/directory.ts';
import { MemberTable } from '../../src/gossip/table.ts';
import { Random } from '../../src/testing/random.ts';
import { alive, dead, idOf, left, suspect } from './solo.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes that are in use, without what is garbage. */
function memoryHeld(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function tableOf(members: number, maxMembers = 1000, seed = 1, directory = new Directory()): MemberTable {
  const random = new Random(seed);
  const known = Array.from({ length: members - 1 }, (_, i) => alive(i + 1));
  return new MemberTable(directory, alive(0), known, maxMembers, () => random.float());
}

function slot(table: MemberTable, member: number): number {
  const found = table.slotOf(idOf(member));
  if (found === undefined) throw new Error(`member ${member} is not known`);
  return found;
}

const forgetNobody = (): void => {
  throw new Error('nobody was to be forgotten');
};

describe('the order of probing', () => {
  it('each is probed once in a pass, never this node, and passes differ (SWIM §4.3)', () => {
    const table = tableOf(20);
    const pass = (): number[] => Array.from({ length: 19 }, () => table.nextTarget(0, 1000) ?? -1);
    const passes = [pass(), pass(), pass()];
    const all = Array.from({ length: 19 }, (_, i) => slot(table, i + 1)).toSorted((a, b) => a - b);
    for (const one of passes) expect(one.toSorted((a, b) => a - b)).toEqual(all);
    expect(passes[0]).not.toEqual(passes[1]);
    expect(passes[1]).not.toEqual(passes[2]);
  });

  it('who comes anew stands at a random place, and is probed within two passes', () => {
    const places = new Set<number>();
    for (let seed = 1; seed <= 60; seed++) {
      const table = tableOf(10, 1000, seed);
      for (let i = 0; i < 4; i++) table.nextTarget(0, 1000);
      const added = table.add(alive(50), forgetNobody);
      let steps = 0;
      while (table.nextTarget(0, 1000) !== added) if (++steps > 20) throw new Error('it is never probed');
      places.add(steps);
    }
    expect(places.size).toBeGreaterThan(6);
  });

  it('the dead are not probed, and are taken off the list between two passes when they have been dead for long', () => {
    const table = tableOf(5);
    const two = slot(table, 2);
    table.judge(two, dead(2, 3), 100);
    for (let i = 0; i < 40; i++) expect(table.nextTarget(1000, 1000)).not.toBe(two);
    expect(table.isListed(two)).toBe(true);
    expect(table.activeSize).toBe(5);
    for (let i = 0; i < 8; i++) table.nextTarget(1100, 1000);
    expect(table.isListed(two)).toBe(false);
    expect(table.activeSize).toBe(4);
    expect(table.size).toBe(5);
    expect(table.pickDead()).toBe(two);
    table.renew(two, alive(2, 1));
    expect(table.isListed(two)).toBe(true);
    expect(table.pickDead()).toBeNull();
  });

  it('every other time a dead one that has a replica is asked, however many agents are dead', () => {
    const table = tableOf(42);
    const voter = table.add(alive(50, 0, { role: 'voter' }), forgetNobody);
    for (let i = 1; i <= 41; i++) table.judge(slot(table, i), dead(i, 50), 0);
    if (voter === null) throw new Error('there was room');
    table.judge(voter, dead(50, 1), 0);
    const picked = Array.from({ length: 200 }, () => table.pickDead());
    const times = picked.filter((at) => at === voter).length;
    expect(times).toBeGreaterThan(70);
    expect(times).toBeLessThan(140);
    expect(new Set(picked).size).toBeGreaterThan(30);
  });

  it('alone there is nobody to probe, to pick or to ask', () => {
    const table = tableOf(1);
    expect(table.nextTarget(0, 0)).toBeNull();
    expect(table.pick(3, () => true)).toEqual([]);
    expect(table.pickDead()).toBeNull();
  });
});

describe('picking at random', () => {
  it('gives different ones that fit, each about as often', () => {
    const table = tableOf(11);
    const counts = new Map<number, number>();
    for (let i = 0; i < 3000; i++) {
      const picked = table.pick(3, (at) => at !== slot(table, 4));
      expect(new Set(picked).size).toBe(picked.length);
      for (const at of picked) counts.set(at, (counts.get(at) ?? 0) + 1);
    }
    expect(counts.size).toBe(9);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  it('gives fewer when there are fewer, and always comes to an end', () => {
    const table = tableOf(3);
    expect(table.pick(3, () => true).length).toBeLessThanOrEqual(2);
    expect(table.pick(3, () => false)).toEqual([]);
  });
});

describe('what counts of two statements', () => {
  it('state follows from the newest of its own and the strongest against it', () => {
    const table = tableOf(4);
    const one = slot(table, 1);
    expect(table.isStronger(one, suspect(1, 2))).toBe(true);
    table.judge(one, suspect(1, 2), 5);
    expect(table.view(one)).toMatchObject({ state: 'suspect', sinceMs: 5 });
    expect(table.isStronger(one, suspect(1, 3))).toBe(false);
    table.judge(one, dead(1, 2), 6);
    expect(table.isStronger(one, suspect(1, 3))).toBe(false);
    expect(table.isStronger(one, dead(1, 3))).toBe(false);
    expect(table.isStronger(one, left(1))).toBe(true);
    table.renew(one, alive(1, 1));
    expect(table.view(one)).toMatchObject({ state: 'alive', sinceMs: null });
    expect(table.isStronger(one, dead(1, 3))).toBe(false);
    expect(table.isStronger(one, dead(1, 3, 1))).toBe(true);
  });

  it('the hash is that of what is held, however it came about, and of the living alone', () => {
    const [first, second] = [tableOf(5, 1000, 1), tableOf(5, 1000, 2)];
    expect(first.hash()).toEqual(second.hash());
    const before = first.hash();
    first.judge(slot(first, 1), suspect(1, 2), 0);
    expect(first.hash()).not.toEqual(before);
    first.renew(slot(first, 1), alive(1, 1));
    first.judge(slot(first, 3), dead(3, 2), 0);
    expect(first.hash()).not.toEqual(second.hash());
    second.judge(slot(second, 3), suspect(3, 4), 9);
    second.judge(slot(second, 3), left(3), 9);
    second.renew(slot(second, 1), alive(1, 1));
    expect(first.hash()).toEqual(second.hash());
    first.renew(slot(first, 3), alive(3, 1));
    second.renew(slot(second, 3), alive(3, 2));
    expect(first.hash()).not.toEqual(second.hash());
  });
});

describe('the bound of the table', () => {
  it('who left longest ago makes room, then who has been dead longest, never the living', () => {
    const directory = new Directory();
    const table = tableOf(5, 5, 1, directory);
    const forgotten: number[] = [];
    const add = (member: number): number | null =>
      table.add(alive(member), (at) => forgotten.push(Number(directory.idAt(at)) - 1000));
    expect(add(10)).toBeNull();
    table.judge(slot(table, 1), suspect(1, 2), 0);
    expect(add(10)).toBeNull();
    table.judge(slot(table, 3), dead(3, 2), 1);
    table.judge(slot(table, 1), dead(1, 2), 2);
    table.judge(slot(table, 4), left(4), 3);
    for (const member of [10, 11, 12]) expect(add(member)).not.toBeNull();
    expect(add(13)).toBeNull();
    expect(forgotten).toHaveLength(3);
    expect([1, 3, 4].map((member) => table.slotOf(idOf(member)))).toEqual([undefined, undefined, undefined]);
    expect(table.size).toBe(5);
    expect(directory.end).toBe(5);
    // Whom the pass goes to is still everybody, once.
    for (let i = 0; i < 4; i++) table.nextTarget(0, 1000);
    const pass = new Set(Array.from({ length: 4 }, () => table.nextTarget(0, 1000)));
    expect(pass.size).toBe(4);
  });

  it('what is remembered from an earlier run counts too', () => {
    const table = tableOf(50, 10);
    expect(table.size).toBe(10);
  });
});

describe('memory', () => {
  it('a member that all know costs less than 60 bytes in each table', () => {
    const members = 2000;
    const directory = new Directory();
    const statements = Array.from({ length: members }, (_, i) => alive(i));
    const own = statements[0];
    if (own === undefined) throw new Error('there is nobody');
    const make = (seed: number): MemberTable => {
      const random = new Random(seed);
      return new MemberTable(directory, own, statements, 16_384, () => random.float());
    };
    make(0);
    const tables: MemberTable[] = [];
    const before = memoryHeld();
    for (let i = 0; i < 40; i++) tables.push(make(i));
    expect((memoryHeld() - before) / (tables.length * members)).toBeLessThan(60);
    expect(tables.every((table) => table.size === members)).toBe(true);
  });
});
