/** The maker's side of a process that holds locks (holder.ts). */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { commandNow } from '../networks/command.ts';
import type { SectionReport, SectionTask } from './section.ts';

/** How it is paused. */
export type Pause = 'stop' | 'block';

export type ToHolder =
  | { readonly type: 'play'; readonly task: SectionTask; readonly how: Pause; readonly originUs: number }
  | { readonly type: 'woken' };

export type FromHolder =
  | { readonly type: 'ready' }
  /** Wants a SIGSTOP for so long. */
  | { readonly type: 'stop'; readonly ms: number }
  | { readonly type: 'done'; readonly report: SectionReport }
  | { readonly type: 'failed'; readonly error: string };

const FILE = fileURLToPath(new URL('holder.ts', import.meta.url));
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class HolderProcess {
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<undefined>();
  #playing: PromiseWithResolvers<SectionReport> | null = null;

  /** `urls`: of the nodes. */
  constructor(urls: readonly string[]) {
    // A stopped process does not notice that its maker is gone: the kernel ends it.
    const guard = commandNow('setpriv', ['--pdeathsig', 'KILL', 'true']) ? ['setpriv', '--pdeathsig', 'KILL'] : [];
    const words = [...guard, process.execPath, FILE, urls.join(',')];
    const child = spawn(words[0] ?? '', words.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    running.add(child);
    child.on('message', (message) => this.#heard(message as FromHolder));
    child.once('exit', (code, signal) => {
      running.delete(child);
      const error = new Error(`a process that holds locks ended: ${code ?? signal}`);
      this.#ready.reject(error);
      this.#playing?.reject(error);
    });
    this.#ready.promise.catch(() => undefined);
    this.#child = child;
  }

  /** One at a time. `nowUs` is the clock of the report. */
  async play(task: SectionTask, how: Pause, nowUs: () => number): Promise<SectionReport> {
    await this.#ready.promise;
    this.#playing = Promise.withResolvers<SectionReport>();
    const originUs = Number(process.hrtime.bigint() / 1000n) - nowUs();
    this.#send({ type: 'play', task, how, originUs });
    return await this.#playing.promise;
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (!running.has(child)) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  #heard(message: FromHolder): void {
    switch (message.type) {
      case 'ready':
        this.#ready.resolve(undefined);
        return;
      case 'stop':
        this.#child.kill('SIGSTOP');
        setTimeout(() => {
          this.#send({ type: 'woken' });
          this.#child.kill('SIGCONT');
        }, message.ms);
        return;
      case 'done':
        this.#playing?.resolve(message.report);
        return;
      case 'failed':
        this.#playing?.reject(new Error(message.error));
    }
  }

  #send(message: ToHolder): void {
    if (this.#child.connected) this.#child.send(message);
  }
}
