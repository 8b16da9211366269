/** Runs the CLI as its users do: a process of its own, on the Node that runs the tests. */
import { spawn } from 'node:child_process';
import path from 'node:path';

export const ENTRY = path.join(import.meta.dirname, '../../cmd/kvorum.ts');

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Uint8Array;
  readonly cwd?: string;
}

/** This process's environment without what would configure the CLI behind a test's back. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('KVORUM_'),
  );
  return { ...Object.fromEntries(entries), ...extra };
}

export async function kvorum(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [ENTRY, ...args], {
      env: cleanEnvironment(options.env),
      cwd: options.cwd,
      timeout: 9000,
      killSignal: 'SIGKILL',
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    // A child that needs no input may be gone before it was written.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
    child.on('close', (code) => {
      const bytes = Buffer.concat(stdout);
      resolve({ code, stdout: bytes.toString(), stdoutBytes: bytes, stderr: Buffer.concat(stderr).toString() });
    });
  });
}
