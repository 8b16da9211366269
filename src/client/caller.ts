/**
 * Makes calls until one is answered: chooses the endpoint, numbers writes, tries again what may be tried again, and stops at the deadline.
 */
import { KvorumError } from '../errors.ts';
import type { Attempt, ClientTransport, ClusterInfo, Once } from './api.ts';
import { Backoff } from './backoff.ts';
import type { BackoffOptions } from './backoff.ts';
import type { Endpoints } from './endpoints.ts';
import type { Endpoint } from './endpoints.ts';
import { reasonOf, sleep } from './environment.ts';
import type { ClientEnvironment } from './environment.ts';
import { finalOutcome, isEndpointFault, isTransient, mayRepeat, retryAfterMs, withOutcome } from './retry.ts';
import type { CallKind } from './retry.ts';
import { WriteLane } from './write-session.ts';
import type { SessionCalls, WriteTicket } from './write-session.ts';

export interface CallerOptions {
  /** A whole call, all attempts. */
  readonly timeoutMs: number;
  /** What a node is given for one attempt. */
  readonly attemptTimeoutMs: number;
  readonly backoff: BackoffOptions;
  readonly preferLeader: boolean;
  /** TTL of the lease behind a session. */
  readonly sessionTtlMs: number;
  /** Writes of a session without an answer. */
  readonly sessionWindow: number;
  /** Shown with the session's lease. */
  readonly owner: unknown;
}

/** Of one call. */
export interface RunOptions {
  readonly timeoutMs?: number | undefined;
  readonly attemptTimeoutMs?: number | undefined;
  /** The node may take this much longer, because the call stands in a queue there. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** The caller's own key; false: the write is sent without one. Default: numbered by the session. */
  readonly once?: { readonly key: string } | false | undefined;
  /** Made by the client for itself: goes on while it closes. */
  readonly internal?: boolean;
}

export type Send<T> = (transport: ClientTransport, attempt: Attempt) => Promise<T>;

/** An answer that is on its way may take this much longer than the node was given. */
const GRACE_MS = 500;
/** A session that is gone again and again is not a session. */
const MAX_SESSIONS_A_WRITE = 3;
const LOOK_AT_CLUSTER_MS = 5000;
const MAX_WAITING_WRITES = 10_000;
const MAX_WAITING_SESSIONS = 16;
const SESSION_IDLE_MS = 300_000;
/** Revoking a session is a courtesy: its lease ends by itself. */
const REVOKE_TIMEOUT_MS = 1000;

class Scope implements Attempt {
  readonly timeoutMs: number;
  readonly once: Once | null;
  readonly internal: boolean;
  fail!: (error: Error) => void;
  #controller: AbortController | null = null;
  #reason: Error | null = null;

  constructor(timeoutMs: number, once: Once | null, internal: boolean) {
    this.timeoutMs = timeoutMs;
    this.once = once;
    this.internal = internal;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

export class Caller {
  readonly environment: ClientEnvironment;
  readonly endpoints: Endpoints;
  readonly options: CallerOptions;
  readonly #quick: WriteLane;
  readonly #waiting: WriteLane;
  readonly #scopes = new Set<Scope>();
  #closing: KvorumError | null = null;
  #clusterSeenAt = -Infinity;

  constructor(environment: ClientEnvironment, endpoints: Endpoints, options: CallerOptions) {
    this.environment = environment;
    this.endpoints = endpoints;
    this.options = options;
    const lane = (maxSessions: number): WriteLane =>
      new WriteLane(environment, this.#sessionCalls(), {
        ttlMs: options.sessionTtlMs,
        window: options.sessionWindow,
        maxSessions,
        maxWaiting: MAX_WAITING_WRITES,
        idleMs: SESSION_IDLE_MS,
      });
    this.#quick = lane(1);
    this.#waiting = lane(MAX_WAITING_SESSIONS);
  }

  /**
   * Rejects with what the last attempt was answered, `outcome` telling about all of them; with the reason of the signal; ERR_CLOSED when the client is
   * closed.
   */
  async run<T>(kind: CallKind, options: RunOptions, send: Send<T>): Promise<T> {
    if (this.#closing !== null && options.internal !== true) throw this.#closing;
    throwIfAborted(options.signal);
    const { waitMs = 0, timeoutMs = this.options.timeoutMs } = options;
    const started = this.environment.now();
    const deadline = started + timeoutMs + waitMs;
    // Written into the request, so that it has to be the same each time.
    const attemptMs = Math.max(
      1,
      Math.ceil(Math.min(options.attemptTimeoutMs ?? this.options.attemptTimeoutMs, timeoutMs)),
    );
    const bySession = kind === 'write' && options.once === undefined;
    const key = kind === 'write' && typeof options.once === 'object' ? options.once : null;

    let ticket: WriteTicket | null = null;
    let uncertain = false;
    let sessions = 0;
    let attempts = 0;
    let backoff: Backoff | null = null;
    let last: KvorumError | null = null;
    let failed: Endpoint | null = null;
    const giveUp = (error: KvorumError): KvorumError =>
      withOutcome(
        error,
        finalOutcome(error, kind, uncertain),
        attempts > 1 ? ` (attempt ${attempts} in ${Math.round(this.environment.now() - started)} ms)` : '',
      );
    try {
      for (;;) {
        if (bySession && ticket === null) {
          const lane = waitMs > 0 ? this.#waiting : this.#quick;
          ticket = lane.take() ?? (await this.#forTicket(lane, deadline, options));
        }
        const endpoint = this.endpoints.pick(this.environment.now(), failed);
        const restMs = endpoint.restUntil - this.environment.now();
        if (restMs > 0) {
          if (this.environment.now() + restMs >= deadline) {
            throw last === null ? overloaded(endpoint) : giveUp(last);
          }
          await this.#pause(restMs, options);
        }
        const leftMs = deadline - this.environment.now();
        if (leftMs <= 0) throw last === null ? tooLate(timeoutMs + waitMs) : giveUp(last);
        attempts++;
        try {
          const budgetMs = Math.min(attemptMs + GRACE_MS + waitMs, leftMs);
          const result = await this.#within(
            new Scope(attemptMs, key ?? ticket?.once() ?? null, options.internal === true),
            budgetMs,
            options.signal,
            () => noAnswer(endpoint, budgetMs),
            (scope) => send(endpoint.transport, scope),
          );
          this.endpoints.answered(endpoint);
          if (this.options.preferLeader || this.endpoints.discovers) this.#lookAtCluster(endpoint);
          return result;
        } catch (thrown) {
          throwIfAborted(options.signal);
          const error = asKvorumError(thrown);
          if (this.#closing !== null && error.code === 'ERR_CLOSED' && options.internal !== true) {
            throw withOutcome(this.#closing, kind === 'read' ? 'none' : 'unknown');
          }
          if (error.code === 'ERR_SESSION_EXPIRED' && ticket !== null) {
            // Nothing of that session will be executed any more. What was never sent before was not executed either.
            ticket.expired();
            ticket.end();
            ticket = null;
            if (uncertain || ++sessions >= MAX_SESSIONS_A_WRITE) {
              throw withOutcome(error, uncertain ? 'unknown' : 'none');
            }
            continue;
          }
          if (!isTransient(error)) {
            this.endpoints.answered(endpoint);
            throw giveUp(error);
          }
          this.#clusterSeenAt = -Infinity;
          this.endpoints.failed(endpoint, this.environment.now(), retryAfterMs(error));
          failed = endpoint;
          last = error;
          if (!mayRepeat(error, kind, bySession || key !== null)) throw giveUp(error);
          if (error.outcome === 'unknown') uncertain = true;
          backoff ??= new Backoff(this.environment, this.options.backoff);
          const delayMs = isEndpointFault(error) && attempts < this.endpoints.size ? 0 : backoff.next();
          if (this.environment.now() + delayMs >= deadline) throw giveUp(error);
          if (delayMs > 0) await this.#pause(delayMs, options);
        }
      }
    } finally {
      ticket?.end();
    }
  }

  /** Rejects with the reason of the signal, or ERR_CLOSED when the client is closed. */
  async pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#closing !== null) throw this.#closing;
    await this.#pause(delayMs, { signal });
  }

  /** A stream of it broke: others are asked first for a while. */
  left(transport: ClientTransport): void {
    const endpoint = this.endpoints.all.find((each) => each.transport === transport);
    if (endpoint !== undefined) this.endpoints.failed(endpoint, this.environment.now(), 0);
  }

  get closing(): KvorumError | null {
    return this.#closing;
  }

  /** Nothing new is let in, and what is under way is rejected. What the client does for itself goes on. */
  stop(): void {
    if (this.#closing !== null) return;
    this.#closing = new KvorumError('ERR_CLOSED', 'this client was closed');
    for (const scope of this.#scopes) if (!scope.internal) scope.fail(this.#closing);
  }

  /** After `stop`, and after the handles: ends the sessions, then whatever is left. */
  async close(): Promise<void> {
    const error = this.#closing ?? new KvorumError('ERR_CLOSED', 'this client was closed');
    await Promise.all([this.#quick.close(error), this.#waiting.close(error)]);
    for (const scope of this.#scopes) scope.fail(error);
    await Promise.all(this.endpoints.all.map(({ transport }) => transport.close()));
  }

  #sessionCalls(): SessionCalls {
    const { owner } = this.options;
    return {
      grant: async (ttlMs) => {
        const sentAt = this.environment.now();
        try {
          // Made twice, one of them ends unused.
          const { id, ttlMs: given } = await this.run('idempotent', { internal: true }, (transport, attempt) =>
            transport.leaseGrant({ ttlMs, owner }, attempt),
          );
          return { id, ttlMs: given, sentAt };
        } catch (error) {
          // Of the write that wanted it nothing was sent.
          throw withOutcome(asKvorumError(error), 'none');
        }
      },
      renew: async (id, deadline) => {
        let sentAt = 0;
        const { ttlMs } = await this.run(
          'idempotent',
          { internal: true, timeoutMs: Math.max(1, deadline - this.environment.now()) },
          (transport, attempt) => {
            sentAt = this.environment.now();
            return transport.leaseRenew(id, attempt);
          },
        );
        return { ttlMs, sentAt };
      },
      revoke: async (id) => {
        try {
          await this.run('idempotent', { internal: true, timeoutMs: REVOKE_TIMEOUT_MS }, (transport, attempt) =>
            transport.leaseRevoke(id, attempt),
          );
        } catch {
          // It ends by itself then.
        }
      },
    };
  }

  #forTicket(lane: WriteLane, deadline: number, options: RunOptions): Promise<WriteTicket> {
    const budgetMs = deadline - this.environment.now();
    return this.#within(
      new Scope(budgetMs, null, options.internal === true),
      budgetMs,
      options.signal,
      () => new KvorumError('ERR_TIMEOUT', `no session for the write within ${Math.round(budgetMs)} ms`),
      (scope) => lane.wait(scope.signal),
    );
  }

  #pause(delayMs: number, { signal, internal = false }: RunOptions): Promise<void> {
    const scope = new Scope(delayMs, null, internal);
    return this.#within(scope, Infinity, signal, null, () => sleep(this.environment, delayMs, scope.signal));
  }

  /** Settles as `start` does, unless the time is over, the signal is aborted, or the client is closed before. */
  #within<T>(
    scope: Scope,
    budgetMs: number,
    signal: AbortSignal | undefined,
    onTimeout: (() => Error) | null,
    start: (scope: Scope) => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let done = false;
      const leave = (): void => {
        done = true;
        cancel?.();
        signal?.removeEventListener('abort', onAbort);
        this.#scopes.delete(scope);
      };
      scope.fail = (error) => {
        if (done) return;
        leave();
        reject(error);
        scope.abort(error);
      };
      const onAbort = (): void => scope.fail(reasonOf(signal!));
      const cancel =
        onTimeout === null || budgetMs === Infinity
          ? null
          : this.environment.after(Math.max(0, budgetMs), () => scope.fail(onTimeout()));
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#scopes.add(scope);
      start(scope).then(
        (value) => {
          if (done) return;
          leave();
          resolve(value);
        },
        (error: unknown) => {
          if (done) return;
          leave();
          reject(asError(error));
        },
      );
    });
  }

  /** In the background: a call is not kept waiting to make the next one shorter. */
  #lookAtCluster(endpoint: Endpoint): void {
    const now = this.environment.now();
    if (now - this.#clusterSeenAt < LOOK_AT_CLUSTER_MS) return;
    this.#clusterSeenAt = now;
    const timeoutMs = this.options.attemptTimeoutMs;
    const scope = new Scope(timeoutMs, null, false);
    this.#within(
      scope,
      timeoutMs,
      undefined,
      () => noAnswer(endpoint, timeoutMs),
      () => endpoint.transport.cluster(scope),
    ).then(
      (cluster) => this.#sawCluster(cluster),
      () => {
        // Whoever answers is good enough.
      },
    );
  }

  #sawCluster(cluster: ClusterInfo): void {
    if (this.#closing !== null) return;
    for (const gone of this.endpoints.update(cluster.members)) {
      gone.close().catch(() => {
        // Nobody uses it any more.
      });
    }
    if (this.options.preferLeader) this.endpoints.prefer(cluster);
  }
}

function noAnswer({ transport }: Endpoint, budgetMs: number): KvorumError {
  return new KvorumError('ERR_TIMEOUT', `no answer from ${transport.endpoint} within ${Math.round(budgetMs)} ms`, {
    outcome: 'unknown',
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Nothing was sent. */
function tooLate(budgetMs: number): KvorumError {
  return new KvorumError('ERR_TIMEOUT', `nothing could be sent within ${Math.round(budgetMs)} ms`);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw reasonOf(signal);
}

function overloaded({ transport }: Endpoint): KvorumError {
  return new KvorumError(
    'ERR_OVERLOADED',
    `${transport.endpoint} asked to be left alone for longer than this call may take`,
  );
}

/** Anything else is a bug of a transport, and a write that met it may have happened. */
function asKvorumError(error: unknown): KvorumError {
  if (KvorumError.is(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new KvorumError('ERR_INTERNAL', message, { outcome: 'unknown', cause: error });
}
