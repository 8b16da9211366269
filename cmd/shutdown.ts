/**
 * When to stop. The first SIGINT or SIGTERM asks for a graceful stop. One Ctrl-C often arrives twice (from the terminal
 * to the whole process group, and again from a parent), so a second signal within a second is the same request; one that
 * comes later means "now".
 */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const DUPLICATE_WINDOW_MS = 1000;

export interface StopHandlers {
  /** Called once. */
  readonly stop: (reason: string) => void;
  /** Called for a signal that comes a second or more after the first. */
  readonly force: (reason: string) => void;
}

/** Returns a function that asks for a graceful stop as a signal would, but never forces one. */
export function listenForStop({ stop, force }: StopHandlers): (reason: string) => void {
  let stopping = false;
  let firstSignalAt: number | null = null;
  const ask = (reason: string): void => {
    if (stopping) return;
    stopping = true;
    stop(reason);
  };
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstSignalAt !== null && now - firstSignalAt >= DUPLICATE_WINDOW_MS) force(signal);
      firstSignalAt ??= now;
      ask(signal);
    });
  }
  return ask;
}

/** For a node that must not outlive its parent: the pipe on standard input ends when the parent does, however it dies. */
export function askWhenStdinEnds(ask: (reason: string) => void): void {
  const end = (): void => ask('end of standard input');
  process.stdin.on('end', end).on('close', end).on('error', end);
  process.stdin.resume();
}
