import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fail } from '../../src/dht/path.ts';
import type { Candidate, Path } from '../../src/dht/path.ts';
import { Search } from '../../src/dht/search.ts';
import type { Contact, DhtId } from '../../src/dht/index.ts';
import { Random } from '../../src/testing/random.ts';
import { contactAt, idOfNumber } from './ids.ts';
import { closestBySorting } from './network.ts';

interface World {
  readonly target: DhtId;
  readonly contacts: readonly Contact[];
  readonly dead: ReadonlySet<string>;
  readonly names: (asked: Contact) => readonly Contact[];
}

interface Asked {
  readonly path: Path;
  readonly candidate: Candidate;
}

/** Asks whom the search wants to ask, with answers in any order, until it is over or wants nobody. */
function play(search: Search, world: World, alpha: number, random: Random): Asked[] {
  const all: Asked[] = [];
  const waiting: Asked[] = [];
  for (let turn = 0; turn < 10_000; turn++) {
    for (const path of search.paths) {
      while (path.inFlight < alpha) {
        const candidate = path.next();
        if (candidate === null) break;
        candidate.state = 'asked';
        path.inFlight += 1;
        waiting.push({ path, candidate });
        all.push({ path, candidate });
      }
    }
    if (search.isOver) return all;
    const [next] = waiting.splice(random.between(0, waiting.length - 1), 1);
    if (next === undefined) throw new Error('it is not over, and waits for nobody');
    next.path.inFlight -= 1;
    if (world.dead.has(next.candidate.contact.peerId)) {
      next.candidate.state = 'failed';
      continue;
    }
    next.candidate.state = 'answered';
    search.learn(next.path, next.candidate, world.names(next.candidate.contact), () => true);
  }
  throw new Error('it never ends');
}

/** Everybody knows some, and names the k closest of them. */
function worldOf(size: number, knows: number, deadShare: number, k: number, random: Random): World {
  const contacts = Array.from({ length: size }, (_, i) => contactAt(random.bytes(32), `${i}`));
  const target = random.bytes(32);
  const known = new Map(contacts.map((contact) => [contact, contacts.filter(() => random.chance(knows))]));
  return {
    target,
    contacts,
    dead: new Set(contacts.filter(() => random.chance(deadShare)).map(({ peerId }) => peerId)),
    names: (asked) => closestBySorting(known.get(asked) ?? [], target, k),
  };
}

const settings = fc.record({
  seed: fc.nat(),
  size: fc.integer({ min: 1, max: 60 }),
  knows: fc.double({ min: 0.05, max: 1, noNaN: true }),
  deadShare: fc.constantFrom(0, 0.2, 0.5),
  k: fc.integer({ min: 1, max: 8 }),
  alpha: fc.integer({ min: 1, max: 4 }),
  paths: fc.integer({ min: 1, max: 4 }),
});

describe('an iterative look-up (§2.3)', () => {
  it('ends, and then the k closest that it heard of and that live have answered', () => {
    fc.assert(
      fc.property(settings, ({ seed, size, knows, deadShare, k, alpha, paths }) => {
        const random = new Random(seed);
        const world = worldOf(size, knows, deadShare, k, random);
        const seeds = closestBySorting(
          world.contacts.filter(() => random.chance(0.3)),
          world.target,
          k * paths,
        );
        const search = new Search(world.target, k, paths, seeds);
        const asked = play(search, world, alpha, random);

        const alive = (contact: Contact): boolean => !world.dead.has(contact.peerId);
        const heard = new Set(seeds);
        for (const { candidate } of asked) {
          if (candidate.state === 'answered') for (const contact of world.names(candidate.contact)) heard.add(contact);
        }
        const found = search.closest().map(({ contact }) => contact);
        // With one path: of all that it heard of. With several, each of what it heard itself, which comes to no less than k together.
        if (paths === 1) expect(found).toEqual(closestBySorting([...heard].filter(alive), world.target, k));
        else
          expect(found.length).toBe(
            Math.min(k, asked.filter(({ candidate }) => candidate.state === 'answered').length),
          );
      }),
      { numRuns: 200 },
    );
  });

  it('finds the exact k closest of the network where everybody knows everybody', () => {
    fc.assert(
      fc.property(settings, ({ seed, size, k, alpha, paths }) => {
        const random = new Random(seed);
        const world = worldOf(size, 1, 0, k, random);
        const search = new Search(world.target, k, paths, world.contacts.slice(0, paths));
        play(search, world, alpha, random);
        const found = search.closest().map(({ contact }) => contact);
        expect(found).toEqual(closestBySorting(world.contacts, world.target, k));
      }),
      { numRuns: 200 },
    );
  });

  it('asks nobody twice', () => {
    fc.assert(
      fc.property(settings, ({ seed, size, knows, deadShare, k, alpha, paths }) => {
        const random = new Random(seed);
        const world = worldOf(size, knows, deadShare, k, random);
        const search = new Search(world.target, k, paths, closestBySorting(world.contacts, world.target, k * paths));
        const asked = play(search, world, alpha, random).map(({ candidate }) => candidate.contact.peerId);
        expect(new Set(asked).size).toBe(asked.length);
      }),
    );
  });

  it('counts how deep a node was found: from the table 1, from one of those 2', () => {
    const target = idOfNumber(0);
    const [near, far] = [contactAt(idOfNumber(1)), contactAt(idOfNumber(9))];
    const search = new Search(target, 2, 1, [far]);
    const world = { target, contacts: [near, far], dead: new Set<string>(), names: () => [near, far] };
    play(search, world, 3, new Random(1));
    expect(search.closest().map(({ depth, contact }) => [depth, contact])).toEqual([
      [2, near],
      [1, far],
    ]);
  });
});

describe('disjoint paths (S/Kademlia §4.4)', () => {
  it('share no node that they ask, and none hears of a node from another', () => {
    fc.assert(
      fc.property(settings, ({ seed, size, knows, deadShare, k, alpha, paths }) => {
        const random = new Random(seed);
        const world = worldOf(size, knows, deadShare, k, random);
        const seeds = closestBySorting(world.contacts, world.target, k * paths);
        const search = new Search(world.target, k, paths, seeds);
        const asked = play(search, world, alpha, random);
        const pathOf = new Map<string, Path>();
        for (const { path, candidate } of asked) {
          expect(pathOf.get(candidate.contact.peerId) ?? path).toBe(path);
          pathOf.set(candidate.contact.peerId, path);
        }
        for (const path of search.paths) {
          const heard = new Set(seeds.filter((_, place) => place % paths === path.index));
          for (const one of asked) {
            if (one.path !== path || one.candidate.state !== 'answered') continue;
            for (const contact of world.names(one.candidate.contact)) heard.add(contact);
          }
          for (const { contact } of path.candidates) expect(heard).toContain(contact);
        }
      }),
    );
  });

  it('a liar that names its friends leads its own path astray only', () => {
    const random = new Random(3);
    const target = new Uint8Array(32);
    const honest = Array.from({ length: 40 }, (_, i) => contactAt(random.bytes(32), `honest ${i}`));
    // Friends lie closer than anybody honest but the five closest.
    const line = closestBySorting(honest, target, 6)[5]?.id ?? target;
    const friends = Array.from({ length: 30 }, (_, i) => {
      const id = Uint8Array.from(line);
      id[31] = (id[31] ?? 0) ^ (i + 1);
      return contactAt(id, `liar ${i}`);
    });
    const names = (asked: Contact): readonly Contact[] =>
      asked.peerId.startsWith('liar') ? friends : closestBySorting(honest, target, 5);
    const world = { target, contacts: honest, dead: new Set<string>(), names };
    const found = (paths: number): string[] => {
      const seeds = [friends[0] as Contact, ...closestBySorting(honest, target, 40).slice(20, 23)];
      const search = new Search(target, 5, paths, seeds);
      // α = 1: the first answer of a path decides where it goes.
      play(search, world, 1, random);
      return search.closest().map(({ contact: { peerId } }) => peerId.slice(0, 4));
    };
    expect(found(1)).toEqual(['liar', 'liar', 'liar', 'liar', 'liar']);
    expect(found(2)).toEqual(['hone', 'hone', 'hone', 'hone', 'hone']);
  });

  it('tries the addresses of everybody who names a node, as one of them may be lying', () => {
    const target = idOfNumber(0);
    const seed = contactAt(idOfNumber(64));
    const search = new Search(target, 3, 1, [seed]);
    const path = search.paths[0] as Path;
    const from = path.next() as Candidate;
    const wanted = { ...contactAt(idOfNumber(1)), addresses: ['wrong:1'] };
    expect(search.learn(path, from, [wanted], () => true)).toBe(1);
    expect(search.learn(path, from, [{ ...wanted, addresses: ['right:1', 'wrong:1'] }], () => true)).toBe(0);
    // Another id under its name is a forgery.
    search.learn(path, from, [{ ...wanted, id: idOfNumber(2), addresses: ['other:1'] }], () => true);
    expect(path.next()?.contact).toEqual({ ...wanted, addresses: ['wrong:1', 'right:1'] });
  });

  it('asks again at the addresses that another names, when a liar came first and filled all that there is', () => {
    const target = idOfNumber(0);
    const genuine = contactAt(idOfNumber(1));
    const named = (by: string): Contact => ({
      ...genuine,
      addresses: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `${by}:${n}`),
    });
    const search = new Search(target, 3, 2, [contactAt(idOfNumber(64)), contactAt(idOfNumber(65))]);
    const [first, second] = search.paths as [Path, Path];
    const ask = (path: Path): Candidate => {
      const candidate = path.next() as Candidate;
      candidate.state = 'asked';
      candidate.tried = candidate.contact.addresses.length;
      return candidate;
    };
    const [liar, honest] = [ask(first), ask(second)];
    liar.state = 'answered';
    search.learn(first, liar, [named('liar')], () => true);
    const wanted = ask(first);
    expect(wanted.contact).toEqual({ ...genuine, addresses: ['liar:1', 'liar:2'] });
    honest.state = 'answered';
    search.learn(second, honest, [named('honest')], () => true);
    fail(wanted);
    expect([wanted.state, wanted.contact.addresses.slice(2)]).toEqual(['fresh', ['honest:1', 'honest:2']]);
    expect(ask(second)).toBe(wanted);
    fail(wanted);
    expect(wanted.state).toBe('failed');
    // Who failed for good at all that was known is asked again when more is known, as long as there is room.
    for (const by of ['b', 'c', 'd']) {
      search.learn(second, honest, [named(by)], () => true);
      if (wanted.state === 'fresh') {
        ask(first);
        fail(wanted);
      }
    }
    expect(wanted.contact.addresses).toHaveLength(8);
    expect(wanted.state).toBe('failed');
    expect(search.isOver).toBe(true);
  });

  it('believes in no contact that is not genuine', () => {
    const target = idOfNumber(0);
    const search = new Search(target, 3, 1, [contactAt(idOfNumber(64))]);
    const path = search.paths[0] as Path;
    const from = path.next() as Candidate;
    expect(search.learn(path, from, [contactAt(idOfNumber(1))], () => false)).toBe(0);
    expect(path.candidates).toHaveLength(1);
  });
});
