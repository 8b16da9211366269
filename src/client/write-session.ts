/**
 * Sessions that number this client's writes, so that a write that is sent again is made once (Raft thesis, §6.3): a lease each, opened with the
 * first write, kept alive, and opened anew when it is gone.
 *
 * Each write tells the lowest number that has no answer yet, and the cluster keeps every answer from there on. So one write that takes long holds back the
 * forgetting of all behind it. There are two lanes therefore: writes that are answered at once share one session, and when its window is full
 * the next have to wait; those that may stand in a queue for a minute have sessions of their own, which are replaced when the window is full.
 */
import { KvorumError } from '../errors.ts';
import type { Once } from './api.ts';
import { reasonOf } from './environment.ts';
import type { ClientEnvironment } from './environment.ts';

/** How the sessions reach the cluster. Both keep trying for as long as it makes sense, and reject otherwise. */
export interface SessionCalls {
  /** `sentAt`: the earliest moment at which the lease may have been made. */
  grant(ttlMs: number): Promise<{ readonly id: string; readonly ttlMs: number; readonly sentAt: number }>;
  /** `sentAt`: when the renewal that was acknowledged was sent. Rejects ERR_LEASE_NOT_FOUND when it is gone. */
  renew(id: string, deadline: number): Promise<{ readonly ttlMs: number; readonly sentAt: number }>;
  /** Best effort. */
  revoke(id: string): Promise<void>;
}

export interface SessionOptions {
  readonly ttlMs: number;
  /** Numbers from the lowest unanswered one on. The cluster refuses above 1024. */
  readonly window: number;
  /** Sessions open at the same time. */
  readonly maxSessions: number;
  /** Writes that wait for room in a window. */
  readonly maxWaiting: number;
  /** A session nobody wrote under for this long is given up. Milliseconds. */
  readonly idleMs: number;
}

/** The right to make one write. `end` has to be called when nobody will send it again. */
export interface WriteTicket {
  /** As of now: the lowest unanswered number moves. */
  once(): Once;
  /** The cluster does not know the session: the next ticket is of another one. */
  expired(): void;
  end(): void;
}

class WriteSession {
  readonly id: string;
  deadline: number;
  lastUse: number;
  retired = false;
  #next = 1;
  #lowest = 1;
  readonly #open = new Set<number>();

  constructor(id: string, deadline: number, now: number) {
    this.id = id;
    this.deadline = deadline;
    this.lastUse = now;
  }

  get lowestUnanswered(): number {
    return this.#lowest;
  }

  /** Numbers that the cluster has to remember answers for. */
  get span(): number {
    return this.#next - this.#lowest;
  }

  get idle(): boolean {
    return this.#open.size === 0;
  }

  take(): number {
    const sequence = this.#next++;
    this.#open.add(sequence);
    return sequence;
  }

  end(sequence: number): boolean {
    if (!this.#open.delete(sequence)) return false;
    while (this.#lowest < this.#next && !this.#open.has(this.#lowest)) this.#lowest++;
    return true;
  }
}

interface Waiting {
  readonly resolve: (ticket: WriteTicket) => void;
  readonly reject: (error: Error) => void;
}

export class WriteLane {
  readonly #environment: ClientEnvironment;
  readonly #calls: SessionCalls;
  readonly #options: SessionOptions;
  /** Of these the last one gives numbers, unless it is retired. */
  readonly #sessions = new Set<WriteSession>();
  readonly #keepers = new Map<WriteSession, () => void>();
  #current: WriteSession | null = null;
  #opening: Promise<void> | null = null;
  #closed = false;
  readonly #queue = new Set<Waiting>();

  constructor(environment: ClientEnvironment, calls: SessionCalls, options: SessionOptions) {
    this.#environment = environment;
    this.#calls = calls;
    this.#options = options;
  }

  /**
   * In the order of the calls. Null: not at once, `wait` for it. Split so that a write that finds room, which is nearly every one, waits for nothing.
   */
  take(): WriteTicket | null {
    return this.#queue.size > 0 ? null : this.#tryTake();
  }

  /** Rejects as opening a session does, ERR_OVERLOADED when too many wait already, or with the reason of the signal. */
  wait(signal: AbortSignal): Promise<WriteTicket> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(reasonOf(signal));
        return;
      }
      if (this.#queue.size >= this.#options.maxWaiting) {
        reject(new KvorumError('ERR_OVERLOADED', `${this.#queue.size} writes of this client wait already`));
        return;
      }
      const leave = (): void => {
        this.#queue.delete(waiting);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(reasonOf(signal));
      };
      const waiting: Waiting = {
        resolve: (ticket) => {
          leave();
          resolve(ticket);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(waiting);
      this.#serve();
    });
  }

  /** Ends all sessions; whoever waits is rejected. */
  async close(error: Error): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#queue) waiting.reject(error);
    await this.#opening;
    await Promise.all([...this.#sessions].map((session) => this.#end(session)));
  }

  #tryTake(): WriteTicket | null {
    const session = this.#usable();
    if (session === null) return null;
    const sequence = session.take();
    session.lastUse = this.#environment.now();
    return {
      once: () => ({ session: session.id, sequence, lowestUnanswered: session.lowestUnanswered }),
      expired: () => this.#forget(session),
      end: () => {
        if (!session.end(sequence)) return;
        if (session.retired && session.idle) void this.#end(session);
        if (this.#queue.size > 0) this.#serve();
      },
    };
  }

  /** A session with room, or null; then it is opened if that is allowed. */
  #usable(): WriteSession | null {
    const current = this.#current;
    if (current !== null) {
      // It may be gone on the other side: asking would cost an attempt, and tell no more.
      if (this.#environment.now() >= current.deadline) this.#forget(current);
      else if (current.span < this.#options.window) return current;
      else if (this.#sessions.size >= this.#options.maxSessions) return null;
      else this.#retire(current);
    }
    return null;
  }

  #serve(): void {
    while (this.#queue.size > 0) {
      const ticket = this.#tryTake();
      if (ticket === null) break;
      const [waiting] = this.#queue;
      waiting!.resolve(ticket);
    }
    if (this.#queue.size > 0 && this.#current === null && !this.#closed) this.#opening ??= this.#open();
  }

  async #open(): Promise<void> {
    try {
      const { id, ttlMs, sentAt } = await this.#calls.grant(this.#options.ttlMs);
      const session = new WriteSession(id, sentAt + ttlMs, this.#environment.now());
      this.#sessions.add(session);
      if (!this.#closed) {
        this.#current = session;
        this.#keep(session, ttlMs);
      }
    } catch (error) {
      for (const waiting of this.#queue) waiting.reject(error as Error);
    }
    this.#opening = null;
    this.#serve();
  }

  #keep(session: WriteSession, ttlMs: number): void {
    const cancel = this.#environment.after(ttlMs / 3, () => void this.#renew(session), true);
    this.#keepers.set(session, cancel);
  }

  async #renew(session: WriteSession): Promise<void> {
    if (session.idle && this.#environment.now() - session.lastUse >= this.#options.idleMs) {
      await this.#end(session);
      return;
    }
    try {
      const { ttlMs, sentAt } = await this.#calls.renew(session.id, session.deadline);
      if (!this.#sessions.has(session)) return;
      session.deadline = sentAt + ttlMs;
      this.#keep(session, ttlMs);
    } catch {
      // Gone, or nobody could be reached for as long as it lasts: the next write opens another.
      this.#forget(session);
    }
  }

  /** Gives no more numbers, and ends with the last of those that it gave. */
  #retire(session: WriteSession): void {
    session.retired = true;
    if (this.#current === session) this.#current = null;
  }

  /** It is gone on the other side, as far as is known. */
  #forget(session: WriteSession): void {
    this.#sessions.delete(session);
    this.#keepers.get(session)?.();
    this.#keepers.delete(session);
    if (this.#current === session) this.#current = null;
    if (this.#queue.size > 0) this.#serve();
  }

  async #end(session: WriteSession): Promise<void> {
    this.#forget(session);
    await this.#calls.revoke(session.id);
  }
}
