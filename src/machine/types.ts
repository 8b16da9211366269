/**
 * The replicated state machine's vocabulary: the command envelope, the commands it knows, their results, and what they set off.
 */
import type { Lease } from '../kv/leases.ts';
import type {
  DeleteOperation,
  DeleteResult,
  KeyRange,
  PutOperation,
  PutResult,
  Refusal,
  TxnOperation,
  TxnResult,
} from '../kv/types.ts';
import type { LockEffect, LockKind, LockMode } from '../lock/types.ts';
import type { Configuration, EntryKind, GroupId } from '../raft/types.ts';

/**
 * A command as it lies in a log entry. The leader stamps `time` when it appends; everything else is the proposer's.
 * On the wire: a fixed binary head (version u8, kind u16, group u32, time f64; so that stamping patches eight bytes and encodes nothing
 * again), then a msgpack array of the rest.
 */
export interface Command {
  readonly version: 1;
  readonly group: GroupId;
  /** Milliseconds since the epoch, the leader's wall clock. State-machine time is max(previous, this). */
  readonly time: number;
  /** Who asks, for roles later; null: nobody in particular. */
  readonly principal: string | null;
  readonly authRevision: number;
  readonly once: Once | null;
  readonly operation: Operation;
}

/**
 * Makes a write happen once, however often it is sent (Raft thesis, §6.3). By session: a lease that numbers its writes from 1 and tells, with each,
 * the lowest number that it has no answer to yet. By key: any text, remembered for at least an hour.
 */
export type Once =
  | { readonly session: string; readonly sequence: number; readonly lowestUnanswered: number }
  | { readonly key: string };

/** `kind` numbers and the feature level that each needs: see command.ts. */
export type Operation =
  | ({ readonly type: 'put' } & PutOperation)
  | ({ readonly type: 'delete' } & DeleteOperation)
  | ({ readonly type: 'deleteRange' } & KeyRange)
  | ({ readonly type: 'txn' } & TxnOperation)
  /** Forgets what was superseded before this revision. */
  | { readonly type: 'compact'; readonly revision: number }
  /** `owner`: JSON text about who holds it, null for none. */
  | { readonly type: 'leaseGrant'; readonly ttlMs: number; readonly owner: string | null }
  | { readonly type: 'leaseRenew'; readonly leases: readonly string[] }
  | { readonly type: 'leaseRevoke'; readonly lease: string }
  /** The leader of `term` saw nobody renew these. Refused in another term, and for a lease that was renewed meanwhile. */
  | {
      readonly type: 'leaseExpire';
      readonly term: number;
      readonly leases: readonly { readonly lease: string; readonly counter: number }[];
    }
  /** What the leader of `term` would still give these. */
  | {
      readonly type: 'leaseCheckpoint';
      readonly term: number;
      readonly leases: readonly { readonly lease: string; readonly counter: number; readonly remainingMs: number }[];
    }
  | LockAcquire
  /** `lock` stands for semaphores as well. */
  | { readonly type: 'lockRelease'; readonly name: string; readonly kind: LockKind; readonly holder: HolderRef }
  /** A waiter gives up. */
  | { readonly type: 'lockCancel'; readonly name: string; readonly lease: string; readonly ticket: number }
  /** Whatever the name is. */
  | { readonly type: 'lockBreak'; readonly name: string }
  /** The rest of these is over. */
  | { readonly type: 'lockWake'; readonly names: readonly string[] }
  | { readonly type: 'electionProclaim'; readonly name: string; readonly token: number; readonly value: string | null }
  | { readonly type: 'counterAdd'; readonly name: string; readonly delta: number }
  | { readonly type: 'counterDelete'; readonly name: string }
  /** How much history is kept, and how much may be stored; null: as it is. See `StoreSettings`. */
  | {
      readonly type: 'settings';
      readonly keepRevisions: number | null;
      readonly keepMs: number | null;
      readonly quotaBytes: number | null;
    };

/** With a lease that there is, or with one of `ttlMs` made for it, which ends when it is released, or when it is not let in. */
export interface LockAcquire {
  readonly type: 'lockAcquire';
  readonly name: string;
  readonly kind: LockKind;
  readonly lease: string | { readonly ttlMs: number };
  readonly mode: LockMode;
  readonly limit: number;
  readonly delayMs: number;
  readonly owner: string | null;
  readonly value: string | null;
  readonly wait: boolean;
}

export type HolderRef = { readonly lease: string } | { readonly token: number };

/** Plain msgpack-able data: it travels from the leader to the node that forwarded the command. */
export type CommandResult = (
  | PutResult
  | DeleteResult
  | TxnResult
  | Refusal
  | { readonly ok: true; readonly type: 'compacted'; readonly revision: number; readonly compactedRevision: number }
  | {
      readonly ok: true;
      readonly type: 'lease';
      readonly revision: number;
      readonly id: string;
      readonly ttlMs: number;
    }
  /** In the order of the request: TTL in milliseconds, or null for a lease that is gone. */
  | {
      readonly ok: true;
      readonly type: 'renewed';
      readonly revision: number;
      readonly ttlMs: readonly (number | null)[];
    }
  /** Leases that ended, keys that went with them. */
  | {
      readonly ok: true;
      readonly type: 'ended';
      readonly revision: number;
      readonly leases: number;
      readonly deleted: number;
    }
  | {
      readonly ok: true;
      readonly type: 'lock';
      readonly revision: number;
      /** Null: not let in yet, `ticket` waits. */
      readonly token: number | null;
      readonly ticket: number;
      readonly lease: string;
      readonly ttlMs: number;
    }
  /** `released`, `broken`, `cancelled`, `proclaimed`: how many that concerned; 0 for none. */
  | { readonly ok: true; readonly type: 'count'; readonly revision: number; readonly count: number }
  | { readonly ok: true; readonly type: 'counter'; readonly revision: number; readonly value: number }
  | { readonly ok: true; readonly type: 'settings'; readonly revision: number }
) & {
  /** The command was applied before: this is the answer of then. */
  readonly replayed?: true;
};

/** What an apply set off, for the node: nothing of the state depends on who takes notice. */
export type Effect =
  /** Granted, renewed or checkpointed: it has `remainingMs` from now. */
  | { readonly type: 'leaseAlive'; readonly lease: Lease }
  | { readonly type: 'leaseEnded'; readonly id: string }
  | { readonly type: 'lock'; readonly effect: LockEffect };

/** A committed entry to apply. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** A record of the replicated state, as storage gives it back: a history record of kv/, a record of a table, or the meta record. */
export interface StateRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A member as the cluster knows it, from the configuration's context; kept in the state. */
export interface MemberRecord {
  readonly id: string;
  readonly name: string;
  readonly peerId: string;
  /** HOST:PORT of the peer port: as it joined with, or as it said last. */
  readonly address: string;
  /** A learner that the leader makes a voter once it has caught up. */
  readonly wants?: 'voter';
  /** Id of the member whose place it takes when it has caught up. */
  readonly replaces?: string;
}

/** An identity that was a member and must not come back: it may have forgotten what it promised since. */
export interface RemovedMember {
  readonly id: string;
  readonly name: string;
  /** Id of the member that took its place, if one did. */
  readonly by?: string;
}

/** What the machine remembers besides keys: stored with every unit, so that a restart continues exactly there. */
export interface MachineMeta {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Of the last write; 0 before the first. */
  readonly revision: number;
  /** State-machine time, ms. */
  readonly time: number;
  /** Commands up to this level may be in the log; see COMMAND_KINDS. */
  readonly featureLevel: number;
  /** Of the last configuration entry; null before the first. */
  readonly configuration: Configuration | null;
  /** The oldest revision that can be read. */
  readonly compactedRevision: number;
  /** Superseded versions are kept for this many revisions. */
  readonly keepRevisions: number;
}
