/**
 * Owns whatever a run makes outside itself, processes and a temporary folder, and takes it away on every way out: the end,
 * an error, a signal, and, by a second process that waits for the end of a pipe, even SIGKILL.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Ends when its standard input does; kills what is still listed, then removes everything. */
const REAPER = `
cat > /dev/null
for file in "$1"/pids/*; do [ -e "$file" ] && kill -9 "\${file##*/}" 2> /dev/null; done
rm -rf "$1"
`;

export interface ServerProcess {
  readonly pid: number;
  readonly alive: boolean;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** What it last said on standard output and standard error. */
  lastWords(): string;
}

export class Workshop {
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();
  #logs = 0;

  constructor(parent: string = tmpdir()) {
    this.folder = mkdtempSync(join(parent, 'kvorum-bench-'));
    mkdirSync(join(this.folder, 'pids'));
    // In a process group of its own, so that a Ctrl-C does not end it before its work.
    const reaper = spawn('sh', ['-c', REAPER, 'sh', this.folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    reaper.unref();
    (reaper.stdin as unknown as { unref(): void }).unref();
    process.on('exit', () => this.#clear());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      // The exit event does the rest.
      process.on(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
    }
  }

  /** A server: its output goes to a file. */
  start(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): ServerProcess {
    const log = join(this.folder, `log-${++this.#logs}`);
    const out = openSync(log, 'w');
    const child = spawn(command, args, { stdio: ['ignore', out, out], detached: true, env: env ?? process.env });
    closeSync(out);
    const gone = this.#own(child);
    if (child.pid === undefined) throw new Error(`${command} cannot be started`);
    return {
      pid: child.pid,
      get alive() {
        return child.exitCode === null && child.signalCode === null;
      },
      kill: async () => {
        child.kill('SIGKILL');
        await gone;
      },
      lastWords: () => readFileSync(log, 'utf8').slice(-2000),
    };
  }

  /** A program that ends by itself: resolves with its standard output, rejects when it fails. `line` gets each line at once. */
  async run(command: string, args: readonly string[], line: (text: string) => void = () => undefined): Promise<string> {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const gone = this.#own(child);
    let output = '';
    let errors = '';
    let seen = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (let end = output.indexOf('\n', seen); end >= 0; end = output.indexOf('\n', seen)) {
        line(output.slice(seen, end));
        seen = end + 1;
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    await gone;
    if (child.exitCode !== 0) {
      throw new Error(`${command} ended with ${child.exitCode ?? child.signalCode ?? 'an error'}: ${errors}`);
    }
    return output;
  }

  #own(child: ChildProcess): Promise<void> {
    this.#children.add(child);
    const { pid } = child;
    const file = pid === undefined ? null : join(this.folder, 'pids', String(pid));
    if (file !== null) writeFileSync(file, '');
    return new Promise((resolve) => {
      const ended = (): void => {
        this.#children.delete(child);
        if (file !== null) rmSync(file, { force: true });
        resolve();
      };
      // `close` comes when its output was read too; a program that cannot be started has only `error`.
      child.once('close', ended).once('error', ended);
    });
  }

  #clear(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const PORTS = { first: 15_000, count: 17_000 };

/**
 * Ports that were free a moment ago, HOST:PORT on loopback. Below those that the system gives to outgoing connections:
 * one of these could take the port of a node while it is down.
 */
export async function freeAddresses(count: number): Promise<string[]> {
  const addresses = new Set<string>();
  for (let tries = 0; addresses.size < count; tries++) {
    if (tries > 100 + count) throw new Error('no free ports');
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (await isFree(port)) addresses.add(`127.0.0.1:${port}`);
  }
  return [...addresses];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Asks until the answer is not null; rejects when that takes longer. */
export async function until<T>(what: string, timeoutMs: number, ask: () => Promise<T | null>): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
