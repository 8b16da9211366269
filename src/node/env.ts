/**
 * Time, chance and the event loop, as the replica loop sees them. The real ones are here; the simulator brings its own, and
 * with them decides everything.
 */

export interface Environment {
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds since the epoch: stamped into entries by the leader, used for nothing that safety depends on. */
  wallTime(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Runs `task` once, when what runs now and all that follows from it at once has ended, before anything else comes in. */
  soon(task: () => void): void;
  /** Runs `task` once, after the inputs of this event-loop turn have been taken in. */
  endOfTurn(task: () => void): void;
  /** Runs `task` every `intervalMs` until the returned function is called. A stalled process skips calls, it does not make them up. */
  every(intervalMs: number, task: () => void): () => void;
  /** Runs `task` once after `delayMs`, unless the returned function is called before. */
  after(delayMs: number, task: () => void): () => void;
}

/** The machine's own time and chance. */
export const realEnvironment: Environment = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  random: () => Math.random(),
  soon: (task) => {
    process.nextTick(task);
  },
  // The check phase comes right after the poll phase: all sockets that had something to say have said it.
  endOfTurn: (task) => {
    setImmediate(task);
  },
  every: (intervalMs, task) => {
    const timer = setInterval(task, intervalMs);
    return () => clearInterval(timer);
  },
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
