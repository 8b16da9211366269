/** `kvorum` commands that go on while the test looks: what they say so far, signals, how they end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

import { cleanEnvironment, ENTRY } from '../cmd/cli.ts';
import { until } from './until.ts';

export class Running {
  readonly child: ChildProcess;
  readonly args: readonly string[];
  stdout = '';
  stderr = '';
  /** Exit code, null when a signal ended it. */
  readonly code: Promise<number | null>;
  ended = false;

  constructor(args: readonly string[], endpoints: string) {
    this.args = args;
    this.child = spawn(process.execPath, [ENTRY, ...args], {
      env: cleanEnvironment({ KVORUM_ENDPOINTS: endpoints }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    // Not `close`: what a command left behind may hold on to the pipes.
    this.code = once(this.child, 'exit').then(([code]) => {
      this.ended = true;
      return code as number | null;
    });
    onTestFinished(() => {
      this.child.kill('SIGKILL');
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async says(pattern: RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpExecArray> {
    return await until(() => pattern.exec(this[where]), {
      timeoutMs: 30_000,
      what: `kvorum ${this.args.join(' ')} says ${String(pattern)}`,
      explain: () => `${this.stdout}\n${this.stderr}`,
    });
  }
}

/** A file that commands under test write to, line by line. */
export class Notes {
  readonly file: string;

  private constructor(file: string) {
    this.file = file;
  }

  static async create(): Promise<Notes> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-cli-'));
    onTestFinished(async () => {
      await rm(directory, { recursive: true, force: true });
    });
    return new Notes(path.join(directory, 'notes'));
  }

  lines(): string[] {
    try {
      return readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return [];
    }
  }

  async says(line: string): Promise<void> {
    await until(() => this.lines().includes(line), {
      timeoutMs: 30_000,
      what: `a note "${line}"`,
      explain: () => this.lines().join('\n'),
    });
  }

  /** As many lines as these, and then the same. */
  async count(line: string, count: number): Promise<void> {
    await until(() => this.lines().filter((each) => each === line).length >= count, {
      timeoutMs: 30_000,
      what: `${count} notes "${line}"`,
      explain: () => this.lines().join('\n'),
    });
  }
}
