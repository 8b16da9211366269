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
    for (const [signal, number] of [
      ['SIGINT', 2],
      ['SIGTERM', 15],
      ['SIGHUP', 1],
    ] as const) {
      process.once(signal, () => {
        // Somebody else who listens ends the process in their own way, and `exit` comes then.
        if (process.listenerCount(signal) === 0) process.exit(128 + number);
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
