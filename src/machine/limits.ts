/**
 * What a command may ask for. Services refuse more, and say it better; this is what the state machine itself has to be safe from, whoever proposed the
 * command: checked at apply, where it can still be answered.
 */
import type { LockAcquire, Once, Operation } from './types.ts';

/** So many leases at once; each costs about 300 bytes of memory on every node. */
export const MAX_LEASES = 200_000;
/** Waiters of one name. */
export const MAX_QUEUE = 10_000;
/** Names in use as locks, and those who wait for them or share them, together. */
export const MAX_LOCK_RECORDS = 500_000;
export const MAX_COUNTERS = 200_000;

/** What the timers of most platforms can count. */
const MAX_MS = 2 ** 31 - 1;
const MAX_LIMIT = 10_000;
const MAX_NAME_LENGTH = 512;
const MAX_TEXT_LENGTH = 4096;

/** Why an operation cannot be applied, whatever the state; null when it can. Of a transaction, the store says it. */
export function faultOf(operation: Operation): string | null {
  switch (operation.type) {
    case 'leaseGrant':
      return faultOfTtl(operation.ttlMs) ?? faultOfText('owner', operation.owner);
    case 'lockAcquire':
      return faultOfAcquire(operation);
    case 'electionProclaim':
      return faultOfText('value', operation.value);
    case 'counterAdd':
      return faultOfName(operation.name);
    default:
      return null;
  }
}

export function faultOfOnce(once: Once): string | null {
  return 'key' in once && once.key.length > MAX_NAME_LENGTH
    ? `the key of a write has ${once.key.length} characters, ${MAX_NAME_LENGTH} are allowed`
    : null;
}

function faultOfAcquire({ name, kind, lease, mode, limit, delayMs, owner, value }: LockAcquire): string | null {
  // Several readers may hold a lock at once: nothing else has them.
  if (mode === 'read' && kind !== 'lock') return `only a lock has readers, not ${nounOf(kind)}`;
  if ((kind === 'lock' || kind === 'election') && limit !== 1) return `${nounOf(kind)} has one holder, not ${limit}`;
  if (limit < 1 || limit > MAX_LIMIT) return `a limit is from 1 to ${MAX_LIMIT}, not ${limit}`;
  if (delayMs > MAX_MS) return `a delay is at most ${MAX_MS} ms, not ${delayMs}`;
  return (
    faultOfName(name) ??
    (typeof lease === 'string' ? null : faultOfTtl(lease.ttlMs)) ??
    faultOfText('owner', owner) ??
    faultOfText('value', value)
  );
}

function nounOf(kind: LockAcquire['kind']): string {
  return kind === 'election' ? 'an election' : `a ${kind}`;
}

function faultOfTtl(ttlMs: number): string | null {
  return ttlMs >= 1 && ttlMs <= MAX_MS ? null : `a TTL is from 1 to ${MAX_MS} ms, not ${ttlMs}`;
}

function faultOfName(name: string): string | null {
  if (name.length === 0) return 'a name has at least one character';
  return name.length > MAX_NAME_LENGTH ? `a name has at most ${MAX_NAME_LENGTH} characters, not ${name.length}` : null;
}

function faultOfText(what: string, text: string | null): string | null {
  return text === null || text.length <= MAX_TEXT_LENGTH
    ? null
    : `${what} has at most ${MAX_TEXT_LENGTH} characters, not ${text.length}`;
}
