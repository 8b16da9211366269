/** Leases as callers see them. */
import { KvorumError } from '../errors.ts';
import type { Lease } from '../kv/leases.ts';
import { checkLeaseId, checkTimeout, checkTtl, decodeOwner, encodeOwner, typed, written, type Calls } from './calls.ts';
import type { LeaseAnswer, LeaseInfo, Leases, MutationOptions, Written } from './coordination.ts';
import type { Lessor } from './lessor.ts';
import type { Renewals } from './renewals.ts';
import type { CallOptions } from './types.ts';

/** Keys shown of one lease, and leases in one list. */
const MAX_SHOWN = 1000;

export class LeaseService implements Leases {
  readonly #calls: Calls;
  readonly #lessor: Lessor;
  readonly #renewals: Renewals;

  constructor(calls: Calls, lessor: Lessor, renewals: Renewals) {
    this.#calls = calls;
    this.#lessor = lessor;
    this.#renewals = renewals;
  }

  async grant(
    options: MutationOptions & { readonly ttlMs?: number; readonly owner?: unknown } = {},
  ): Promise<LeaseAnswer> {
    const operation = {
      type: 'leaseGrant',
      ttlMs: checkTtl(options.ttlMs),
      owner: encodeOwner(options.owner),
    } as const;
    const result = typed(await this.#calls.propose(operation, options), 'lease');
    return { ...written(result), id: result.id, ttlMs: result.ttlMs };
  }

  async renew(id: string, options: CallOptions = {}): Promise<LeaseAnswer> {
    const ttlMs = await this.#renewals.renew(checkLeaseId(id), checkTimeout(options.timeoutMs));
    if (ttlMs === null) throw gone(id);
    return { revision: this.#calls.machine.revision, id, ttlMs };
  }

  async revoke(id: string, options: MutationOptions = {}): Promise<Written & { readonly deleted: number }> {
    const operation = { type: 'leaseRevoke', lease: checkLeaseId(id) } as const;
    const result = typed(await this.#calls.propose(operation, options), 'ended');
    return { ...written(result), deleted: result.deleted };
  }

  async get(id: string, options: CallOptions = {}): Promise<LeaseInfo> {
    checkLeaseId(id);
    await this.#calls.confirm(options);
    const lease = this.#calls.machine.coordinator.leases.get(id);
    if (lease === null) throw gone(id);
    return this.#info(lease);
  }

  async list(options: CallOptions & { readonly after?: string } = {}): Promise<readonly LeaseInfo[]> {
    const after = options.after === undefined ? 0 : Number(checkLeaseId(options.after));
    await this.#calls.confirm(options);
    const { leases } = this.#calls.machine.coordinator;
    return [...leases.all()]
      .filter(({ id }) => Number(id) > after)
      .toSorted((a, b) => Number(a.id) - Number(b.id))
      .slice(0, MAX_SHOWN)
      .map((lease) => this.#info(lease));
  }

  #info({ id, ttlMs, owner, remainingMs }: Lease): LeaseInfo {
    const { kv, coordinator } = this.#calls.machine;
    return {
      id,
      ttlMs,
      remainingMs: this.#lessor.remainingMs(id, this.#calls.env.now()) ?? remainingMs,
      owner: decodeOwner(owner),
      keys: kv.keysOf(id).slice(0, MAX_SHOWN),
      locks: coordinator.locks.namesOf(id),
    };
  }
}

function gone(id: string): KvorumError {
  return new KvorumError('ERR_LEASE_NOT_FOUND', `there is no lease ${id} (any more)`);
}
