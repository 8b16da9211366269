/** Elections and barriers as callers see them: locks with a value, and a lock that opens when enough wait for it. */
import { KvorumError } from '../errors.ts';
import type { Acquisition } from './acquisition.ts';
import { checkCount, checkName, checkText, decodeOwner, typed, written, type Calls } from './calls.ts';
import type {
  AcquireOptions,
  Barriers,
  CampaignOptions,
  ElectionInfo,
  Elections,
  LockAnswer,
  MutationOptions,
  Written,
} from './coordination.ts';
import { lost } from './lock-service.ts';
import type { LockWaits } from './lock-waits.ts';
import { Observation } from './observation.ts';
import type { CallOptions } from './types.ts';

const MAX_PARTIES = 10_000;

export class ElectionService implements Elections {
  readonly #calls: Calls;
  readonly #acquisition: Acquisition;
  readonly #waits: LockWaits;
  readonly #closed: AbortSignal;

  constructor(calls: Calls, acquisition: Acquisition, waits: LockWaits, closed: AbortSignal) {
    this.#calls = calls;
    this.#acquisition = acquisition;
    this.#waits = waits;
    this.#closed = closed;
  }

  async campaign(name: string, options: CampaignOptions = {}): Promise<LockAnswer> {
    const value = options.value === undefined ? null : checkText('value', options.value);
    return this.#acquisition.acquire(name, { kind: 'election', mode: 'write', limit: 1, delayMs: 0, value }, options);
  }

  async proclaim(
    given: string,
    proclamation: { readonly token: number; readonly value: string },
    options: MutationOptions = {},
  ): Promise<Written> {
    const name = checkName(given);
    const token = checkCount('token', proclamation.token, 1);
    const value = checkText('value', proclamation.value);
    const operation = { type: 'electionProclaim', name, token, value } as const;
    const result = typed(await this.#calls.propose(operation, options), 'count');
    if (result.count === 0) throw lost(name);
    return written(result);
  }

  async resign(
    given: string,
    holder: { readonly token: number },
    options: MutationOptions = {},
  ): Promise<Written & { readonly resigned: boolean }> {
    const name = checkName(given);
    const token = checkCount('token', holder.token, 1);
    const operation = { type: 'lockRelease', name, kind: 'election', holder: { token } } as const;
    const result = typed(await this.#calls.propose(operation, options), 'count');
    return { ...written(result), resigned: result.count > 0 };
  }

  async get(given: string, options: CallOptions = {}): Promise<ElectionInfo> {
    const name = checkName(given);
    await this.#calls.confirm(options);
    return this.#info(name);
  }

  observe(
    given: string,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): AsyncIterableIterator<ElectionInfo> & { close(): void } {
    const name = checkName(given);
    return new Observation<ElectionInfo>({
      begin: () => this.#calls.confirm(options),
      read: () => this.#info(name),
      subscribe: (changed) => this.#waits.observe(name, changed),
      signals: options.signal === undefined ? [this.#closed] : [options.signal, this.#closed],
    });
  }

  #info(name: string): ElectionInfo {
    const record = this.#calls.machine.coordinator.locks.get(name);
    const leader = record?.kind === 'election' ? record.holders[0] : undefined;
    if (record === undefined || leader === undefined) return { name, leader: null, value: null, token: null };
    const { lease, owner, token } = leader;
    return { name, leader: { lease, owner: decodeOwner(owner) }, value: record.value, token };
  }
}

export class BarrierService implements Barriers {
  readonly #calls: Calls;
  readonly #acquisition: Acquisition;

  constructor(calls: Calls, acquisition: Acquisition) {
    this.#calls = calls;
    this.#acquisition = acquisition;
  }

  async enter(name: string, options: AcquireOptions & { readonly parties: number }): Promise<LockAnswer> {
    const limit = checkCount('parties', options.parties, 1, MAX_PARTIES);
    return this.#acquisition.acquire(name, { kind: 'barrier', mode: 'write', limit, delayMs: 0, value: null }, options);
  }

  async get(
    given: string,
    options: CallOptions = {},
  ): Promise<{ readonly name: string; readonly parties: number; readonly entered: number }> {
    const name = checkName(given);
    await this.#calls.confirm(options);
    const { locks } = this.#calls.machine.coordinator;
    const record = locks.get(name);
    if (record !== undefined && record.kind !== 'barrier') {
      throw new KvorumError('ERR_INVALID_ARGUMENT', `${name} is in use as a ${record.kind}`);
    }
    return { name, parties: record?.limit ?? 0, entered: locks.waiting(name) };
  }
}
