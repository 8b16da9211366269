/** Health checks, run by the process that registered: nobody else has to reach it, and the cluster stores changes only. */
import { durationMs } from '../duration.ts';
import type { Duration } from '../duration.ts';
import type { ClientEnvironment } from '../environment.ts';
import { invalid } from './instance.ts';
import type { InstanceStatus } from './instance.ts';

/** Asks an instance whether it is well. Resolves when it is; what it rejects with is shown as the note. Gives up when `signal` is aborted. */
export interface Checker {
  http(url: string, signal: AbortSignal): Promise<void>;
  /** `address`: HOST:PORT. */
  tcp(address: string, signal: AbortSignal): Promise<void>;
}

export interface CheckTiming {
  /** From the end of one check to the next, 100 ms at least. Default '5s'. */
  readonly interval?: Duration;
  /** A check that takes longer has failed. Default '2s'. */
  readonly timeout?: Duration;
  /** Critical after so many failures in a row; passing after one success. Default 3. */
  readonly failures?: number;
}

/**
 * - `http`: a URL, or a path at the address of the instance, is asked by GET and answers with a status from 200 to 299.
 * - `tcp`: a connection to HOST:PORT comes about; true: to the address of the instance. Node.js, Bun and Deno only.
 * - `run`: what you give resolves.
 * - `ttl`: `report` is called at least so often; it is critical before the first one.
 */
export type HealthCheck =
  | ({ readonly http: string } & CheckTiming)
  | ({ readonly tcp: true | string } & CheckTiming)
  | ({ readonly run: (signal: AbortSignal) => Promise<unknown> } & CheckTiming)
  | { readonly ttl: Duration };

/** What a check has found. */
export interface Finding {
  readonly status: InstanceStatus;
  readonly note: string | null;
}

export const FETCH_CHECKER: Checker = {
  async http(url, signal) {
    const response = await fetch(url, { signal, redirect: 'follow' });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  },
  async tcp(address, signal) {
    const { probeTcp } = await import('./tcp-probe.ts');
    await probeTcp(address, signal);
  },
};

const MIN_INTERVAL_MS = 100;
const MAX_FAILURES = 1000;

export interface RunningCheck {
  /** Its owner has said something. */
  reported(): void;
  stop(): void;
}

/**
 * Begins to check: `found` is called with each change, and at once with what it is until something is known. Throws ERR_INVALID_ARGUMENT (`details.option`) for what cannot be
 * meant.
 */
export function startCheck(
  environment: ClientEnvironment,
  check: HealthCheck | undefined,
  address: string,
  checker: Checker,
  found: (finding: Finding) => void,
): RunningCheck {
  if (check === undefined) return { reported: () => undefined, stop: () => undefined };
  if ('ttl' in check) return new ReportCheck(environment, durationMs('check.ttl', check.ttl), found);
  const probe = probeOf(check, address, checker);
  return new ProbeCheck(environment, probe, check, found);
}

type Probe = (signal: AbortSignal) => Promise<unknown>;

function probeOf(check: Exclude<HealthCheck, { readonly ttl: Duration }>, address: string, checker: Checker): Probe {
  if ('run' in check) return check.run;
  if ('tcp' in check) {
    const at = check.tcp === true ? address : check.tcp;
    if (!/:\d{1,5}$/u.test(at)) throw invalid('check.tcp', `needs HOST:PORT, which ${JSON.stringify(at)} is not`);
    return (signal) => checker.tcp(at, signal);
  }
  const url = urlOf(check.http, address);
  return (signal) => checker.http(url, signal);
}

function urlOf(http: string, address: string): string {
  const base = /^https?:\/\//u.test(address) ? address : `http://${address}`;
  try {
    const { href, protocol } = new URL(http, base);
    if (protocol === 'http:' || protocol === 'https:') return href;
  } catch {
    // TypeError: the one thing that it tells.
  }
  throw invalid('check.http', `is neither a URL nor a path at the address, ${JSON.stringify(address)}`);
}

/** Asks again and again. */
class ProbeCheck implements RunningCheck {
  readonly #environment: ClientEnvironment;
  readonly #probe: Probe;
  readonly #found: (finding: Finding) => void;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #failures: number;
  /** In a row. */
  #failed = 0;
  #passing = false;
  #stopped = false;
  #cancel: () => void = () => undefined;

  constructor(
    environment: ClientEnvironment,
    probe: Probe,
    { interval = '5s', timeout = '2s', failures = 3 }: CheckTiming,
    found: (finding: Finding) => void,
  ) {
    this.#environment = environment;
    this.#probe = probe;
    this.#found = found;
    this.#intervalMs = durationMs('check.interval', interval);
    this.#timeoutMs = durationMs('check.timeout', timeout);
    this.#failures = failures;
    if (this.#intervalMs < MIN_INTERVAL_MS) throw invalid('check.interval', `must be at least ${MIN_INTERVAL_MS} ms`);
    if (this.#timeoutMs < 1) throw invalid('check.timeout', 'must be at least 1 ms');
    if (!Number.isInteger(failures) || failures < 1 || failures > MAX_FAILURES) {
      throw invalid('check.failures', `must be a whole number from 1 to ${MAX_FAILURES}`);
    }
    found({ status: 'critical', note: 'not checked yet' });
    this.#after(0);
  }

  reported(): void {
    // It asks by itself.
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #after(delayMs: number): void {
    this.#cancel = this.#environment.after(delayMs, () => this.#ask(), true);
  }

  #ask(): void {
    const controller = new AbortController();
    let over = false;
    const done = (note: string | null): void => {
      if (over || this.#stopped) return;
      over = true;
      cancelTimeout();
      this.#take(note);
      // Instances that were started together do not ask together for ever.
      this.#after(this.#intervalMs * (0.9 + 0.2 * this.#environment.random()));
    };
    const cancelTimeout = this.#environment.after(
      this.#timeoutMs,
      () => {
        done(`no answer within ${this.#timeoutMs} ms`);
        controller.abort();
      },
      true,
    );
    this.#cancel = () => {
      cancelTimeout();
      controller.abort();
    };
    Promise.resolve()
      .then(() => this.#probe(controller.signal))
      .then(
        () => done(null),
        (error: unknown) => done(error instanceof Error ? wordsOf(error) : String(error)),
      );
  }

  /** Null: it is well. */
  #take(note: string | null): void {
    if (note === null) {
      this.#failed = 0;
      if (!this.#passing) this.#found({ status: 'passing', note: null });
      this.#passing = true;
      return;
    }
    this.#failed++;
    if (this.#failed !== this.#failures) return;
    this.#passing = false;
    this.#found({ status: 'critical', note });
  }
}

/** Waits to be told. */
class ReportCheck implements RunningCheck {
  readonly #environment: ClientEnvironment;
  readonly #ttlMs: number;
  readonly #found: (finding: Finding) => void;
  #cancel: () => void = () => undefined;

  constructor(environment: ClientEnvironment, ttlMs: number, found: (finding: Finding) => void) {
    if (ttlMs < MIN_INTERVAL_MS) throw invalid('check.ttl', `must be at least ${MIN_INTERVAL_MS} ms`);
    this.#environment = environment;
    this.#ttlMs = ttlMs;
    this.#found = found;
    found({ status: 'critical', note: 'no report yet' });
  }

  reported(): void {
    this.#cancel();
    this.#found({ status: 'passing', note: null });
    this.#cancel = this.#environment.after(
      this.#ttlMs,
      () => this.#found({ status: 'critical', note: `no report within ${this.#ttlMs} ms` }),
      true,
    );
  }

  stop(): void {
    this.#cancel();
  }
}

/** `fetch failed` says less than its cause. */
function wordsOf({ message, cause }: Error): string {
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}
