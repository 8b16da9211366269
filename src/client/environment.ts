/** Time and chance, as the client sees them. Tests and the simulator bring their own. */

export interface ClientEnvironment {
  /** Monotonic milliseconds. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /**
   * Runs `task` once after `delayMs`, unless the function given back is called before. `background`: nobody waits for it, and a process that has nothing
   * else to do may end.
   */
  after(delayMs: number, task: () => void, background?: boolean): () => void;
}

/** setTimeout takes a longer delay for 1 ms. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const REAL_ENVIRONMENT: ClientEnvironment = {
  now: () => performance.now(),
  random: () => Math.random(),
  after: (delayMs, task, background = false) => {
    const timer: unknown = setTimeout(task, Math.min(delayMs, MAX_DELAY_MS));
    if (background && canUnref(timer)) timer.unref();
    return () => clearTimeout(timer as ReturnType<typeof setTimeout>);
  },
};

/** Node's, Bun's and newer Deno's timers can; a browser's is a number. */
function canUnref(timer: unknown): timer is { unref(): void } {
  return typeof timer === 'object' && timer !== null && 'unref' in timer && typeof timer.unref === 'function';
}

/** Rejects with the reason of the signal when it is aborted before. */
export function sleep(environment: ClientEnvironment, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(reasonOf(signal!));
    };
    const cancel = environment.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** What a signal was aborted with. The caller's own, so it is passed on as it is. */
export function reasonOf(signal: AbortSignal): Error {
  return signal.reason as Error;
}
