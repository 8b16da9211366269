/** Child processes with a hard limit in time: a defect may well make an endless loop of what it is in. */
import { spawn } from 'node:child_process';

/** Kept of the end of the output, bytes. */
const MAX_OUTPUT = 256 * 1024;

export interface Finished {
  /** Null when it was killed. */
  readonly code: number | null;
  readonly timedOut: boolean;
  readonly seconds: number;
  /** Both streams, the end of them. */
  readonly output: string;
}

const running = new Set<number>();

/** Kills all that run: the process itself is going to end. */
export function killAll(): void {
  for (const pid of running) killGroup(pid);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}

/** Runs a command in a process group of its own; it and its children are killed at the limit. */
export function run(command: string, args: readonly string[], cwd: string, limitSeconds: number): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', CI: '1' };
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    let output = '';
    let timedOut = false;
    const take = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const timer = setTimeout(() => {
      timedOut = true;
      if (pid !== undefined) killGroup(pid);
    }, limitSeconds * 1000);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (pid !== undefined) {
        running.delete(pid);
        // Whatever it left behind.
        killGroup(pid);
      }
      resolve({ code, timedOut, seconds: (performance.now() - startedMs) / 1000, output });
    });
  });
}
