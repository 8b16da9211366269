/** One `kvorum start` process of `kvorum local`: its pipe, its ready line, its log file. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readSync, renameSync, fstatSync, statSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { formatLogLine, parseLogLine, type LogLine } from './log.ts';

export interface Ready {
  readonly name: string;
  readonly url: string;
  readonly address: string;
  readonly pid: number;
}

const MAX_LOG_BYTES = 16 * 1024 * 1024;
const MAX_READ_BYTES = 256 * 1024;
const WARN = 40;

export class Child {
  readonly name: string;
  readonly logFile: string;
  /** Resolves when the node knows a leader and is caught up; never if it does not come to that. */
  readonly ready: Promise<Ready>;
  /** Resolves with how it ended: `stopped`, `exited with code 1`, `was killed by SIGKILL`. */
  readonly exited: Promise<string>;
  info: Ready | null = null;
  alive = true;
  readonly #process: ChildProcess;
  readonly #log: number;
  #readUpTo: number;

  constructor(name: string, home: string, args: readonly string[]) {
    this.name = name;
    this.logFile = path.join(home, `${name}.log`);
    rotate(this.logFile);
    this.#log = openSync(this.logFile, 'a+', 0o600);
    this.#readUpTo = fstatSync(this.#log).size;
    // The log is the file itself and not a pipe: a node never waits for this process to read what it says.
    this.#process = spawn(process.execPath, [entryPoint(), 'start', ...args], {
      stdio: ['pipe', 'pipe', this.#log],
      env: withoutOptions(process.env),
    });
    // The pipe breaks when the child dies first; `exited` tells of that.
    this.#process.stdin?.on('error', () => undefined);
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.alive = false;
        resolve(`could not be started: ${error.message}`);
      });
      this.#process.once('exit', (code, signal) => {
        this.alive = false;
        resolve(code === 0 ? 'stopped' : signal === null ? `exited with code ${code}` : `was killed by ${signal}`);
      });
    });
    this.ready = new Promise((resolve) => {
      if (this.#process.stdout === null) return;
      createInterface(this.#process.stdout).on('line', (line) => {
        this.info = JSON.parse(line) as Ready;
        resolve(this.info);
      });
    });
  }

  /** As often as one likes: the end of its standard input never forces anything. */
  askToStop(): void {
    this.#process.stdin?.end();
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** Log lines of level warn and above that came since the last call, for the terminal. */
  newWarnings(): string[] {
    const size = fstatSync(this.#log).size;
    const from = Math.max(this.#readUpTo, size - MAX_READ_BYTES);
    const chunk = this.#read(from, size);
    const complete = chunk.lastIndexOf('\n') + 1;
    if (complete === 0) return [];
    this.#readUpTo = from + Buffer.byteLength(chunk.slice(0, complete));
    return chunk
      .slice(0, complete)
      .split('\n')
      .map(parseLogLine)
      .filter((line): line is LogLine => line !== null && line.level >= WARN)
      .map(formatLogLine);
  }

  lastLines(count: number): string[] {
    const size = fstatSync(this.#log).size;
    const lines = this.#read(Math.max(0, size - MAX_READ_BYTES), size)
      .trimEnd()
      .split('\n');
    return lines.slice(-count).map((line) => {
      const parsed = parseLogLine(line);
      return parsed === null ? line : formatLogLine(parsed);
    });
  }

  close(): void {
    closeSync(this.#log);
  }

  #read(from: number, to: number): string {
    const buffer = Buffer.alloc(Math.max(0, to - from));
    const length = readSync(this.#log, buffer, 0, buffer.length, from);
    return buffer.toString('utf8', 0, length);
  }
}

/** `cmd/kvorum.ts` in a checkout, `dist/cmd/kvorum.js` in the package. */
function entryPoint(): string {
  return path.join(import.meta.dirname, `kvorum${path.extname(import.meta.filename)}`);
}

/** A child gets its options as flags, all of them; what is meant for `kvorum local` is not meant for it. */
function withoutOptions(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('KVORUM_')));
}

/** One older file is kept. */
function rotate(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
}
