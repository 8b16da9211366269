/**
 * The replicated state machine of one group: applies committed entries in log order. Pure and synchronous; the same log gives the same
 * records, byte for byte, on every replica, however often it was restarted in between.
 *
 * Starting (always, on an empty store too), then a pass of the replica loop:
 *
 * ```ts
 * const machine = new Machine(store.state);
 * await store.state.scan((record) => machine.restore(record));
 * machine.restored();
 *
 * for (const entry of committed) results.push(machine.apply(entry));
 * machine.writeMeta();
 * store.state.seal({ index: machine.appliedIndex, term: machine.appliedTerm });
 * ```
 *
 * Whatever `apply` or `restore` throws means that this replica cannot go on: an entry of a later version (ERR_DATA_VERSION), a malformed
 * one, which should have been refused before it was proposed (ERR_INVARIANT), or damaged data (ERR_CORRUPT).
 */
import { KvorumError, invariant } from '../errors.ts';
import { xxh32 } from '../kv/checksum.ts';
import { isHistoryKey } from '../kv/record.ts';
import { KvStore, isSettingsKey } from '../kv/store.ts';
import type { Refusal, RecordView, TxnContext } from '../kv/types.ts';
import type { At } from '../lock/types.ts';
import { decodeConfiguration } from '../raft/configuration.ts';
import type { Configuration, GroupId } from '../raft/types.ts';
import { COMMAND_KINDS, decodeCommand, type DecodedCommand } from './command.ts';
import { Coordinator } from './coordinator.ts';
import { digestOf } from './digest.ts';
import { faultOf, faultOfOnce } from './limits.ts';
import { parseMembers, type MemberMap } from './members.ts';
import { decodeMeta, encodeMeta, isMetaKey, metaKey, type MetaRecord } from './meta.ts';
import { decodeResult, encodeResult } from './result.ts';
import type {
  AppliedEntry,
  CommandResult,
  Effect,
  MachineMeta,
  MemberRecord,
  Once,
  Operation,
  StateRecord,
} from './types.ts';

/** Feature level of a new cluster, and the highest one that this version knows. */
export const FEATURE_LEVEL = 2;

/** The last moment of a `Date`, milliseconds since the epoch. */
const MAX_TIME = 8.64e15;

const NO_DATA = new Uint8Array(0);

export interface MachineOptions {
  /** Commands of another group are refused as an invariant failure. Default: not checked. */
  readonly group?: GroupId;
  /** For a state without data; stored then. The same on all replicas. Default 100,000. */
  readonly keepRevisions?: number;
  /** Likewise: for how long superseded versions are kept, milliseconds. Default 24 h; 0: as long as `keepRevisions` allows. */
  readonly keepMs?: number;
  /** Likewise: what keys, values and history may take. Default 2 GiB; 0: no limit. */
  readonly quotaBytes?: number;
}

export class Machine {
  /** The keys: read from it, write through `apply` only. */
  readonly kv: KvStore;
  readonly #coordinator: Coordinator;
  readonly #txnContext: TxnContext;
  readonly #view: RecordView;
  readonly #group: GroupId | null;
  #restoredMeta: MetaRecord | null = null;
  #ready = false;
  #appliedIndex = 0;
  #appliedTerm = 0;
  #time = 0;
  #featureLevel = FEATURE_LEVEL;
  #configurationData: Uint8Array = NO_DATA;
  #configuration: Configuration | null = null;
  #memberMap: MemberMap = parseMembers(null);

  constructor(view: RecordView, options: MachineOptions = {}) {
    this.#view = view;
    this.#group = options.group ?? null;
    const { keepRevisions, keepMs, quotaBytes } = options;
    this.kv = new KvStore(view, {
      ...(keepRevisions === undefined ? {} : { keepRevisions }),
      ...(keepMs === undefined ? {} : { keepMs }),
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    });
    const coordinator = new Coordinator(view, this.kv);
    this.#coordinator = coordinator;
    this.#txnContext = {
      leaseExists: (id) => coordinator.leases.has(id),
      lockToken: (name) => coordinator.locks.token(name),
    };
  }

  /** Leases, locks, counters and what was done once: read from it, write through `apply` only. */
  get coordinator(): Coordinator {
    return this.#coordinator;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get appliedTerm(): number {
    return this.#appliedTerm;
  }

  /** Of the last write; 0 before the first. */
  get revision(): number {
    return this.kv.revision;
  }

  /** State-machine time: the greatest time stamp of any command applied, milliseconds since the epoch; 0 before the first. */
  get time(): number {
    return this.#time;
  }

  get featureLevel(): number {
    return this.#featureLevel;
  }

  /** As of the last configuration entry applied; null before the first. */
  get configuration(): Configuration | null {
    return this.#configuration;
  }

  /** The member map that came with the configuration. */
  get members(): readonly MemberRecord[] {
    return this.#memberMap.members;
  }

  /** Members, and the identities that were removed: those that need not be asked for anything any more. */
  get memberMap(): MemberMap {
    return this.#memberMap;
  }

  /** Null before the first configuration entry. */
  get clusterId(): string | null {
    return this.#memberMap.clusterId;
  }

  get meta(): MachineMeta {
    return {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      revision: this.kv.revision,
      time: this.#time,
      featureLevel: this.#featureLevel,
      configuration: this.#configuration,
      compactedRevision: this.kv.compactedRevision,
      keepRevisions: this.kv.state.keepRevisions,
    };
  }

  /** Applies the next committed entry. Null for entries that have no answer (noop, config). */
  apply(entry: AppliedEntry): CommandResult | null {
    invariant(this.#ready, 'the machine was told all of its state (restored) before it applies');
    invariant(
      entry.index === this.#appliedIndex + 1,
      `entry ${entry.index} is applied after ${this.#appliedIndex}, out of order`,
    );
    invariant(entry.term >= this.#appliedTerm, `entry ${entry.index} is of an older term than the one before it`);
    const result = this.#applyData(entry);
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    return result;
  }

  #applyData(entry: AppliedEntry): CommandResult | null {
    switch (entry.kind) {
      case 'noop':
        return null;
      case 'config':
        // A copy: of a Buffer, `slice` would be a view of all that came with it.
        this.#configure(new Uint8Array(entry.data));
        return null;
      case 'command':
        return this.#command(entry);
    }
  }

  #command({ index, term, data }: AppliedEntry): CommandResult {
    const command = decodeCommand(data);
    const { group, time, operation, once } = command;
    invariant(this.#group === null || group === this.#group, `a command of group ${group} is in another group's log`);
    // What no clock can show is no time: sums with it would not be exact.
    if (time > this.#time && time <= MAX_TIME) this.#time = time;
    const at = { index, time: this.#time };
    this.kv.tick(this.#time);
    this.#coordinator.once.tick(this.#time);
    const result = once === null ? this.#execute(operation, at, term) : this.#executeOnce(once, command, at, term);
    this.#coordinator.settle(at);
    return result;
  }

  /** What was done before gets the answer of then; looked up before anything of the command itself is. */
  #executeOnce(given: Once, { operation, body }: DecodedCommand, at: At, term: number): CommandResult {
    const { once, leases } = this.#coordinator;
    const fault = faultOfOnce(given);
    if (fault !== null) return this.#refuse('ERR_INVALID_ARGUMENT', fault);
    if ('session' in given && !leases.has(given.session)) return this.#sessionExpired(given.session);
    const fingerprint = fingerprintOf(operation.type, body);
    const verdict =
      'session' in given
        ? once.bySession(given.session, given.sequence, given.lowestUnanswered, fingerprint)
        : once.byKey(given.key, fingerprint);
    switch (verdict.type) {
      case 'replay':
        return { ...decodeResult(verdict.result), replayed: true };
      case 'forgotten':
        return this.#sessionExpired((given as { session: string }).session);
      case 'mismatch':
        return this.#refuse('ERR_IDEMPOTENCY_MISMATCH', 'this key or sequence belongs to another request');
      case 'full':
        return this.#refuse('ERR_OVERLOADED', 'no more results can be remembered: nothing was done');
      case 'new':
    }
    const result = this.#execute(operation, at, term);
    const record = { fingerprint, index: at.index, time: at.time, result: encodeResult(result) };
    if ('key' in given) once.storeKey(given.key, { ...record, lowestUnanswered: 0 });
    // A session that ended itself is not there any more: a repetition is told so.
    else if (leases.has(given.session)) {
      once.storeSequence(given.session, given.sequence, { ...record, lowestUnanswered: given.lowestUnanswered });
    }
    return result;
  }

  #execute(operation: Operation, at: At, term: number): CommandResult {
    const coordinator = this.#coordinator;
    const { featureLevel } = COMMAND_KINDS[operation.type];
    if (featureLevel > this.#featureLevel) {
      const message = `${operation.type} needs feature level ${featureLevel}; this cluster has ${this.#featureLevel}`;
      return this.#refuse('ERR_INVALID_ARGUMENT', message);
    }
    const fault = faultOf(operation);
    if (fault !== null) return this.#refuse('ERR_INVALID_ARGUMENT', fault);
    switch (operation.type) {
      case 'put':
        return operation.lease === null || coordinator.leases.has(operation.lease)
          ? this.kv.put(operation)
          : coordinator.noLease(operation.lease);
      case 'delete':
        return this.kv.delete(operation);
      case 'deleteRange':
        return this.kv.deleteRange(operation);
      case 'txn':
        return this.kv.txn(operation, this.#txnContext);
      case 'compact':
        return this.kv.compact(operation.revision);
      case 'leaseGrant':
        return coordinator.grant(operation, at);
      case 'leaseRenew':
        return coordinator.renew(operation);
      case 'leaseRevoke':
        return coordinator.revoke(operation, at);
      case 'leaseExpire':
        return coordinator.expire(operation, term, at);
      case 'leaseCheckpoint':
        return coordinator.checkpoint(operation, term);
      case 'lockAcquire':
        return coordinator.acquire(operation, at);
      case 'lockRelease':
        return coordinator.release(operation, at);
      case 'lockCancel':
        return coordinator.cancel(operation, at);
      case 'lockBreak':
        return coordinator.break(operation, at);
      case 'lockWake':
        return coordinator.wake(operation, at);
      case 'electionProclaim':
        return coordinator.proclaim(operation);
      case 'counterAdd':
        return coordinator.add(operation);
      case 'counterDelete':
        return coordinator.deleteCounter(operation);
      case 'settings': {
        const { keepRevisions, keepMs, quotaBytes } = operation;
        this.kv.configure({
          ...(keepRevisions === null ? {} : { keepRevisions }),
          ...(keepMs === null ? {} : { keepMs }),
          ...(quotaBytes === null ? {} : { quotaBytes }),
        });
        return { ok: true, type: 'settings', revision: this.kv.revision };
      }
    }
  }

  #sessionExpired(session: string): Refusal {
    return this.#refuse('ERR_SESSION_EXPIRED', `session ${session} is gone, or was told to forget this sequence`);
  }

  #refuse(code: Refusal['code'], message: string): Refusal {
    return { ok: false, code, revision: this.kv.revision, message };
  }

  /** What the entries applied since this was last asked have set off. */
  takeEffects(): readonly Effect[] {
    return this.#coordinator.takeEffects();
  }

  #configure(data: Uint8Array): void {
    const configuration = decodeConfiguration(data);
    const memberMap = parseMembers(configuration.context);
    this.#configurationData = data;
    this.#configuration = configuration;
    // Whoever goes has a vote until the joint configuration is left, and may be the one that is needed for that: it is removed with C_new, and not before.
    const removed = memberMap.removed.filter(({ id }) => !configuration.votersOutgoing.includes(id));
    this.#memberMap = { ...memberMap, removed };
  }

  /** Stores the meta record, and what else is written once a unit: after its last `apply` and before `seal`. */
  writeMeta(): void {
    invariant(this.#ready, 'the machine was told all of its state (restored) before it writes');
    this.#coordinator.once.writeWindows();
    this.#view.put(metaKey(), this.#encodeMeta());
  }

  #encodeMeta(): Uint8Array {
    return encodeMeta({
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      time: this.#time,
      featureLevel: this.#featureLevel,
      kv: this.kv.state,
      configurationData: this.#configurationData,
    });
  }

  /**
   * Sixteen hexadecimal digits that replicas at the same applied index have in common: over all that was ever written and dropped here,
   * time, configuration and position. Cheap at any moment; to check what is on the disk, see `StateDigest`.
   */
  digest(): string {
    return digestOf(this.#encodeMeta(), this.#coordinator.digest);
  }

  /** Takes one stored record; all of them come, in key order, then `restored`. Keeps nothing of its memory. */
  restore(record: StateRecord): void {
    invariant(!this.#ready, 'a machine is restored before it is used');
    if (isHistoryKey(record.key)) this.kv.restore(record.key, record.value);
    else if (isMetaKey(record.key)) this.#restoredMeta = decodeMeta(record.value);
    else if (isSettingsKey(record.key)) this.kv.restoreSettings(record.value);
    else if (!this.#coordinator.restore(record.key, record.value))
      throw new KvorumError('ERR_DATA_VERSION', `The state has a record of unknown kind ${record.key[0] ?? 'none'}`);
  }

  /** Builds the index from the records given. Throws ERR_CORRUPT when they do not belong together. */
  restored(): void {
    invariant(!this.#ready, 'a machine is restored before it is used');
    const meta = this.#restoredMeta;
    this.#restoredMeta = null;
    // Without a meta record there may be no history either: its revision would be beyond the last one applied.
    this.kv.restored(meta === null ? this.kv.state : meta.kv);
    this.#coordinator.restored();
    if (meta !== null) {
      if (meta.featureLevel > FEATURE_LEVEL) {
        throw new KvorumError(
          'ERR_DATA_VERSION',
          `The cluster has feature level ${meta.featureLevel}; this version knows up to ${FEATURE_LEVEL}`,
        );
      }
      this.#appliedIndex = meta.appliedIndex;
      this.#appliedTerm = meta.appliedTerm;
      this.#time = meta.time;
      this.#featureLevel = meta.featureLevel;
      if (meta.configurationData.length > 0) this.#configure(meta.configurationData);
    }
    this.#ready = true;
  }
}

/** What makes a repetition the same: the kind of command and all that it asks for. */
function fingerprintOf(type: Operation['type'], body: Uint8Array | null): readonly [number, number] {
  invariant(body !== null, 'a command that happens once carries its body as bytes');
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const seed = COMMAND_KINDS[type].kind;
  return [xxh32(view, 0, body.length, seed), xxh32(view, 0, body.length, ~seed)];
}
