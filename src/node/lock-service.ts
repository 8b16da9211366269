/** Locks, read/write locks and semaphores as callers see them. */
import { KvorumError } from '../errors.ts';
import type { HolderRef } from '../machine/types.ts';
import type { Acquisition } from './acquisition.ts';
import {
  checkCount,
  checkLeaseId,
  checkMs,
  checkName,
  checkTimeout,
  decodeOwner,
  invalid,
  typed,
  written,
  type Calls,
} from './calls.ts';
import type { HolderOf, LockAnswer, LockInfo, LockOptions, Locks, MutationOptions, Written } from './coordination.ts';
import type { Renewals } from './renewals.ts';
import type { CallOptions } from './types.ts';

const MAX_PERMITS = 10_000;
const MAX_DELAY_MS = 3_600_000;
const MAX_SHOWN = 1000;

export class LockService implements Locks {
  readonly #calls: Calls;
  readonly #acquisition: Acquisition;
  readonly #renewals: Renewals;

  constructor(calls: Calls, acquisition: Acquisition, renewals: Renewals) {
    this.#calls = calls;
    this.#acquisition = acquisition;
    this.#renewals = renewals;
  }

  async acquire(name: string, options: LockOptions = {}): Promise<LockAnswer> {
    const { mode = 'exclusive', permits } = options;
    if (mode !== 'exclusive' && mode !== 'read' && mode !== 'write') {
      throw invalid(`mode must be exclusive, read or write, not ${String(mode)}`);
    }
    if (permits !== undefined && mode !== 'exclusive') throw invalid('a semaphore has no mode');
    return this.#acquisition.acquire(
      name,
      {
        kind: permits === undefined ? 'lock' : 'semaphore',
        mode: mode === 'read' ? 'read' : 'write',
        limit: permits === undefined ? 1 : checkCount('permits', permits, 1, MAX_PERMITS),
        delayMs: Math.round(checkMs('delayMs', options.delayMs, 0, MAX_DELAY_MS, 0)),
        value: null,
      },
      options,
    );
  }

  async renew(given: string, holder: HolderOf, options: CallOptions = {}): Promise<{ readonly ttlMs: number }> {
    const name = checkName(given);
    const wanted = checkHolder(holder);
    const timeoutMs = checkTimeout(options.timeoutMs);
    // A lease may outlive its hold of this name, and this node may be behind.
    await this.#calls.confirm(options);
    const found = this.#find(name, wanted);
    const ttlMs = found === undefined ? null : await this.#renewals.renew(found.lease, timeoutMs);
    if (ttlMs === null) throw lost(name);
    return { ttlMs };
  }

  #find(name: string, wanted: HolderRef) {
    return this.#calls.machine.coordinator.locks
      .get(name)
      ?.holders.find((one) => ('lease' in wanted ? one.lease === wanted.lease : one.token === wanted.token));
  }

  async release(
    given: string,
    holder: HolderOf,
    options: MutationOptions = {},
  ): Promise<Written & { readonly released: boolean }> {
    const name = checkName(given);
    const wanted = checkHolder(holder);
    const operation = { type: 'lockRelease', name, kind: 'lock', holder: wanted } as const;
    const result = typed(await this.#calls.propose(operation, options), 'count');
    return { ...written(result), released: result.count > 0 };
  }

  async get(given: string, options: CallOptions = {}): Promise<LockInfo> {
    const name = checkName(given);
    await this.#calls.confirm(options);
    return this.#info(name);
  }

  async list(
    options: CallOptions & { readonly prefix?: string; readonly after?: string } = {},
  ): Promise<readonly LockInfo[]> {
    const { prefix = '', after } = options;
    await this.#calls.confirm(options);
    const names = this.#calls.machine.coordinator.locks.names(prefix, after ?? null, MAX_SHOWN);
    return names.map((name) => this.#info(name));
  }

  async break(given: string, options: MutationOptions = {}): Promise<Written & { readonly broken: number }> {
    const name = checkName(given);
    const result = typed(await this.#calls.propose({ type: 'lockBreak', name }, options), 'count');
    return { ...written(result), broken: result.count };
  }

  #info(name: string): LockInfo {
    const { locks } = this.#calls.machine.coordinator;
    const record = locks.get(name);
    if (record === undefined) return { name, kind: 'lock', limit: 1, holders: [], queue: [] };
    const { kind, limit, holders } = record;
    return {
      name,
      kind,
      limit,
      holders: holders.map(({ token, lease, mode, owner, since }) => {
        return { token, lease, mode, owner: decodeOwner(owner), since };
      }),
      queue: locks
        .queue(name)
        .slice(0, MAX_SHOWN)
        .map(({ lease, mode, owner }) => ({ lease, mode, owner: decodeOwner(owner) })),
    };
  }
}

export function checkHolder(holder: HolderOf): HolderRef {
  if ('lease' in holder) return { lease: checkLeaseId(holder.lease) };
  return { token: checkCount('token', holder.token, 1) };
}

export function lost(name: string): KvorumError {
  return new KvorumError('ERR_LOCK_LOST', `${name} is not held by this holder (any more)`);
}
