/**
 * Logs of everything that a machine knows. A step says what is done to which of those that there are; which one that is, is told by a machine that
 * applies the log as it is made. So most commands meet a lease that exists, a lock that is held, a sequence that was used.
 */
import * as fc from 'fast-check';
import type { Machine } from '../../src/machine/machine.ts';
import type { AppliedEntry, HolderRef, Once, Operation } from '../../src/machine/types.ts';
import { endArbitrary, keyArbitrary, operationArbitrary, txnArbitrary, valueArbitrary } from '../kv/arbitraries.ts';
import { command, configuration, entry } from './harness.ts';

/** Picks one of what there is, or what is not there any more, or never was. */
type Pick = number;

type Scene = { readonly machine: Machine; readonly index: number; readonly term: number; readonly random: Pick };

export interface Step {
  readonly what: 'noop' | { readonly learners: number } | ((scene: Scene) => Operation);
  readonly once: 'key' | 'session' | null;
  readonly random: Pick;
  readonly passMs: number;
  readonly newTerm: boolean;
  /** What the replica under test does after it: see machine.test.ts. */
  readonly then: 'nothing' | 'write' | 'crash' | 'snapshot';
}

const NAMES = ['a', 'b', '\ufeffa', 'a\0b', 'ünï#:'];

function pick<T>(from: readonly T[], random: Pick): T | undefined {
  return from[random % Math.max(1, from.length)];
}

function leasesOf({ machine }: Scene): string[] {
  return [...machine.coordinator.leases.all()].map(({ id }) => id).toSorted((a, b) => Number(a) - Number(b));
}

function someLease(scene: Scene): string {
  if (scene.random % 13 === 0) return String(1 + (scene.random % Math.max(1, scene.index)));
  return pick(leasesOf(scene), scene.random >> 4) ?? '1';
}

function someName({ random }: Scene): string {
  return pick(NAMES, random >> 12) ?? 'a';
}

function someHolder(scene: Scene): { name: string; holder: HolderRef } {
  const { machine, random } = scene;
  const { locks } = machine.coordinator;
  const name = pick(locks.names('', null, 10), random >> 12) ?? 'a';
  const holder = pick(locks.get(name)?.holders ?? [], random >> 8);
  if (holder === undefined || random % 11 === 0) return { name, holder: { lease: someLease(scene) } };
  return { name, holder: random % 2 === 0 ? { lease: holder.lease } : { token: holder.token } };
}

function counterOf({ machine }: Scene, lease: string, random: Pick): number {
  return (machine.coordinator.leases.get(lease)?.counter ?? 0) + (random % 7 === 0 ? 1 : 0);
}

const scenes = (make: (scene: Scene) => Operation) => fc.constant(make);

const acquire = scenes((scene) => {
  const { random } = scene;
  const kind = pick(['lock', 'lock', 'semaphore', 'election', 'barrier'] as const, random >> 16) ?? 'lock';
  return {
    type: 'lockAcquire',
    // Few names, so that many wait; most are of one kind.
    name: random % 19 === 0 ? someName(scene) : `${random % 7 === 0 ? '\ufeff' : ''}${kind}`,
    kind,
    lease: random % 3 === 0 ? { ttlMs: 100 + (random % 50) } : someLease(scene),
    mode: (kind === 'lock' && random % 2 === 0) || random % 31 === 0 ? 'read' : 'write',
    limit: kind === 'lock' || kind === 'election' ? 1 : 2 + ((random >> 20) % 2),
    delayMs: random % 4 === 0 ? 50 : 0,
    owner: random % 2 === 0 ? null : '{"name":"ünï"}',
    value: kind === 'election' ? 'v' : null,
    wait: random % 5 !== 0,
  };
});

const coordination: fc.Arbitrary<(scene: Scene) => Operation> = fc.oneof(
  { weight: 4, arbitrary: scenes(({ random }) => ({ type: 'leaseGrant', ttlMs: 1 + (random % 99), owner: null })) },
  {
    weight: 2,
    arbitrary: scenes((scene) => ({ type: 'leaseRenew', leases: [someLease(scene), '404', someLease(scene)] })),
  },
  { weight: 1, arbitrary: scenes((scene) => ({ type: 'leaseRevoke', lease: someLease(scene) })) },
  {
    weight: 2,
    arbitrary: scenes((scene) => ({
      type: 'leaseExpire',
      term: scene.term - (scene.random % 10 === 0 ? 1 : 0),
      leases: [someLease(scene), ...leasesOf(scene).slice(0, 2)].map((lease) => ({
        lease,
        counter: counterOf(scene, lease, scene.random),
      })),
    })),
  },
  {
    weight: 2,
    arbitrary: scenes((scene) => ({
      type: 'leaseCheckpoint',
      term: scene.term - (scene.random % 10 === 0 ? 1 : 0),
      leases: [someLease(scene)].map((lease) => ({
        lease,
        counter: counterOf(scene, lease, scene.random),
        remainingMs: scene.random % 120,
      })),
    })),
  },
  { weight: 10, arbitrary: acquire },
  {
    weight: 4,
    arbitrary: scenes((scene) => {
      const { name, holder } = someHolder(scene);
      const kind = scene.machine.coordinator.locks.get(name)?.kind ?? 'lock';
      return { type: 'lockRelease', name, kind: kind === 'semaphore' ? 'lock' : kind, holder };
    }),
  },
  {
    weight: 2,
    arbitrary: scenes((scene) => {
      const { name } = someHolder(scene);
      const waiter = pick(scene.machine.coordinator.locks.queue(name), scene.random >> 8);
      const { lease, ticket } = waiter ?? { lease: someLease(scene), ticket: scene.index - 1 };
      return { type: 'lockCancel', name, lease, ticket };
    }),
  },
  { weight: 1, arbitrary: scenes((scene) => ({ type: 'lockBreak', name: someHolder(scene).name })) },
  { weight: 1, arbitrary: scenes((scene) => ({ type: 'lockWake', names: ['gone', someHolder(scene).name] })) },
  {
    weight: 1,
    arbitrary: scenes((scene) => {
      const { name } = someHolder(scene);
      const token = scene.machine.coordinator.locks.token(name);
      return { type: 'electionProclaim', name, token, value: scene.random % 2 === 0 ? null : 'p' };
    }),
  },
  {
    weight: 2,
    arbitrary: scenes((scene) => {
      const delta = (scene.random % 9) - 4;
      return { type: 'counterAdd', name: someName(scene), delta: delta === 4 ? Number.MAX_SAFE_INTEGER : delta };
    }),
  },
  { weight: 1, arbitrary: scenes((scene) => ({ type: 'counterDelete', name: someName(scene) })) },
);

const storeCommands: fc.Arbitrary<(scene: Scene) => Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: operationArbitrary.map(
      (operation) => (): Operation => (operation.type === 'put' ? { ...operation, lease: null } : operation),
    ),
  },
  {
    weight: 5,
    arbitrary: fc
      .record({ key: keyArbitrary, value: valueArbitrary, prev: fc.boolean() })
      .map((more) => (scene: Scene): Operation => ({
        type: 'put',
        ...more,
        contentType: null,
        lease: someLease(scene),
        condition: null,
      })),
  },
  {
    weight: 4,
    arbitrary: txnArbitrary.map((txn) => (scene: Scene): Operation => {
      const lease = someLease(scene);
      const { name } = someHolder(scene);
      const operator = scene.random % 3 === 0 ? '!=' : '=';
      const token = scene.machine.coordinator.locks.token(name);
      return {
        type: 'txn',
        compare: [...txn.compare, { target: 'token', lock: name, operator, value: token }],
        // oxlint-disable-next-line unicorn/no-thenable
        then: txn.then.map((step) => (step.type === 'put' && step.lease !== null ? { ...step, lease } : step)),
        otherwise: txn.otherwise,
      };
    }),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -1, max: 12 }).map((back) => ({ machine }: Scene): Operation => ({
      type: 'compact',
      revision: Math.max(0, machine.revision - back),
    })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({
        keepRevisions: fc.constantFrom(null, 0, 3, 15),
        keepMs: fc.constantFrom(null, 0, 1, 100, 1000),
        quotaBytes: fc.constantFrom(null, 0, 700, 30_000),
      })
      .map((settings) => (): Operation => ({ type: 'settings', ...settings })),
  },
  {
    weight: 1,
    arbitrary: endArbitrary.map((end) => (): Operation => ({ type: 'deleteRange', start: 'a', end })),
  },
);

export const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    { weight: 10, arbitrary: storeCommands },
    { weight: 20, arbitrary: coordination },
    { weight: 1, arbitrary: fc.constant('noop' as const) },
    { weight: 1, arbitrary: fc.record({ learners: fc.nat(3) }) },
  ),
  once: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    { weight: 2, arbitrary: fc.constant('key' as const) },
    { weight: 3, arbitrary: fc.constant('session' as const) },
  ),
  random: fc.nat(2 ** 24),
  passMs: fc.oneof(
    { weight: 20, arbitrary: fc.nat(40) },
    { weight: 1, arbitrary: fc.constantFrom(-5000, 0.5, 4_000_000) },
  ),
  newTerm: fc.nat(15).map((n) => n === 0),
  // oxlint-disable-next-line unicorn/no-thenable
  then: fc.oneof(
    { weight: 10, arbitrary: fc.constant('nothing' as const) },
    { weight: 5, arbitrary: fc.constant('write' as const) },
    { weight: 1, arbitrary: fc.constant('crash' as const) },
    { weight: 1, arbitrary: fc.constant('snapshot' as const) },
  ),
});

/** A log as it is made: entries depend on what the machine that has applied those before tells. */
export class RandomLog {
  readonly entries: AppliedEntry[] = [];
  readonly #sequences = new Map<string, number>();
  #repeatable: { once: Once; operation: Operation }[] = [];
  #time = 1_700_000_000_000;
  #term = 1;

  next({ what, once, random, passMs, newTerm }: Step, machine: Machine): AppliedEntry {
    const index = this.entries.length + 1;
    if (newTerm) this.#term++;
    this.#time += passMs;
    const made = this.#entry(what, once, { machine, index, term: this.#term, random });
    this.entries.push(made);
    return made;
  }

  #entry(what: Step['what'], kind: Step['once'], scene: Scene): AppliedEntry {
    const { index } = scene;
    if (what === 'noop') return entry(index, 'noop', undefined, this.#term);
    if (typeof what === 'object') {
      const learners = ['7', '8', '9'].slice(0, what.learners);
      return entry(index, 'config', configuration(learners), this.#term);
    }
    const chosen = this.#once(kind, what(scene), scene);
    return entry(index, 'command', command(chosen.operation, { time: this.#time, once: chosen.once }), this.#term);
  }

  #once(kind: Step['once'], operation: Operation, scene: Scene): { once: Once | null; operation: Operation } {
    const { random } = scene;
    if (kind === null) return { once: null, operation };
    const repeated = random % 3 === 0 ? pick(this.#repeatable, random >> 6) : undefined;
    // Now and then the same number for something else.
    if (repeated !== undefined)
      return { once: repeated.once, operation: random % 10 === 0 ? operation : repeated.operation };
    const once = kind === 'key' ? { key: `k${random % 50}` } : this.#sequence(scene);
    this.#repeatable = [...this.#repeatable.slice(-6), { once, operation }];
    return { once, operation };
  }

  #sequence(scene: Scene): Once {
    const { random } = scene;
    const session = someLease(scene);
    const sequence = (this.#sequences.get(session) ?? 0) + 1 + (random % 17 === 0 ? 2 : 0);
    this.#sequences.set(session, sequence);
    return { session, sequence, lowestUnanswered: Math.max(0, sequence - (random % 5)) };
  }
}
