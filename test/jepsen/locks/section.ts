/**
 * One guarded section of one holder, by the client library: acquires a lock, writes to what it protects, releases it. Some are
 * paused in the middle for longer than the lock can live; of those, the careful ones look at `guard()` again before they go on,
 * and the careless ones write.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { KvorumError, type Client, type Lock } from '../../../src/client/index.ts';
import type { Operation } from '../../../src/checker/index.ts';
import { writeTo } from './guarded-resource.ts';

export interface SectionTask {
  readonly lock: string;
  /** URL of the guarded resource. */
  readonly resource: string;
  readonly holder: string;
  readonly ttlMs: number;
  readonly waitMs: number;
  /** Gives up waiting after so long; null: never. */
  readonly abortAfterMs: number | null;
  /** On a lease of the holder's own, instead of one made for the lock. */
  readonly ownLease: boolean;
  readonly writes: number;
  readonly betweenMs: number;
  /** Looks at `guard()` before each write. */
  readonly careful: boolean;
  /** In the middle, after it has looked: 0 for none. */
  readonly pauseMs: number;
}

/** `client` is for who records it. */
export interface SectionOperation extends Omit<Operation, 'client' | 'key'> {
  /** It was answered that the wait is over. Nobody holds the lock by it; but it may have been let in and lost again while nobody heard of it. */
  readonly waited?: true;
}

export interface SectionReport {
  readonly operations: readonly SectionOperation[];
  readonly acquired: boolean;
  /** Writes that were not made because `guard()` threw. */
  readonly prevented: number;
  /** `guard()` threw in a section that nobody had paused: it could not be renewed. */
  readonly lost: boolean;
  /** What must not be, in words. */
  readonly wrong: readonly string[];
}

export interface SectionContext {
  /** Clock of the histories. */
  nowUs(): number;
  /** Stands still: this process, or at least its event loop. */
  pause(ms: number): Promise<void>;
}

/** It was let in, or may have been, and has nothing of it. */
const LET_IN: ReadonlySet<string> = new Set(['ERR_LOCK_LOST', 'ERR_LEASE_NOT_FOUND']);

/** Codes with which a lock may not be got. */
const NOT_GOT: ReadonlySet<string> = new Set([
  ...['ERR_LOCK_LOST', 'ERR_LEASE_NOT_FOUND', 'ERR_TIMEOUT', 'ERR_UNAVAILABLE', 'ERR_NO_LEADER', 'ERR_OVERLOADED'],
  ...['ERR_CLOSED', 'ERR_SESSION_EXPIRED', 'ERR_REQUEST_TIMEOUT', 'ERR_STORE_POISONED', 'ERR_CORRUPT'],
]);

export async function playSection(client: Client, task: SectionTask, context: SectionContext): Promise<SectionReport> {
  const operations: SectionOperation[] = [];
  const wrong: string[] = [];
  const begun = await acquire(client, task, context, operations, wrong);
  if (begun === null) return { operations, acquired: false, prevented: 0, lost: false, wrong };
  const { lock } = begun;
  const middle = Math.floor(task.writes / 2);
  let [prevented, lost] = [0, false];
  for (let write = 0; write < task.writes; write++) {
    const isPaused = write === middle && task.pauseMs > 0;
    if (task.careful && !looked(lock, context, operations)) {
      prevented = 1;
      lost = true;
      break;
    }
    if (isPaused) {
      await context.pause(task.pauseMs);
      const held = looked(lock, context, operations);
      if (held && task.pauseMs > task.ttlMs) {
        wrong.push(`guard() of token ${lock.token} passed after a pause of ${task.pauseMs} ms, TTL ${task.ttlMs} ms`);
      }
      if (!held && !lock.signal.aborted)
        wrong.push(`guard() of token ${lock.token} threw, and its signal is not aborted`);
      if (!held && task.careful) {
        prevented = 1;
        break;
      }
    }
    const call = context.nowUs();
    const output = await writeTo(task.resource, task.lock, lock.token, task.holder);
    const returned = output === null ? null : context.nowUs();
    operations.push({ op: 'write', input: lock.token, output, call, return: returned });
    // It was told that it is too late.
    if (output === false) break;
    await delay(task.betweenMs);
  }
  await begun.end();
  return { operations, acquired: true, prevented, lost, wrong };
}

/** A guard that passes says that the lock is held at this moment: what `query` is to the model. */
function looked(lock: Lock, { nowUs }: SectionContext, operations: SectionOperation[]): boolean {
  const call = nowUs();
  try {
    lock.guard();
  } catch {
    return false;
  }
  operations.push({ op: 'query', input: null, output: lock.token, call, return: nowUs() });
  return true;
}

async function acquire(
  client: Client,
  task: SectionTask,
  { nowUs }: SectionContext,
  operations: SectionOperation[],
  wrong: string[],
): Promise<{ readonly lock: Lock; end(): Promise<void> } | null> {
  const ttl = task.ttlMs;
  const lease = task.ownLease ? await client.lease({ ttl }).catch(() => null) : null;
  if (task.ownLease && lease === null) return null;
  const abort = new AbortController();
  const timer = task.abortAfterMs === null ? null : setTimeout(() => abort.abort(), task.abortAfterMs);
  const call = nowUs();
  try {
    const lock = await client.lock(task.lock, {
      ...(lease === null ? { ttl } : { lease }),
      ...{ wait: task.waitMs, owner: task.holder, signal: abort.signal },
    });
    operations.push({ op: 'acquire', input: null, output: lock.token, call, return: nowUs() });
    const end = async (): Promise<void> => {
      await lock.release();
      await lease?.close();
    };
    return { lock, end };
  } catch (error) {
    const held = KvorumError.is(error, 'ERR_LOCK_HELD');
    if (!held && !abort.signal.aborted && !(KvorumError.is(error) && NOT_GOT.has(error.code))) {
      wrong.push(`${task.lock} could not be acquired: ${String(error)}`);
    }
    const certain = KvorumError.is(error) && error.outcome === 'none' && !LET_IN.has(error.code);
    operations.push({
      ...{ op: 'acquire', input: null, output: null, call, return: held && task.waitMs === 0 ? nowUs() : null },
      ...(held && task.waitMs > 0 ? { waited: true } : {}),
      ...(certain && !held ? { fail: true } : {}),
    });
    await lease?.close().catch(() => undefined);
    return null;
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
