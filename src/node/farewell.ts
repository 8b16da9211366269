/** How a node goes: what it still owes the others, each with its bound in time. */
import type { Store } from '../storage/types.ts';
import type { Environment } from './env.ts';
import { commit } from './identity.ts';
import type { Replica } from './replica.ts';
import type { Transfer } from './transfer.ts';

const LOOK_MS = 5;
/** Bytes of applied state flushed in one batch. */
const FLUSH_BYTES = 4 * 1024 * 1024;

export type Warn = (error: unknown, message: string) => void;

/** A leader that goes gives its leadership to another. */
export async function handOver(replica: Replica, transfer: Transfer, timeoutMs: number, warn: Warn): Promise<void> {
  if (replica.softState.role !== 'leader' || replica.core.status().progress.length === 0) return;
  try {
    await transfer.transfer(null, timeoutMs);
  } catch (error) {
    // Nobody to hand over to, or too slow: the others elect one by themselves.
    warn(error, 'leadership was not handed over');
  }
}

/** Waits for a condition, at most `timeoutMs`. */
export function until(env: Environment, condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = env.now() + timeoutMs;
  return new Promise((resolve) => {
    if (condition()) {
      resolve();
      return;
    }
    const stop = env.every(LOOK_MS, () => {
      if (!condition() && env.now() < deadline) return;
      stop();
      resolve();
    });
  });
}

/** What is applied, so that the next start has nothing to apply again. The log has it all: failing here loses nothing. */
export async function flushApplied(store: Store, group: number, warn: Warn): Promise<void> {
  const { state } = store.group(group);
  try {
    while (state.stageFlush(FLUSH_BYTES) > 0) await commit(store);
  } catch (error) {
    warn(error, 'the applied state was not flushed, the next start applies it again');
  }
}
