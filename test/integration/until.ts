/** Waiting for a condition, never for a time. */
import { setTimeout as delay } from 'node:timers/promises';

export interface UntilOptions {
  readonly timeoutMs: number;
  /** What is waited for, for the message. */
  readonly what: string;
  readonly pollMs?: number;
  /** More for the message, such as the logs. */
  readonly explain?: () => string;
}

/**
 * Asks until the answer is neither null nor false, and gives it. A condition that throws counts as not met, and its
 * error is told when the time is over.
 */
export async function until<T>(condition: () => T | Promise<T>, options: UntilOptions): Promise<NonNullable<T>> {
  const deadline = performance.now() + options.timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await condition();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) {
      const why =
        lastError === undefined
          ? ''
          : `; the last error was ${lastError instanceof Error ? lastError.message : JSON.stringify(lastError)}`;
      throw new Error(`${options.what}: not within ${options.timeoutMs} ms${why}\n${options.explain?.() ?? ''}`);
    }
    await delay(options.pollMs ?? 20);
  }
}
