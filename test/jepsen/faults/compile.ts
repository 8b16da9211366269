/** The C sources beside this file, compiled on demand into a directory of this process that goes when it ends. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { onExit, removeTree } from './cleanup.ts';

const FLAGS = ['-O2', '-Wall', '-Wextra', '-Werror'];

let directory: string | null = null;
const built = new Map<string, string>();

function build(source: string, output: string, flags: readonly string[]): string {
  const known = built.get(output);
  if (known !== undefined) return known;
  if (directory === null) {
    const made = mkdtempSync(path.join(os.tmpdir(), 'kvorum-shim-'));
    onExit(() => removeTree(made));
    directory = made;
  }
  const file = path.join(directory, output);
  const { status, stderr, error } = spawnSync(
    'cc',
    [...FLAGS, ...flags, '-o', file, path.join(import.meta.dirname, source), '-ldl', '-pthread'],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`cc ${source}: ${error?.message ?? stderr}`);
  built.set(output, file);
  return file;
}

/** The shared object for LD_PRELOAD. */
export function buildShim(): string {
  return build('shim.c', 'shim.so', ['-shared', '-fPIC']);
}

/** The program that cuts a mounted ext4 off. */
export function buildShutdown(): string {
  return build('shutdown.c', 'shutdown', []);
}

/** Null when there is a C compiler, else why there is none. */
export function probeCompiler(): string | null {
  if (process.platform !== 'linux') return `${process.platform} has no LD_PRELOAD as it is meant here`;
  const { status, error } = spawnSync('cc', ['--version'], { stdio: 'ignore' });
  return status === 0 ? null : `no C compiler (cc: ${error?.message ?? `ended with ${String(status)}`})`;
}
