/** What is true of the state of every replica after every entry, whatever happened to it. */
import type { Machine } from '../../src/machine/machine.ts';
import type { LockKind, LockRecord } from '../../src/lock/types.ts';
import type { Services } from '../../src/node/services.ts';

const ALL = 1_000_000;

function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`state: ${what}`);
}

/** Of a machine. */
export function checkState({ kv, coordinator }: Machine): void {
  const { leases, locks } = coordinator;
  for (const name of locks.names('', null, ALL)) {
    const record = locks.get(name);
    demand(record !== undefined, `the lock ${name} is in use and there is no record of it`);
    const queue = locks.queue(name);
    checkHolders(name, record);
    for (const { lease } of [...record.holders, ...queue]) {
      demand(leases.has(lease), `lease ${lease} holds ${name} or waits for it, and is gone`);
      demand(locks.namesOf(lease).includes(name), `lease ${lease} does not know that it holds or waits for ${name}`);
    }
    const tickets = queue.map(({ ticket }) => ticket);
    demand(isRising(tickets), `the queue of ${name} is not in the order of its tickets: ${tickets.join(' ')}`);
    const [next] = queue;
    const idle = next !== undefined && record.restUntil === 0 && mayEnter(record, next.mode, queue.length);
    demand(!idle, `somebody waits for ${name} although there is room`);
  }
  for (const { id, remainingMs, ttlMs } of leases.all()) {
    demand(remainingMs > 0 && remainingMs <= ttlMs, `lease ${id} has ${remainingMs} of ${ttlMs} ms left`);
    for (const key of kv.keysOf(id))
      demand(kv.meta(key)?.lease === id, `${key} hangs on lease ${id} and does not know`);
  }
}

function checkHolders(name: string, { kind, limit, holders, floor }: LockRecord): void {
  const writers = holders.filter(({ mode }) => mode === 'write').length;
  demand(holders.length <= MOST[kind](limit), `${holders.length} hold the ${kind} ${name} of ${limit}`);
  const exclusive = kind === 'lock' || kind === 'election';
  demand(!exclusive || writers === 0 || holders.length === 1, `${name} is held by a writer and by others`);
  const tokens = holders.map(({ token }) => token);
  demand(isRising(tokens), `the tokens of ${name} do not rise: ${tokens.join(' ')}`);
  for (const { token, ticket } of holders) {
    demand(token <= floor && ticket <= floor, `${name} has given token ${token} and ticket ${ticket} above ${floor}`);
  }
}

const MOST: Readonly<Record<LockKind, (limit: number) => number>> = {
  lock: () => Infinity,
  semaphore: (limit) => limit,
  election: () => 1,
  barrier: () => 0,
};

function mayEnter({ kind, limit, holders }: LockRecord, mode: 'read' | 'write', waiting: number): boolean {
  if (kind === 'barrier') return waiting >= limit;
  if (kind === 'semaphore') return holders.length < limit;
  return holders.length === 0 || (mode === 'read' && holders.every((holder) => holder.mode === 'read'));
}

function isRising(numbers: readonly number[]): boolean {
  return numbers.every((number, at) => at === 0 || (numbers[at - 1] as number) < number);
}

/** Of what a node knows beside its machine, between two turns. */
export function checkServices({ coordinator }: Machine, { lessor }: Services): void {
  demand(
    lessor.size === coordinator.leaseCount,
    `the node counts ${lessor.size} leases, and there are ${coordinator.leaseCount}`,
  );
  for (const { id } of coordinator.leases.all()) {
    demand(lessor.remainingMs(id, 0) !== null, `nobody counts how long lease ${id} has left`);
  }
}
