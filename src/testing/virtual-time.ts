/**
 * A virtual clock and event loop: time stands still until somebody moves it from one event to the next. A process has its own view of it,
 * which can be paused, stopped, drift and jump.
 */
import type { Environment } from '../node/env.ts';
import { Agenda } from './agenda.ts';

/** Turns of the microtask queue after each event: what the event resolved must be seen before the next one happens. */
const MICROTASK_TURNS = 16;
/** So many times nothing is to come before it is taken for true. */
const MAX_IDLE = 16;

export class VirtualTime {
  readonly #agenda = new Agenda();
  #executed = 0;

  /** Milliseconds. */
  get now(): number {
    return this.#agenda.now;
  }

  /** Events run so far. */
  get executed(): number {
    return this.#executed;
  }

  /** Runs `task` after `delayMs`; tasks of the same time run in the order in which they were given. Returns what cancels it. */
  schedule(delayMs: number, task: () => void): () => void {
    const item = this.#agenda.after(Math.max(0, delayMs), task);
    return () => {
      item.run = null;
    };
  }

  /** Runs events until `done` says so; fails when virtual time passes `limitMs` from now before that. */
  async run(done: () => boolean, limitMs: number): Promise<void> {
    const end = this.now + limitMs;
    // What was called just before may not have come to its first event yet.
    await settleMicrotasks();
    let idle = 0;
    while (!done()) {
      const at = this.#agenda.nextAt;
      if (at === Infinity) {
        // Where all else is down, a node that starts may be on its way to its first event for longer than that.
        if (++idle === MAX_IDLE) throw new Error('nothing left to happen');
        await settleMicrotasks();
        continue;
      }
      idle = 0;
      if (at > end) throw new Error(`not reached within ${limitMs} virtual milliseconds`);
      this.#executed++;
      this.#agenda.step();
      await settleMicrotasks();
    }
  }

  async pass(ms: number): Promise<void> {
    let over = false;
    this.schedule(ms, () => {
      over = true;
    });
    await this.run(() => over, ms);
  }

  /** Runs until the promise settles, and gives back what it settled with. */
  async settle<T>(promise: Promise<T>, limitMs = 10_000): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await this.run(() => settled, limitMs);
    return promise;
  }

  process(random: () => number, clock: ProcessClock = {}): VirtualProcess {
    return new VirtualProcess(this, random, clock);
  }
}

const RESOLVED = Promise.resolve();

async function settleMicrotasks(): Promise<void> {
  for (let i = 0; i < MICROTASK_TURNS; i++) await RESOLVED;
}

export interface ProcessClock {
  /** How fast this process's monotonic clock runs. Default 1. */
  readonly rate?: number;
  /** Milliseconds since the epoch at virtual time 0. */
  readonly epochMs?: number;
}

/** What waits for the end of a pause. */
interface Held {
  readonly run: () => void;
  readonly apart: boolean;
}

const EPOCH_MS = 1_700_000_000_000;

/** Time, timers and the event loop of one process. */
export class VirtualProcess implements Environment {
  readonly random: () => number;
  readonly #time: VirtualTime;
  readonly #rate: number;
  #wallMs: number;
  #stopped = false;
  /** What happened to it while it was paused, in order; null when nothing waits. */
  #held: Held[] | null = null;
  /** It goes on, and takes in what it held. */
  #resuming = false;
  /** Ends of the turn under way while it does so, and the chance that this turn ends before the next thing is taken in. */
  #ends: Held[] = [];
  #endChance = 0;

  constructor(time: VirtualTime, random: () => number, { rate = 1, epochMs = EPOCH_MS }: ProcessClock) {
    this.#time = time;
    this.random = random;
    this.#rate = rate;
    this.#wallMs = epochMs;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get paused(): boolean {
    return this.#held !== null && !this.#resuming;
  }

  now(): number {
    return this.#time.now * this.#rate;
  }

  wallTime(): number {
    return Math.floor(this.#wallMs + this.now());
  }

  /** The wall clock is set forward or, with a negative number, back. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  /**
   * Runs something that happens to this process: now, when its pause ends, or never when it is gone. `apart`: it comes on a way of its own, and
   * may overtake what came before while the process stood still.
   */
  enter(run: () => void, { apart = false }: { apart?: boolean } = {}): void {
    if (this.#stopped) return;
    if (this.#held === null) run();
    else this.#held.push({ run, apart });
  }

  /** For what is outside of the process and ends in it: a timer, a write, a frame. */
  schedule(delayMs: number, task: () => void): () => void {
    let cancelled = false;
    const cancel = this.#time.schedule(delayMs, () => {
      this.enter(() => {
        // It may have been cancelled by what came before it when a pause ended.
        if (!cancelled) task();
      });
    });
    return () => {
      cancelled = true;
      cancel();
    };
  }

  after(delayMs: number, task: () => void): () => void {
    return this.schedule(delayMs / this.#rate, task);
  }

  every(intervalMs: number, task: () => void): () => void {
    let cancelled = false;
    let cancel: () => void = () => {};
    const next = (): void => {
      // Set again when it has run: a process that was paused sees one late call, not all that it missed.
      cancel = this.after(intervalMs, () => {
        if (cancelled) return;
        next();
        task();
      });
    };
    next();
    return () => {
      cancelled = true;
      cancel();
    };
  }

  soon(task: () => void): void {
    this.endOfTurn(task);
  }

  endOfTurn(task: () => void): void {
    this.#time.schedule(0, () => {
      if (this.#resuming) this.#ends.push({ run: task, apart: false });
      else this.enter(task);
    });
  }

  pause(): void {
    this.#resuming = false;
    this.#held = [...this.#ends, ...(this.#held ?? [])];
    this.#ends = [];
  }

  /**
   * It goes on, now: takes in what it held, in an order in which its sockets could give it, and what arrives meanwhile behind it. How much of it one turn of its
   * event loop takes in is chance: a read that waited may be asked for before the news behind it is heard, or after.
   */
  resume(): void {
    if (this.#held === null || this.#resuming) return;
    this.#resuming = true;
    if (this.random() < 0.5) {
      const isApart = ({ apart }: Held): boolean => apart;
      this.#held = [...this.#held.filter(isApart), ...this.#held.filter((held) => !isApart(held))];
    }
    this.#endChance = Math.max(0, 1.5 * this.random() - 0.5);
    this.#time.schedule(0, () => this.#takeHeld());
  }

  #takeHeld(): void {
    const held = this.#held;
    if (held === null || !this.#resuming) return;
    const ends = this.#ends.length > 0 && (held.length === 0 || this.random() < this.#endChance);
    const next = (ends ? this.#ends : held).shift();
    if (next === undefined) {
      this.#held = null;
      this.#resuming = false;
      return;
    }
    next.run();
    // An event of its own, so that what this one resolves comes before it.
    this.#time.schedule(0, () => this.#takeHeld());
  }

  /** The process is gone: nothing of it runs any more. */
  stop(): void {
    this.#stopped = true;
    this.#held = null;
    this.#ends = [];
    this.#resuming = false;
  }
}
