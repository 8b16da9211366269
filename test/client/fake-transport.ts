/** A transport that answers as a test says, and remembers what it was asked. */
import type { Attempt, ClientTransport, Once, Stream } from '../../src/client/api.ts';
import { clientOver } from '../../src/client/client.ts';
import type { Client } from '../../src/client/client.ts';
import { text } from '../../src/client/codec.ts';
import type { ConnectOptions } from '../../src/client/options.ts';
import { KvorumError } from '../../src/errors.ts';
import type { ErrorCode, Outcome } from '../../src/errors.ts';
import { FakeTime } from './fake-time.ts';

export type Method = Exclude<keyof ClientTransport, 'endpoint' | 'servedBy' | 'close'>;

export interface Asked {
  readonly method: Method;
  readonly request: unknown;
  readonly once: Once | null;
  readonly timeoutMs: number;
  readonly at: number;
  readonly endpoint: string;
  readonly attempt: Attempt;
}

/** Gives the answer, or throws it. */
export type Answer = (asked: Asked) => unknown;

export class FakeTransport {
  readonly endpoint: string;
  servedBy: string | null = null;
  closed = false;
  readonly asked: Asked[] = [];
  readonly #time: FakeTime;
  readonly #answers = new Map<Method, Answer[]>();
  readonly #always = new Map<Method, Answer>();

  constructor(endpoint: string, time: FakeTime) {
    this.endpoint = endpoint;
    this.#time = time;
    this.always('leaseGrant', () => ({ id: '900', ttlMs: 60_000 }));
    this.always('leaseRenew', () => ({ id: '900', ttlMs: 60_000 }));
    this.always('leaseRevoke', () => undefined);
  }

  /** The next calls of a kind, in this order; after them what `always` says. */
  next(method: Method, ...answers: Answer[]): void {
    const queue = this.#answers.get(method) ?? [];
    queue.push(...answers);
    this.#answers.set(method, queue);
  }

  always(method: Method, answer: Answer): void {
    this.#always.set(method, answer);
  }

  of(method: Method): Asked[] {
    return this.asked.filter((asked) => asked.method === method);
  }

  get transport(): ClientTransport {
    return new Proxy({} as ClientTransport, { get: (_, name) => this.#member(name as keyof ClientTransport) });
  }

  #member(name: keyof ClientTransport): unknown {
    if (name === 'endpoint' || name === 'servedBy') return this[name];
    if (name === 'close') {
      return async () => {
        this.closed = true;
      };
    }
    return async (...args: unknown[]) => {
      const attempt = args.at(-1) as Attempt;
      const asked: Asked = {
        method: name,
        request: args.length > 1 ? args[0] : undefined,
        once: attempt.once,
        timeoutMs: attempt.timeoutMs,
        at: this.#time.now(),
        endpoint: this.endpoint,
        attempt,
      };
      this.asked.push(asked);
      const answer = this.#answers.get(name)?.shift() ?? this.#always.get(name);
      if (answer === undefined) throw new Error(`the test has no answer to ${name}`);
      return answer(asked);
    };
  }
}

export const fails =
  (code: ErrorCode, outcome: Outcome = 'none', details: Record<string, unknown> = {}): Answer =>
  () => {
    throw new KvorumError(code, `scripted ${code}`, { outcome, details });
  };

export const gives =
  (value: unknown): Answer =>
  () =>
    value;

/** Until the attempt is given up. */
export const never: Answer = ({ attempt }) =>
  new Promise((_, reject) => {
    attempt.signal.addEventListener('abort', () => reject(new Error('aborted')));
  });

export interface Scene {
  readonly time: FakeTime;
  readonly nodes: readonly FakeTransport[];
  readonly node: FakeTransport;
  readonly client: Client;
}

export function scene(nodes = 1, options: Partial<ConnectOptions> = {}): Scene {
  const time = new FakeTime();
  const fakes = Array.from({ length: nodes }, (_, i) => new FakeTransport(`n${i + 1}`, time));
  const client = clientOver(
    fakes.map(({ transport }) => transport),
    text,
    // The first endpoint first.
    { environment: { now: time.now, after: time.after, random: firstZero(time) }, ...options },
  );
  return { time, nodes: fakes, node: fakes[0]!, client };
}

function firstZero(time: FakeTime): () => number {
  let first = true;
  return () => {
    const value = first ? 0 : time.random();
    first = false;
    return value;
  };
}

/** A stream that a test feeds. */
export class FakeStream<T> implements Stream<T> {
  closed = false;
  readonly #items: (T | Error | null)[] = [];
  #waiting: (() => void) | null = null;
  reads = 0;

  /** An Error breaks it, null ends it. */
  push(...items: (T | Error | null)[]): this {
    this.#items.push(...items);
    this.#waiting?.();
    return this;
  }

  async next(): Promise<T | null> {
    this.reads++;
    while (this.#items.length === 0 && !this.closed) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    if (this.closed) return null;
    const item = this.#items.shift()!;
    if (item instanceof Error) throw item;
    return item;
  }

  close(): void {
    this.closed = true;
    this.#waiting?.();
  }
}
