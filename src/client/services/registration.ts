/** An instance that is registered, for as long as its process lives: kept on a lease, told of when it changes, put back when it was lost without anybody's wish. */
import { KvorumError } from '../../errors.ts';
import type { Compare, RawEntry, TxnStep } from '../api.ts';
import { Backoff } from '../backoff.ts';
import type { RunOptions } from '../caller.ts';
import type { Core } from '../core.ts';
import { durationMs } from '../duration.ts';
import type { Duration } from '../duration.ts';
import { DEFAULT_TTL, openLease, runOptions } from '../lease.ts';
import type { Lease, LeaseHandle } from '../lease.ts';
import type { CallOptions } from '../options.ts';
import { FETCH_CHECKER, startCheck } from './check.ts';
import type { Checker, Finding, HealthCheck, RunningCheck } from './check.ts';
import {
  checkName,
  checkRecord,
  checkStatus,
  encodeRecord,
  instanceKey,
  instanceOf,
  MAX_NOTE_BYTES,
  STATUSES,
} from './instance.ts';
import type { InstanceRecord, InstanceStatus } from './instance.ts';

export interface RegisterOptions extends Omit<CallOptions, 'once'> {
  /** Where it is reached: HOST:PORT, or a URL. Up to 512 bytes. */
  readonly address: string;
  /** Its id. Who registers it again takes its place: a process that was started anew need not wait for the lease of the one before. Default: a new one. */
  readonly instance?: string;
  /** Up to 128 bytes. Default: none. */
  readonly version?: string;
  /** Its part of the work, 1 to 1000. Default 1. */
  readonly weight?: number;
  /** A JSON object of up to 4 KiB. Default: empty. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /**
   * Id of the node or agent in whose process it runs, null for none. When gossip says that this is not well, pickers beside other nodes and agents leave the instance out. Default: the
   * one that the client is of (`node.client()`), otherwise none.
   */
  readonly node?: string | null;
  /** How it is known that it is well. Default: it is passing until `report` says otherwise, or its lease ends. */
  readonly check?: HealthCheck;
  /** Who carries out `http` and `tcp` checks. Default: `fetch`, and node:net. */
  readonly checker?: Checker;
  /** How long it stays registered when its process is cut off or dies: 1 s to 24 h. Default '15s'. */
  readonly ttl?: Duration;
  /**
   * Register it with this lease (or its id) instead of one made for it; then it goes with the lease, and does not come back. Several instances may share one; two registrations of one id on one lease
   * that say the same of it (address, version, weight, metadata, node) are one and the same, and closing either ends both.
   */
  readonly lease?: Lease | string;
}

/**
 * An instance that is registered.
 *
 * @example
 * const me = await client.services.register('payments', { address: '10.0.0.7:8080', check: { http: '/healthz' } });
 * await me.report('warning', 'draining');
 * await me.close();
 */
export interface Registration extends AsyncDisposable {
  /** Of the service. */
  readonly name: string;
  readonly instance: string;
  /** Id of the lease that it is registered with. Another one after it was lost and is back. */
  readonly lease: string;
  /** The worse of what was reported and what the check says. */
  readonly status: InstanceStatus;
  /** Aborted when it was closed, or when it is gone for good: its id was registered by another, or an operator deregistered it, which is found out within `ttl`. `reason` is what `guard` throws. */
  readonly signal: AbortSignal;
  /** Throws ERR_REGISTRATION_LOST when `signal` is aborted. */
  guard(): void;
  /**
   * What it says of itself; with a check counts the worse of the two. Written when it is a change. Resolves when it is written. What it rejects with is tried again until it is
   * written all the same, unless it is ERR_REGISTRATION_LOST.
   */
  report(status: InstanceStatus, note?: string): Promise<void>;
  /**
   * Deregisters it, and ends the lease that was made for it: tried until the cluster answers or that lease must have ended. A lease that was given stays as it is, for whoever keeps it: there only the
   * instance is taken out, for as long as a call may take; when that rejects, the instance stays until its lease ends. Safe to repeat.
   */
  close(): Promise<void>;
}

/** Leases that it has had, of which a late write may be the one that is there. */
const MAX_LEASES = 8;
const MAX_TURNS = 5;

export class RegistrationHandle implements Registration {
  readonly name: string;
  readonly instance: string;
  readonly #core: Core;
  readonly #key: string;
  readonly #record: Omit<InstanceRecord, keyof Finding>;
  readonly #ttlMs: number;
  /** Null: it has its own. */
  readonly #given: Lease | string | null;
  readonly #check: RunningCheck;
  readonly #controller = new AbortController();
  #own: LeaseHandle | null = null;
  #leases: string[] = [];
  #reported: Finding = { status: 'passing', note: null };
  #found: Finding = { status: 'passing', note: null };
  /** What is there with the lease that it has; null: nothing, as far as is known. */
  #written: string | null = null;
  #begun = false;
  #ended: KvorumError | null = null;
  /** It is to be looked whether it is still there. */
  #doubtful = false;
  #cancelLook: () => void = () => undefined;
  #busy = false;
  #writing: Promise<void> = Promise.resolve();
  /** Of those who wait until all is written. */
  #waiters: PromiseWithResolvers<void> | null = null;
  #closed = false;
  #closing: Promise<void> | null = null;

  constructor(core: Core, name: string, options: RegisterOptions) {
    const {
      address,
      version = null,
      weight = 1,
      metadata = {},
      node = core.host?.id ?? null,
      check,
      checker = FETCH_CHECKER,
      lease = null,
    } = options;
    const { environment } = core.caller;
    checkName('name', name);
    const { instance = newId(() => environment.random()) } = options;
    checkName('instance', instance);
    this.name = name;
    this.instance = instance;
    this.#core = core;
    this.#key = instanceKey(name, instance);
    this.#record = { address, version, weight, metadata, node };
    this.#ttlMs = durationMs('ttl', options.ttl ?? DEFAULT_TTL);
    this.#given = lease;
    checkRecord({ ...this.#record, ...this.#reported });
    this.#check = startCheck(environment, check, address, checker, (finding) => {
      this.#found = { ...finding, note: finding.note === null ? null : clipped(finding.note) };
      this.#changed();
    });
  }

  /** Takes the place of whoever has it. Rejects as any write, and then nothing is left of it. */
  async begin(options: RegisterOptions): Promise<void> {
    this.#core.keep(this);
    try {
      const run = runOptions(options);
      const lease = await this.#leased(options);
      const wanted = this.#wanted;
      await this.#core.caller.run('write', run, (transport, attempt) =>
        transport.put({ key: this.#key, value: wanted, contentType: CONTENT_TYPE, lease }, attempt),
      );
      this.guard();
      this.#isWritten(wanted);
      this.#begun = true;
      this.#lookLater();
      this.#changed();
    } catch (error) {
      // It ends by itself when it cannot be given back.
      this.close().catch(() => undefined);
      throw error;
    }
  }

  get lease(): string {
    return this.#leases.at(-1) ?? '';
  }

  get status(): InstanceStatus {
    return this.#worse.status;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  guard(): void {
    if (this.#ended !== null) throw this.#ended;
  }

  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async report(status: InstanceStatus, note?: string): Promise<void> {
    this.guard();
    checkStatus(status, note ?? null);
    this.#reported = { status, note: note ?? null };
    this.#check.reported();
    if (this.#written === this.#wanted && !this.#busy) return;
    this.#waiters ??= Promise.withResolvers<void>();
    const { promise } = this.#waiters;
    this.#changed();
    return promise;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #worse(): Finding {
    const rank = ({ status }: Finding): number => STATUSES.indexOf(status);
    return rank(this.#found) > rank(this.#reported) ? this.#found : this.#reported;
  }

  get #wanted(): string {
    return encodeRecord({ ...this.#record, ...this.#worse });
  }

  /** Nobody tells it when another takes its id. */
  #lookLater(): void {
    const { environment } = this.#core.caller;
    const delayMs = this.#ttlMs * (0.9 + 0.1 * environment.random());
    const look = (): void => {
      this.#doubtful = true;
      this.#changed();
      this.#lookLater();
    };
    this.#cancelLook = environment.after(delayMs, look, true);
  }

  #changed(): void {
    if (!this.#begun || this.#ended !== null || this.#busy) return;
    this.#busy = true;
    this.#writing = this.#write();
  }

  /** Until what is wanted is there. One write at a time; of several changes meanwhile the last. */
  async #write(): Promise<void> {
    const { caller } = this.#core;
    const backoff = new Backoff(caller.environment, caller.options.backoff);
    try {
      while (this.#ended === null) {
        const wanted = this.#wanted;
        const there = wanted === this.#written && !this.#leaseLost;
        if (there && !this.#doubtful) {
          this.#waiters?.resolve();
          this.#waiters = null;
          return;
        }
        try {
          if (there) await this.#look();
          else if (this.#written === null || this.#leaseLost) await this.#putBack(wanted);
          else await this.#update(wanted);
        } catch (error) {
          this.#fail(error as Error);
          await caller.pause(backoff.next(), this.signal);
        }
      }
    } catch {
      // The pause ended with this, or with the client, which ends this too.
    } finally {
      this.#busy = false;
    }
  }

  #isWritten(what: string): void {
    this.#written = what;
    // It may have ended while that was on its way.
    if (this.#ended === null) this.#core.announce(this.name, this.instance, what);
  }

  async #update(wanted: string): Promise<void> {
    if (await this.#whileOwn(this.#put(wanted, this.lease))) this.#isWritten(wanted);
    else await this.#look();
  }

  /** Whether it is still there: it may have been taken by another, deregistered, or gone with its lease. */
  async #look(): Promise<void> {
    const { lease } = this;
    const current = await this.#current();
    const holds = this.#isOwn(current) || !(await this.#alive(lease));
    // Not before all of it is known: what fails is looked at again.
    this.#doubtful = false;
    if (holds) return;
    this.#end(this.#lost(current === null ? 'it was deregistered' : 'its id was registered by another'));
  }

  /** Whether the cluster has kept its lease. If not, nobody wished it to be gone: it is to be put back with another; with one that was given, it goes with it. */
  async #alive(lease: string): Promise<boolean> {
    try {
      await this.#core.caller.run('idempotent', { signal: this.signal }, (transport, attempt) =>
        transport.leaseRenew(lease, attempt),
      );
      return true;
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_LEASE_NOT_FOUND')) throw error;
      const own = this.#own;
      this.#own = null;
      this.#written = null;
      if (own === null) this.#end(this.#lost('its lease has ended'));
      else await own.close();
      return false;
    }
  }

  /** After its lease was lost: where nobody else has taken its place. */
  async #putBack(wanted: string): Promise<void> {
    if (this.#given !== null) {
      this.#end(this.#lost('its lease has ended'));
      return;
    }
    this.#written = null;
    for (let turn = 1; turn <= MAX_TURNS; turn++) {
      const lease = await this.#leased({ signal: this.signal });
      const current = await this.#current();
      if (current !== null && !this.#leases.includes(current.lease ?? '')) {
        this.#end(this.#lost('its id was registered by another'));
        return;
      }
      try {
        if (!(await this.#txn(this.#unchanged(current), this.#put(wanted, lease)))) continue;
      } catch (error) {
        // It has ended since it was made: on another one, then.
        if (!KvorumError.is(error, 'ERR_LEASE_NOT_FOUND') || (await this.#alive(lease))) throw error;
        continue;
      }
      this.#isWritten(wanted);
      return;
    }
    throw new KvorumError('ERR_CAS_FAILED', `${this.#what} is being written by others`);
  }

  async #current(run: RunOptions = { signal: this.signal }): Promise<RawEntry | null> {
    const { entry } = await this.#core.caller.run('read', run, (transport, attempt) =>
      transport.get({ key: this.#key }, attempt),
    );
    return entry;
  }

  /** On a lease that it was given there may be another registration of its id, which says something else of itself. */
  #isOwn(entry: RawEntry | null): boolean {
    if (entry === null || entry.lease !== this.lease) return false;
    if (this.#given === null) return true;
    const instance = instanceOf({ ...entry, key: this.#key });
    const fixed: Finding = { status: 'passing', note: null };
    return instance !== null && encodeRecord({ ...instance, ...fixed }) === encodeRecord({ ...this.#record, ...fixed });
  }

  /** Whether `step` was done: it is not when what is there is another's, or changes at the same time. */
  async #whileOwn(step: TxnStep, run?: RunOptions): Promise<boolean> {
    if (this.#given === null) {
      return this.#txn({ target: 'lease', key: this.#key, operator: '=', value: this.lease }, step, run);
    }
    const current = await this.#current(run);
    return this.#isOwn(current) && this.#txn(this.#unchanged(current), step, run);
  }

  #unchanged(entry: RawEntry | null): Compare {
    return { target: 'modRevision', key: this.#key, operator: '=', value: entry?.modRevision ?? 0 };
  }

  /** Id of the lease that it is to be registered with. */
  async #leased(options: Pick<RegisterOptions, 'timeout' | 'signal'>): Promise<string> {
    const given = this.#given;
    if (typeof given === 'object' && given !== null) this.#hear(given);
    if (given !== null) {
      const id = typeof given === 'object' ? given.id : given;
      this.#leases = [id];
      return id;
    }
    if (this.#own !== null && !this.#own.signal.aborted) return this.#own.id;
    const { timeout, signal } = options;
    const lease = await openLease(this.#core, {
      ttl: this.#ttlMs,
      ...(timeout !== undefined && { timeout }),
      ...(signal !== undefined && { signal }),
    });
    this.#own = lease;
    this.#leases = [...this.#leases, lease.id].slice(-MAX_LEASES);
    this.#hear(lease);
    return lease.id;
  }

  #hear(lease: Lease): void {
    lease.signal.addEventListener('abort', () => this.#changed(), { once: true, signal: this.signal });
  }

  /** Looks at the clock: a stalled event loop delays timers. */
  get #leaseLost(): boolean {
    if (typeof this.#given === 'string') return false;
    return (this.#given ?? this.#own)?.signal.aborted ?? true;
  }

  #put(value: string, lease: string): TxnStep {
    return { put: { key: this.#key, value, contentType: CONTENT_TYPE, lease } };
  }

  async #txn(guard: Compare, step: TxnStep, run: RunOptions = { signal: this.signal }): Promise<boolean> {
    const request = { if: [guard], then: [step], else: [] };
    // Numbered by the session: one that is late does not overwrite what was said after it.
    const { succeeded } = await this.#core.caller.run('write', run, (transport, attempt) =>
      transport.txn(request, attempt),
    );
    return succeeded;
  }

  get #what(): string {
    return `instance ${JSON.stringify(this.instance)} of service ${JSON.stringify(this.name)}`;
  }

  #lost(reason: string): KvorumError {
    return new KvorumError('ERR_REGISTRATION_LOST', `${this.#what} is registered no more: ${reason}`);
  }

  #fail(error: Error): void {
    this.#waiters?.promise.catch(() => undefined);
    this.#waiters?.reject(error);
    this.#waiters = null;
  }

  #end(error: KvorumError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#core.announce(this.name, this.instance, null);
    this.#check.stop();
    this.#cancelLook();
    this.#fail(error);
    this.#controller.abort(error);
    if (this.#closed) return;
    this.#core.forget(this);
    // Nothing hangs on it any more; it ends by itself when it cannot be given back.
    this.#own?.close().catch(() => undefined);
  }

  async #close(): Promise<void> {
    const there = this.#ended === null;
    this.#closed = true;
    this.#end(this.#lost('it was closed'));
    try {
      await this.#writing;
      if (this.#own !== null) await this.#own.close();
      else if (there && this.#given !== null) await this.#deregister();
    } finally {
      this.#core.forget(this);
    }
  }

  async #deregister(): Promise<void> {
    const internal = { internal: true };
    for (let turn = 1; turn <= MAX_TURNS; turn++) {
      if (await this.#whileOwn({ delete: { key: this.#key } }, internal)) return;
      if (!this.#isOwn(await this.#current(internal))) return;
    }
    throw new KvorumError('ERR_CAS_FAILED', `${this.#what} is being written by others`);
  }
}

const CONTENT_TYPE = 'application/json';

/** As much of it as may be written. */
function clipped(note: string): string {
  const written = note.replaceAll(/\p{Surrogate}/gu, '\uFFFD');
  const { read } = new TextEncoder().encodeInto(written, new Uint8Array(MAX_NOTE_BYTES));
  return written.slice(0, read);
}

const DIGITS = '0123456789abcdefghijklmnopqrstuv';

/** 80 random bits. */
function newId(random: () => number): string {
  return Array.from({ length: 16 }, () => DIGITS[Math.floor(random() * DIGITS.length)]).join('');
}
