/**
 * One `kvorum start` process that can be killed, paused and started again. It never outlives the process that made it: it
 * has a pipe from here as standard input and stops when that ends, and it is killed when this process exits.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';

import { cleanEnvironment, ENTRY } from '../cmd/cli.ts';

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ReadyLine {
  readonly url: string;
  readonly address: string;
  readonly pid: number;
  readonly clusterId: string;
}

export interface NodeSpec {
  readonly name: string;
  readonly dataDir: string;
  /** Standard error of all its starts. */
  readonly logFile: string;
  /** HOST:PORT of its HTTP API. */
  readonly http: string;
  /** All of `kvorum start`; see `startArguments`. */
  readonly args: readonly string[];
  /** Words before the node's own: a wrapper such as `nice`. It has to become the node by exec, so that signals reach it. */
  readonly wrap?: readonly string[];
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** The options that every node under test is started with. */
export function startArguments(spec: {
  readonly name: string;
  readonly dataDir: string;
  readonly http: string;
  /** `--initial-cluster`. */
  readonly members: string;
  readonly secretFile: string;
}): string[] {
  return [
    ['--name', spec.name, '--data-dir', spec.dataDir],
    ['--initial-cluster', spec.members, '--secret-file', spec.secretFile],
    ['--http', spec.http],
    ['--log-format', 'json', '--output', 'json', '--stop-on-stdin-end'],
  ].flat();
}

/** The same node, on an empty data directory, joins those that run at these peer addresses instead of forming a cluster. */
export function joinArguments(args: readonly string[], join: readonly string[], replaces: string | null): string[] {
  const rest: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (['--initial-cluster', '--join', '--replace'].includes(arg)) at++;
    else rest.push(arg);
  }
  return [...rest, '--join', join.join(','), ...(replaces === null ? [] : ['--replace', replaces])];
}

export class NodeProcess {
  readonly name: string;
  readonly dataDir: string;
  readonly url: string;
  /** More environment of its next starts. */
  readonly env: Record<string, string> = {};
  /** All of `kvorum start`, of its next starts. */
  args: readonly string[];
  readonly #spec: NodeSpec;
  #child: ChildProcess | null = null;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #lastExit: Exit | null = null;
  #ready: Promise<ReadyLine> = Promise.reject(new Error('not started'));

  constructor(spec: NodeSpec) {
    this.name = spec.name;
    this.dataDir = spec.dataDir;
    this.url = `http://${spec.http}`;
    this.#spec = spec;
    this.args = spec.args;
    this.#ready.catch(() => undefined);
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get alive(): boolean {
    return this.#child !== null;
  }

  /** Resolves when the process ends. */
  get exited(): Promise<Exit> {
    return this.#exit;
  }

  /** How its last run ended; null while it runs and before the first. */
  get lastExit(): Exit | null {
    return this.#lastExit;
  }

  /** Starts the process; `ready()` tells when it serves. */
  start(moreArgs: readonly string[] = []): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    const log = openSync(this.#spec.logFile, 'a');
    const command = [...(this.#spec.wrap ?? []), ...[process.execPath, ENTRY, 'start', ...this.args, ...moreArgs]];
    const child = spawn(command[0] ?? '', command.slice(1), {
      stdio: ['pipe', 'pipe', log],
      env: cleanEnvironment(this.env),
    });
    closeSync(log);
    this.#child = child;
    this.#lastExit = null;
    running.add(child);
    child.stdin?.on('error', () => undefined);
    this.#exit = new Promise((resolve) => {
      const ended = (exit: Exit): void => {
        running.delete(child);
        if (this.#child === child) {
          this.#child = null;
          this.#lastExit = exit;
        }
        resolve(exit);
      };
      child.once('exit', (code, signal) => ended({ code, signal }));
      child.once('error', () => ended({ code: null, signal: null }));
    });
    this.#ready = new Promise((resolve, reject) => {
      let text = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const end = text.indexOf('\n');
        if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as ReadyLine);
      });
      void this.#exit.then(({ code, signal }) => {
        reject(new Error(`${this.name} ended (${code ?? signal}) before it was ready\n${this.logTail()}`));
      });
    });
    this.#ready.catch(() => undefined);
  }

  /** Resolves once the node has said that it knows a leader and is caught up. */
  async ready(timeoutMs: number = READY_TIMEOUT_MS): Promise<ReadyLine> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new Error(`${this.name} was not ready within ${timeoutMs} ms\n${this.logTail()}`));
    }, timeoutMs);
    try {
      return await Promise.race([this.#ready, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async restart(moreArgs: readonly string[] = []): Promise<void> {
    this.start(moreArgs);
    await this.ready();
  }

  /** Sends the signal; for SIGKILL and SIGTERM resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#child?.kill(signal);
    return await this.#exit;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Everything that was logged, over all restarts. */
  logs(): string {
    return existsSync(this.#spec.logFile) ? readFileSync(this.#spec.logFile, 'utf8') : '';
  }

  logTail(lines = 20): string {
    return `--- ${this.name} ---\n${this.logs().trimEnd().split('\n').slice(-lines).join('\n')}`;
  }

  /** Resident memory, bytes. Linux only. */
  residentBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(match?.[1]) * 1024;
  }

  /** Stops it gracefully, by force if that does not work. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill('SIGCONT');
    child.stdin?.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exit;
    clearTimeout(timer);
  }

  /** At the end of a test nobody needs a hand-over. */
  async destroy(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit;
  }
}
