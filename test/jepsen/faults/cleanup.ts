/**
 * What must be undone however the process ends: on its normal way, on an error that nobody caught, on SIGINT, SIGTERM and
 * SIGHUP. SIGKILL cannot be answered; what then stays is below the directory of the run.
 */
import { rmSync } from 'node:fs';

type Undo = () => void;

const undos = new Set<Undo>();
let listening = false;

function undoAll(): void {
  // The last thing made goes first: a mount before the directory that it stands on.
  for (const undo of [...undos].reverse()) {
    undos.delete(undo);
    try {
      undo();
    } catch (error) {
      process.stderr.write(`cleaning up: ${String(error)}\n`);
    }
  }
}

/**
 * Runs `undo` when the process ends, unless the function that it gives back was called before: that one runs it at once,
 * and no second time. `undo` is synchronous.
 */
export function onExit(undo: Undo): () => void {
  if (!listening) {
    listening = true;
    process.once('exit', undoAll);
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      // Somebody else who listens ends the process in their own way, and `exit` comes then. Not `once`: a second signal
      // must not end the process in the midst of cleaning up.
      process.on(signal, () => {
        if (process.listenerCount(signal) === 1) process.exit(code);
      });
    }
  }
  undos.add(undo);
  return () => {
    if (undos.delete(undo)) undo();
  };
}

export function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}
