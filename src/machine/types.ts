/**
 * The replicated state machine's vocabulary: the command envelope, the commands it knows, and their results.
 */
import type { DeleteOperation, DeleteResult, KeyRange, PutOperation, PutResult } from '../kv/types.ts';
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
  /** Client session and sequence for exactly-once writes; null and 0 without. */
  readonly session: string | null;
  readonly sequence: number;
  readonly operation: Operation;
}

/** The commands of feature level 1. `kind` numbers are fixed for ever: see command.ts. */
export type Operation =
  | ({ readonly type: 'put' } & PutOperation)
  | ({ readonly type: 'delete' } & DeleteOperation)
  | ({ readonly type: 'deleteRange' } & KeyRange);

/** Plain msgpack-able data: it travels from the leader to the node that forwarded the command. */
export type CommandResult = PutResult | DeleteResult;

/** A committed entry to apply. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** A record of the replicated state, as storage gives it back: a history record of kv/, or the meta record. */
export interface StateRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A member as the cluster knows it, from the configuration's context; kept in the state. */
export interface MemberRecord {
  readonly id: string;
  readonly name: string;
  readonly peerId: string;
  /** HOST:PORT of the peer port, as given at bootstrap. */
  readonly address: string;
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
