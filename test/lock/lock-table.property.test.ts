import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LockTable } from '../../src/lock/lock-table.ts';
import type { AcquireOperation, At, LockEffect, LockKind, LockRecord, Seat } from '../../src/lock/types.ts';
import { MemoryRecords, operationOf } from './harness.ts';
import { Model } from './model.ts';

/** What each name is used as, mostly: so there are queues, and a mismatch now and then. */
const USES: Readonly<Record<string, Partial<AcquireOperation>>> = {
  a: { kind: 'lock' },
  'a\0': { kind: 'semaphore', limit: 3 },
  b: { kind: 'election', value: 'x' },
  c: { kind: 'barrier', limit: 3 },
};
const NAMES = Object.keys(USES);
const LEASES = ['1', '2', '3', '4', '5', '6', '7'];

type Step =
  | { readonly type: 'acquire'; readonly operation: AcquireOperation }
  | { readonly type: 'release'; readonly name: string; readonly kind: LockKind | 'own'; readonly lease: string }
  | { readonly type: 'releaseToken' | 'cancel'; readonly name: string; readonly lease: string }
  | { readonly type: 'break'; readonly name: string; readonly kind: LockKind | 'own' }
  | { readonly type: 'end'; readonly leases: readonly string[]; readonly involuntary: boolean }
  | { readonly type: 'wake'; readonly name: string }
  | { readonly type: 'pass'; readonly ms: number }
  | { readonly type: 'restart' }
  /** The state goes on in a log that begins here. */
  | { readonly type: 'move'; readonly index: number };

const name = fc.constantFrom(...NAMES);
const lease = fc.constantFrom(...LEASES);
const kind: fc.Arbitrary<LockKind | 'own'> = fc.constantFrom('own', 'own', 'own', 'own', 'own', 'lock', 'semaphore');

const odd: fc.Arbitrary<Partial<AcquireOperation>> = fc.constantFrom(
  { kind: 'lock' },
  { kind: 'semaphore', limit: 2 },
  { kind: 'barrier', limit: 1 },
);

const acquire = fc
  .record({
    on: name,
    by: lease,
    mode: fc.constantFrom('read', 'write'),
    odd: fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: odd }),
    delayMs: fc.constantFrom(0, 0, 0, 3, 8),
    wait: fc.constantFrom(true, true, true, false),
  })
  .map(({ on, by, mode, odd: other, delayMs, wait }): Step => {
    const use = other ?? USES[on];
    const options = { ...use, mode: use?.kind === 'lock' ? mode : 'write', delayMs, wait } as const;
    return { type: 'acquire', operation: operationOf(on, by, options) };
  });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: acquire },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('release'), name, kind, lease }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constantFrom('releaseToken', 'cancel', 'cancel'), name, lease }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('break'), name, kind }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('end'),
      leases: fc.oneof(fc.constant(LEASES), fc.uniqueArray(lease, { minLength: 1, maxLength: 3 })),
      involuntary: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wake'), name }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('pass'), ms: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart') }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('move'), index: fc.nat(20) }) },
) as fc.Arbitrary<Step>;

/** Of any length: by itself fast-check would try short ones only, in which no queue grows. */
const steps = fc.array(step, { minLength: 1, maxLength: 150, size: 'max' });

class Replica {
  readonly records = new MemoryRecords<LockRecord>();
  readonly seats = new MemoryRecords<Seat>();
  table = new LockTable(this.records, this.seats);

  restart(): void {
    this.table = new LockTable(this.records, this.seats);
    this.table.restored();
  }

  get dump(): unknown {
    return [this.records.dump(), this.seats.dump()];
  }

  /** Everything that can be asked. */
  get answers(): unknown {
    const { table } = this;
    return {
      locks: NAMES.map((one) => [table.get(one), table.queue(one), table.waiting(one), table.token(one)]),
      leases: LEASES.map((one) => table.namesOf(one)),
      names: table.names('', null, 10),
      resting: table.resting(),
    };
  }

  run(step: Step, at: At, moved: number): unknown {
    const { table } = this;
    switch (step.type) {
      case 'acquire':
        return table.acquire(step.operation, at);
      case 'release':
        return table.release(step.name, this.kindOf(step.name, step.kind), { lease: step.lease }, at);
      case 'releaseToken':
        return table.release(step.name, this.kindOf(step.name, 'own'), { token: this.tokenOf(step) }, at);
      case 'cancel':
        return table.cancel(step.name, step.lease, this.ticketOf(step), at);
      case 'break':
        return table.break(step.name, this.kindOf(step.name, step.kind), at);
      case 'end':
        return table.leasesEnded(step.leases, step.involuntary, at);
      case 'wake':
        return table.wake(step.name, at);
      case 'move':
        return table.raiseFloor(moved);
      case 'pass':
        return null;
      case 'restart':
        return this.restart();
    }
  }

  kindOf(one: string, wanted: LockKind | 'own'): LockKind {
    return wanted === 'own' ? (this.table.get(one)?.kind ?? 'lock') : wanted;
  }

  tokenOf({ name: one, lease: of }: { readonly name: string; readonly lease: string }): number {
    return this.table.get(one)?.holders.find((holder) => holder.lease === of)?.token ?? 0;
  }

  ticketOf({ name: one, lease: of }: { readonly name: string; readonly lease: string }): number {
    const all = [...(this.table.get(one)?.holders ?? []), ...this.table.queue(one)];
    return all.find((seat) => seat.lease === of)?.ticket ?? 0;
  }
}

/** Gives each step to `run` with its place in the log. */
function play(all: readonly Step[], run: (step: Step, at: At, moved: number) => void): void {
  let index = 10;
  let time = 1000;
  for (const one of all) {
    const moved = index;
    if (one.type === 'move') index = Math.min(index, one.index);
    if (one.type === 'pass') time += one.ms;
    index += 1;
    run(one, { index, time }, moved);
  }
}

function follow(model: Model, replica: Replica, step: Step, at: At): unknown {
  switch (step.type) {
    case 'acquire':
      return model.acquire(step.operation, at);
    case 'release':
      return model.release(step.name, replica.kindOf(step.name, step.kind), step.lease, at);
    case 'releaseToken':
      return model.release(step.name, replica.kindOf(step.name, 'own'), step.lease, at);
    case 'cancel':
      return model.cancel(step.name, step.lease, at);
    case 'break':
      return model.break(step.name, replica.kindOf(step.name, step.kind), at);
    case 'end':
      return model.leasesEnded(step.leases, step.involuntary, at);
    case 'wake':
      return model.wake(step.name, at);
    case 'move':
    case 'pass':
    case 'restart':
      return null;
  }
}

function holdsOf(replica: Replica, of: string): readonly { readonly lease: string; readonly token: number }[] {
  return replica.table.get(of)?.holders ?? [];
}

/** What is true of a lock whatever came before. */
function checkLock(replica: Replica, of: string): void {
  const lock = replica.table.get(of);
  const queue = replica.table.queue(of);
  if (lock === undefined) {
    expect(queue).toEqual([]);
    return;
  }
  const { kind: what, holders, limit, restUntil, floor } = lock;
  const writers = holders.filter(({ mode }) => mode === 'write').length;
  if (what === 'semaphore') expect(holders.length).toBeLessThanOrEqual(limit);
  else if (writers > 0) expect(holders.length).toBe(1);
  if (what === 'barrier') {
    expect(holders).toEqual([]);
    expect(queue.length).toBeLessThan(limit);
  }
  const tokens = holders.map(({ token }) => token);
  expect(tokens).toEqual([...new Set(tokens)].toSorted((left, right) => left - right));
  expect(Math.max(0, ...tokens)).toBeLessThanOrEqual(floor);
  const tickets = [...holders, ...queue].map(({ ticket }) => ticket);
  expect(tickets).toEqual([...new Set(tickets)].toSorted((left, right) => left - right));
  expect(holders.length + queue.length > 0 || restUntil > 0).toBe(true);
  // Nobody waits while there is room. (A rest that is over ends with the next entry about the name.)
  const next = queue[0];
  if (next === undefined || what === 'barrier' || restUntil > 0) return;
  const readers = holders.length - writers;
  const room = what === 'semaphore' ? holders.length < limit : writers === 0 && (readers === 0 || next.mode === 'read');
  expect(room).toBe(false);
}

function grantedTokens(replica: Replica, effects: readonly LockEffect[]) {
  const grants = effects.filter((effect) => effect.type === 'granted');
  return grants.map(({ name: on, lease: to, token }) => ({
    on,
    to,
    token,
    stays: holdsOf(replica, on).some((holder) => holder.lease === to && holder.token === token),
  }));
}

describe('LockTable against the obvious model', () => {
  it('lets in the same leases in the same order, and every token is larger than those before', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const replica = new Replica();
        const model = new Model();
        const largest = new Map<string, number>();
        play(all, (one, at, moved) => {
          const told = follow(model, replica, one, at);
          const before = replica.table.get(one.type === 'acquire' ? one.operation.name : '');
          const result = replica.run(one, at, moved);
          const effects = replica.table.takeEffects();
          const grants = grantedTokens(replica, effects);

          if (one.type === 'acquire') {
            const { status, token } = result as { status: string; token?: number };
            expect(status).toBe(told);
            const { name: on, lease: to } = one.operation;
            // It had the name before, or got it by this entry, which found a rest that was over.
            const held =
              before?.holders.find((holder) => holder.lease === to) ??
              grants.find((grant) => grant.on === on && grant.to === to);
            if (held !== undefined && status === 'granted') expect(token).toBe(held.token);
            else if (token !== undefined) grants.push({ on, to, token, stays: true });
          } else if (typeof told === 'number') {
            expect(result).toBe(told);
          }
          // Of each name in order; which name comes first is of no account.
          for (const of of NAMES) {
            const waited = effects.filter((effect) => effect.type === 'granted' && effect.name === of);
            expect(waited).toMatchObject(model.granted.filter(({ name: on }) => on === of));
          }
          model.granted = [];

          const opened = told === 'granted' && one.type === 'acquire' && one.operation.kind === 'barrier';
          const fresh = opened ? grants.slice(-1) : grants;
          if (opened) expect(new Set(grants.map(({ token }) => token)).size).toBe(1);
          for (const { on, token, stays } of fresh) {
            expect(token).toBeGreaterThan(largest.get(on) ?? 0);
            expect(token).toBeGreaterThanOrEqual(at.index);
            expect(stays).toBe(true);
            largest.set(on, token);
          }
          for (const of of NAMES) {
            expect(holdsOf(replica, of).map(({ lease: by }) => by)).toEqual(model.leases(of, true));
            expect(replica.table.queue(of).map(({ lease: by }) => by)).toEqual(model.leases(of, false));
            expect(replica.table.get(of)?.restUntil).toBe(model.names.get(of)?.restUntil);
            checkLock(replica, of);
          }
          for (const of of LEASES) expect(replica.table.namesOf(of)).toEqual(model.namesOf(of));
          expect(replica.table.names('', null, 10)).toEqual([...model.names.keys()].toSorted());
        });
      }),
      { numRuns: 100 },
    );
  });

  it('has the same future after a restart', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const steady = new Replica();
        const restless = new Replica();
        play(all, (one, at, moved) => {
          if (one.type === 'restart') {
            restless.restart();
            return;
          }
          expect(restless.run(one, at, moved)).toEqual(steady.run(one, at, moved));
          expect(restless.table.takeEffects()).toEqual(steady.table.takeEffects());
          expect(restless.dump).toEqual(steady.dump);
          restless.restart();
          expect(restless.answers).toEqual(steady.answers);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('keeps no records when everybody has gone, but a floor if one is needed', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const replica = new Replica();
        const end: Step[] = [
          { type: 'end', leases: LEASES, involuntary: false },
          { type: 'pass', ms: 10 },
          ...NAMES.map((one): Step => ({ type: 'wake', name: one })),
        ];
        play([...all, ...end], (one, at, moved) => replica.run(one, at, moved));
        expect(replica.seats.size).toBe(0);
        expect(replica.records.dump().filter(([key]) => key !== '')).toEqual([]);
        expect(replica.table.resting()).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});
