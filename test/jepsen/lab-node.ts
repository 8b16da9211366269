/** A node of the lab: its process, and what the network and the verdict have to know of it. */
import { joinArguments, NodeProcess, type NodeSpec } from '../processes/node-process.ts';
import { expectedEnds } from './faults/index.ts';
import { lastErrorCode } from './faults/starting.ts';
import type { LabNode } from './types.ts';

const READY_TIMEOUT_MS = 60_000;

/** The process ended and the lab had not asked it to, or not in this way. */
export interface OwnEnd {
  readonly node: string;
  /** `SIGSEGV`, `code 1 with ERR_CORRUPT`. */
  readonly how: string;
  /** A fault that is at work wants it to. */
  readonly expected: boolean;
  readonly lastWords: string;
}

export interface LabNodeEvents {
  started(node: RealNode): void;
  ended(node: RealNode): void;
  endedByItself(end: OwnEnd): void;
}

export class RealNode implements LabNode {
  readonly name: string;
  readonly dataDir: string;
  readonly url: string;
  readonly env: Record<string, string>;
  /** HOST:PORT at which the others reach its peer port. */
  readonly peerAddress: string;
  readonly #process: NodeProcess;
  readonly #others: () => readonly RealNode[];
  readonly #events: LabNodeEvents;
  #paused = false;
  #askedToEnd = false;

  /** `others`: of its lab. */
  constructor(
    spec: NodeSpec & { readonly peerAddress: string },
    others: () => readonly RealNode[],
    events: LabNodeEvents,
  ) {
    this.#process = new NodeProcess(spec);
    this.#events = events;
    this.#others = others;
    this.peerAddress = spec.peerAddress;
    this.name = spec.name;
    this.dataDir = spec.dataDir;
    this.url = this.#process.url;
    this.env = this.#process.env;
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get lastExit(): LabNode['lastExit'] {
    return this.#process.lastExit;
  }

  start(): void {
    this.#process.start();
    this.#paused = false;
    this.#askedToEnd = false;
    this.#events.started(this);
    void this.#process.exited.then(({ code, signal }) => {
      this.#events.ended(this);
      if (this.#askedToEnd && (signal !== null || code === 0)) return;
      const said = lastErrorCode(this);
      const how = signal ?? `code ${code} with ${said}`;
      const expected = signal === null && expectedEnds(this).includes(said);
      this.#events.endedByItself({ node: this.name, how, expected, lastWords: this.#process.logTail(5) });
    });
  }

  async ready(): Promise<void> {
    await this.#process.ready(READY_TIMEOUT_MS);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.alive) return;
    this.#askedToEnd = true;
    const gone = this.#process.kill(signal);
    // A stopped process takes no signal but SIGKILL.
    if (this.#paused && signal !== 'SIGKILL') this.#process.resume();
    await gone;
    this.#paused = false;
  }

  pause(): void {
    if (!this.alive) return;
    this.#paused = true;
    this.#process.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#process.resume();
  }

  becomeNew({ replaces }: { readonly replaces: boolean }): void {
    const join = this.#others().map(({ peerAddress }) => peerAddress);
    const args = joinArguments(this.#process.args, join, replaces ? this.name : null);
    this.#process.args = args.includes('--advertise') ? args : [...args, '--advertise', this.peerAddress];
  }

  logs(): string {
    return this.#process.logs();
  }

  logTail(lines?: number): string {
    return this.#process.logTail(lines);
  }
}
