/**
 * What the entries of the log do by the rules, told as simply as can be: a store of all versions, a list of leases, a row of seats for each lock, what was done
 * once. Held, entry by entry, against what the state machine did; counts what is rare on the way.
 */
import type { Once, Operation } from '../../src/machine/types.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { Model as Seats } from '../lock/model.ts';
import { NaiveStore } from './naive-store.ts';
import type { Step } from './replay.ts';
import type { Sightings } from './sightings.ts';

interface NaiveLease {
  counter: number;
  readonly ttlMs: number;
  readonly ofLock: boolean;
}

/** A lease from its grant to its end, as the log has it. */
export interface LeaseLife {
  readonly id: string;
  readonly ttlMs: number;
  /** Grant and renewals: indexes of their entries. */
  readonly renewedAt: number[];
  /** Index of the entry that ended it; null: it lives. */
  endedAt: number | null;
  /** Nobody revoked or released it: its time was over. */
  expired: boolean;
}

/** One turn of somebody who was let in. */
export interface Grant {
  readonly name: string;
  readonly lease: string;
  readonly token: number;
  /** Index of the entry that let it in, and of the one that ended it; null: it goes on. */
  readonly index: number;
  endedAt: number | null;
  /** It stood in the queue before. */
  readonly waited: boolean;
  readonly kind: string;
}

const AN_HOUR_MS = 3_600_000;

export class LogRules {
  readonly store = new NaiveStore();
  readonly lives = new Map<string, LeaseLife>();
  readonly grants: Grant[] = [];
  readonly #open = new Set<Grant>();
  /** Executions of what was to happen once, by key or by session and sequence: indexes of the entries. */
  readonly executed = new Map<string, number[]>();
  /** Entries that ask for it, executed or not. */
  readonly asked = new Map<string, number[]>();
  readonly counters = new Map<string, number>();
  /** By index; without those that are no commands. */
  readonly steps: (Step | undefined)[] = [];
  readonly #sightings: Sightings;
  readonly #leases = new Map<string, NaiveLease>();
  readonly #seats = new Seats();
  /** Of a name and lease: what the last that asked was told. */
  readonly #tickets = new Map<string, number>();
  /** By name: the largest token ever. */
  readonly #tokens = new Map<string, number>();
  readonly #marks = new Map<string, number>();
  /** Revisions that were compacted on demand, and how many are kept. */
  #compacted = 0;
  #keepRevisions = Infinity;
  #floor = 0;

  constructor(sightings: Sightings) {
    this.#sightings = sightings;
  }

  visit(step: Step, machine: Machine): void {
    this.steps[step.index] = step;
    const { once, operation } = step.command;
    if (!step.result.ok) this.#sightings.saw(`refused in the log: ${step.result.code}`);
    if (once === null || this.#isFirst(once, step)) this.#execute(operation, step);
    this.#endIdle(step);
    this.#compare(step, machine);
  }

  #demand(condition: boolean, step: Step, what: string): asserts condition {
    if (condition) return;
    const { command, result, index } = step;
    throw new Error(
      `entry ${index}: ${what}\n  ${text(command.operation)}\n  ${text(command.once)}\n  ${text(result)}`,
    );
  }

  // Once.

  #isFirst(once: Once, step: Step): boolean {
    const { index, result, time } = step;
    const name = onceName(once);
    push(this.asked, name, index);
    const known = this.executed.get(name);
    const before = known === undefined ? undefined : this.steps[known.at(-1) as number];
    if (result.replayed === true) {
      this.#sightings.saw('a result is replayed');
      this.#demand(before !== undefined, step, 'it is said to be done before');
      const { replayed: _, ...answer } = result;
      this.#demand(text(answer) === text(before.result), step, `its answer was ${text(before.result)}`);
      return false;
    }
    if (!result.ok && result.code === 'ERR_IDEMPOTENCY_MISMATCH') return false;
    if (!result.ok && result.code === 'ERR_SESSION_EXPIRED') {
      this.#sightings.saw('a session is expired');
      this.#demand('session' in once, step, 'it has no session');
      const gone = !this.#leases.has(once.session) || once.sequence < (this.#marks.get(once.session) ?? 0);
      this.#demand(gone, step, 'the session lives and has not acknowledged it');
      return false;
    }
    const forgotten = 'key' in once && before !== undefined && before.time <= time - AN_HOUR_MS;
    if (forgotten) this.#sightings.saw('a key is forgotten after an hour');
    this.#demand(before === undefined || forgotten, step, `it is done again, after entry ${String(before?.index)}`);
    if ('session' in once) {
      this.#demand(this.#leases.has(once.session), step, 'its session is gone');
      this.#marks.set(once.session, Math.max(this.#marks.get(once.session) ?? 0, once.lowestUnanswered));
    }
    push(this.executed, name, index);
    return true;
  }

  // Operations.

  #execute(operation: Operation, step: Step): void {
    const { result, index } = step;
    const next = this.store.revision + 1;
    switch (operation.type) {
      case 'put': {
        const holds = this.store.meets(operation.condition, operation.key);
        const leased = operation.lease === null || this.#leases.has(operation.lease);
        if (!result.ok && result.code === 'ERR_QUOTA') return;
        this.#demand(result.ok === (holds && leased), step, `its condition ${holds ? 'holds' : 'does not hold'}`);
        if (result.ok) this.store.put(operation.key, operation.value, operation.lease, next);
        return this.#revision(step);
      }
      case 'delete': {
        const holds = this.store.meets(operation.condition, operation.key);
        this.#demand(result.ok === holds, step, `its condition ${holds ? 'holds' : 'does not hold'}`);
        const deleted = holds && this.store.delete(operation.key, next) ? 1 : 0;
        if (result.ok) this.#same(step, { deleted });
        return this.#revision(step);
      }
      case 'deleteRange':
        this.#same(step, { deleted: this.store.deleteRange(operation.start, operation.end, next) });
        return this.#revision(step);
      case 'txn': {
        if (!result.ok) {
          const steps = [...operation.then, ...operation.otherwise];
          const leaseless = steps.some(
            (one) => one.type === 'put' && one.lease !== null && !this.#leases.has(one.lease),
          );
          this.#demand(result.code === 'ERR_QUOTA' || leaseless, step, 'it is refused');
          return;
        }
        const tokenOf = (lock: string): number =>
          Math.max(0, ...[...this.#open].filter(({ name }) => name === lock).map(({ token }) => token));
        const succeeded = operation.compare.every((compare) => this.store.holds(compare, tokenOf));
        const responses = (succeeded ? operation.then : operation.otherwise).map((one) => this.store.step(one, next));
        this.#same(step, { succeeded });
        if (!('type' in result) || result.type !== 'txn') return this.#demand(false, step, 'it has no answer');
        const told = result.responses.map((response) => {
          switch (response.type) {
            case 'put':
              return { created: response.created };
            case 'delete':
              return { deleted: response.deleted };
            case 'get':
              return { entry: response.entry === null ? null : decoder.decode(response.entry.value) };
            case 'range':
              return { keys: response.entries.map(({ key }) => key), count: response.count };
          }
        });
        this.#demand(text(told) === text(responses), step, `its answers are ${text(responses)}`);
        return this.#revision(step);
      }
      case 'compact':
        if (result.ok) this.#compacted = Math.max(this.#compacted, operation.revision);
        return;
      case 'settings':
        this.#keepRevisions = operation.keepRevisions ?? this.#keepRevisions;
        return;
      case 'leaseGrant':
        if (result.ok) this.#grantLease(String(index), operation.ttlMs, false, index);
        return this.#demand(result.ok && text(result).includes(`"id":"${index}"`), step, 'it is granted');
      case 'leaseRenew': {
        const ttlMs = operation.leases.map((id) => this.#renew(id, index));
        return this.#same(step, { ttlMs });
      }
      case 'leaseRevoke': {
        const known = this.#leases.has(operation.lease);
        this.#demand(result.ok === known, step, known ? 'it is there' : 'it is gone');
        if (!known) return;
        this.#same(step, { leases: 1, deleted: this.#end([operation.lease], step, false) });
        return this.#revision(step);
      }
      case 'leaseExpire': {
        if (operation.term !== step.term) {
          this.#sightings.saw('an expiry of an older term is refused');
          return this.#same(step, { leases: 0, deleted: 0 });
        }
        const due = operation.leases.filter(({ lease, counter }) => {
          const known = this.#leases.get(lease);
          if (known !== undefined && known.counter !== counter)
            this.#sightings.saw('an expiry is overtaken by a renewal');
          return known?.counter === counter;
        });
        if (due.length > 0) this.#sightings.saw('a lease expires');
        const ids = due.map(({ lease }) => lease);
        this.#same(step, { leases: ids.length, deleted: this.#end(ids, step, true) });
        return this.#revision(step);
      }
      case 'leaseCheckpoint':
        return;
      case 'lockAcquire':
        return this.#acquire(operation, step);
      case 'lockRelease': {
        const { name, holder, kind } = operation;
        const held = [...this.#open].find(
          (one) => one.name === name && ('token' in holder ? one.token === holder.token : one.lease === holder.lease),
        );
        const used = kind === 'lock' && this.#seats.names.get(name)?.kind === 'semaphore' ? 'semaphore' : kind;
        const count = held === undefined ? 0 : this.#seats.release(name, used, held.lease, step);
        return this.#same(step, { count });
      }
      case 'lockCancel': {
        const { name, lease, ticket } = operation;
        const held = this.#holding(name, lease);
        // Of a wait that is over; the same lease may wait again, or hold it, under another ticket.
        if (ticket !== this.#tickets.get(`${name} ${lease}`)) {
          this.#sightings.saw('a wait is cancelled that was over');
          return this.#same(step, { token: null });
        }
        if (result.ok && 'token' in result && result.token !== null) {
          this.#sightings.saw('a waiter is cancelled after it was let in');
          this.#demand(held?.token === result.token, step, 'it holds nothing');
          return;
        }
        this.#seats.cancel(name, lease, step);
        return;
      }
      case 'lockBreak': {
        const kind = this.#seats.names.get(operation.name)?.kind;
        return this.#same(step, { count: kind === undefined ? 0 : this.#seats.break(operation.name, kind, step) });
      }
      case 'lockWake':
        for (const name of operation.names) this.#seats.wake(name, step);
        return;
      case 'electionProclaim': {
        const leads = [...this.#open].some(
          ({ name, token, kind }) => name === operation.name && token === operation.token && kind === 'election',
        );
        return this.#same(step, { count: leads ? 1 : 0 });
      }
      case 'counterAdd': {
        const value = (this.counters.get(operation.name) ?? 0) + operation.delta;
        this.counters.set(operation.name, value);
        return this.#same(step, { value });
      }
      case 'counterDelete':
        return this.#same(step, { count: this.counters.delete(operation.name) ? 1 : 0 });
    }
  }

  /** The store of the machine is where this one is. */
  #revision(step: Step): void {
    this.#demand(step.revision === this.store.revision, step, `the revision is ${this.store.revision}`);
  }

  #same(step: Step, expected: object): void {
    for (const [name, value] of Object.entries(expected)) {
      const told = (step.result as unknown as Record<string, unknown>)[name];
      this.#demand(text(told) === text(value), step, `${name} is ${text(value)}`);
    }
  }

  // Leases.

  #grantLease(id: string, ttlMs: number, ofLock: boolean, index: number): void {
    this.#leases.set(id, { counter: 0, ttlMs, ofLock });
    this.lives.set(id, { id, ttlMs, renewedAt: [index], endedAt: null, expired: false });
  }

  #renew(id: string, index: number): number | null {
    const lease = this.#leases.get(id);
    if (lease === undefined) return null;
    lease.counter++;
    this.lives.get(id)?.renewedAt.push(index);
    return lease.ttlMs;
  }

  /** How many keys went with them. */
  #end(ids: readonly string[], step: Step, expired: boolean): number {
    const keys = [...new Set(ids.flatMap((id) => this.store.keysOf(id)))].toSorted();
    const revision = this.store.revision + 1;
    for (const key of keys) this.store.delete(key, revision);
    for (const id of ids) {
      this.#leases.delete(id);
      const life = this.lives.get(id);
      if (life !== undefined) Object.assign(life, { endedAt: step.index, expired });
    }
    this.#seats.leasesEnded(ids, expired, step);
    return keys.length;
  }

  /** What was made for a lock ends with it. */
  #endIdle(step: Step): void {
    const idle = [...this.#leases]
      .filter(([id, { ofLock }]) => ofLock && this.#seats.namesOf(id).length === 0)
      .map(([id]) => id);
    if (idle.length > 0) this.#end(idle, step, false);
  }

  // Locks.

  #acquire(operation: Extract<Operation, { type: 'lockAcquire' }>, step: Step): void {
    const { result, index } = step;
    const { name, kind } = operation;
    const own = typeof operation.lease !== 'string';
    const lease = typeof operation.lease === 'string' ? operation.lease : String(index);
    if (!own && !this.#leases.has(lease)) {
      return this.#demand(!result.ok && result.code === 'ERR_LEASE_NOT_FOUND', step, 'its lease is gone');
    }
    const told = this.#seats.acquire({ ...operation, lease }, step);
    const is = result.ok ? ('token' in result && result.token !== null ? 'granted' : 'queued') : 'held';
    this.#demand(is === (told === 'mismatch' ? 'held' : told), step, `it is ${told}`);
    if (!result.ok || !('ticket' in result)) return;
    if (own) this.#grantLease(lease, (operation.lease as { ttlMs: number }).ttlMs, true, index);
    const { token, ticket } = result;
    this.#tickets.set(`${name} ${lease}`, ticket);
    if (token === null) return this.#sightings.saw(`somebody waits for a ${kind}`);
    // It stood in the queue of a lock whose rest this ended: it is let in as all who waited are.
    const waited = step.effects.some(
      (one) =>
        one.type === 'lock' && one.effect.type === 'granted' && one.effect.name === name && one.effect.lease === lease,
    );
    if (waited) return;
    const held = this.#holding(name, lease);
    if (held === undefined) this.#granted({ name, lease, token, index, endedAt: null, waited: false, kind }, step);
    else this.#demand(held.token === token, step, `it holds token ${held.token}`);
  }

  #holding(name: string, lease: string): Grant | undefined {
    return [...this.#open].find((one) => one.name === name && one.lease === lease);
  }

  #granted(grant: Grant, step: Step): void {
    const { name, token, kind } = grant;
    const before = this.#tokens.get(name) ?? 0;
    // Those who go through a barrier at once have one token.
    const rises = token > before || (kind === 'barrier' && token === before);
    this.#demand(rises && token >= step.index, step, `token ${token} of ${name} comes after ${before}`);
    this.#tokens.set(name, token);
    this.grants.push(grant);
    this.#open.add(grant);
  }

  // After each entry.

  #compare(step: Step, machine: Machine): void {
    const { leases, locks } = machine.coordinator;
    // In the order of the log: first come, first served, says the row of seats.
    const expected = this.#seats.granted.map(({ name, lease }) => `${name} ${lease}`);
    this.#seats.granted = [];
    const granted: string[] = [];
    for (const effect of step.effects) {
      if (effect.type !== 'lock' || effect.effect.type !== 'granted') continue;
      const { name, lease, token } = effect.effect;
      granted.push(`${name} ${lease}`);
      const { command } = step;
      const kind =
        command.operation.type === 'lockAcquire' && command.operation.kind === 'barrier'
          ? 'barrier'
          : (this.#seats.names.get(name)?.kind ?? 'lock');
      this.#granted({ name, lease, token, index: step.index, endedAt: null, waited: true, kind }, step);
      const renewed = this.#leases.get(lease);
      // It was not told yet: its time begins now.
      if (renewed?.ofLock === true) this.#renew(lease, step.index);
    }
    this.#demand(
      text(granted.toSorted()) === text(expected.toSorted()),
      step,
      `let in are ${text(expected)}, not ${text(granted)}`,
    );
    for (const grant of this.#open) {
      if (this.#seats.leases(grant.name, true).includes(grant.lease)) continue;
      grant.endedAt = step.index;
      this.#open.delete(grant);
    }
    for (const [name] of this.#seats.names) {
      const holders = locks.get(name)?.holders.map(({ lease }) => lease) ?? [];
      const inside = this.#seats.leases(name, true);
      this.#demand(
        text(holders.toSorted()) === text([...inside].toSorted()),
        step,
        `${name} is held by ${text(inside)}`,
      );
      const queue = locks.queue(name).map(({ lease }) => lease);
      this.#demand(text(queue) === text(this.#seats.leases(name, false)), step, `another queue waits for ${name}`);
    }
    this.#demand(
      machine.coordinator.leaseCount === this.#leases.size,
      step,
      `there are ${this.#leases.size} leases: ${[...this.#leases.keys()].join(' ')}`,
    );
    for (const [id, { counter }] of this.#leases) {
      const is = leases.get(id)?.counter;
      this.#demand(is === counter, step, `lease ${id} was renewed ${counter} times, not ${String(is)}`);
    }
    // Nothing is forgotten that should be kept.
    this.#floor = Math.max(this.#floor, this.#compacted, this.store.revision - this.#keepRevisions);
    this.#demand(
      machine.kv.compactedRevision <= this.#floor,
      step,
      `revision ${machine.kv.compactedRevision} is compacted, and it should be ${this.#floor} at most`,
    );
  }
}

const decoder = new TextDecoder();

export function onceName(once: Once): string {
  return 'key' in once ? `key ${once.key}` : `${once.session} ${once.sequence}`;
}

function push(map: Map<string, number[]>, name: string, index: number): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, [index]);
  else list.push(index);
}

/** Members in alphabetical order: what was stored and read back has another. */
function text(value: unknown): string {
  return JSON.stringify(plain(value)) ?? 'nothing';
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return decoder.decode(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, one]) => [name, plain(one)]));
}
