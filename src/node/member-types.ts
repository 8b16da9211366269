/** Who belongs to the cluster, as its users change and see it. */
import type { CallOptions } from './call-types.ts';

export interface MemberInfo {
  readonly id: string;
  readonly name: string;
  readonly peerId: string;
  readonly role: 'voter' | 'learner' | 'agent';
  readonly addresses: readonly string[];
  readonly http: string | null;
  readonly pid: number | null;
  /**
   * As gossip and links tell. `suspect`: it did not answer of late, and may be slow, cut off or gone. `unreachable`: it has left, or is taken for dead.
   */
  readonly health: 'alive' | 'suspect' | 'unreachable';
  /** Known on the leader and for this node itself. */
  readonly matchIndex: number | null;
  readonly appliedIndex: number | null;
  /** What its owner has it say of itself; null for nothing, or when it was not heard of yet. */
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Grows with each of its starts, and whenever it speaks up against a suspicion; null when it was not heard of yet. */
  readonly incarnation: number | null;
}

/** A node that is to become a member. It has to run, with `join`, or be started later: it takes part once it is linked. */
export interface NewMember {
  /** Unique among the members; free again once its bearer is removed. */
  readonly name: string;
  /** libp2p peer id, base58: the identity in its data directory, printed when it starts. */
  readonly peerId: string;
  /** HOST:PORT of its peer port, as the others reach it. */
  readonly address: string;
  /**
   * `voter` (default): it begins as a learner, and the leader makes it a voter by itself once it has caught up. `learner`: it gets the log and serves reads, without a
   * vote, until it is promoted.
   */
  readonly role?: 'voter' | 'learner';
  /**
   * Id or name of a member whose place it takes: in one joint change, once it has caught up, so that the quorum never has a hole. With the name of the member that it
   * replaces, that one is removed at once: two members never share a name.
   */
  readonly replaces?: string;
}

export interface MemberAnswer {
  readonly id: string;
  readonly name: string;
  readonly role: 'voter' | 'learner';
}

export interface JoinTokenOptions extends CallOptions {
  /** How long it lets nodes in. Default one hour, from one second to 30 days. */
  readonly ttlMs?: number;
  /** As what. Default any role. */
  readonly role?: 'voter' | 'learner' | 'agent';
}

export interface JoinToken {
  /** Text for `join`: whoever has it can become a peer until it expires. */
  readonly token: string;
  /** Wall clock of the node that made it, milliseconds since the epoch. */
  readonly expiresMs: number;
}

/**
 * The members, and changes of them. `member` is an id or a name. Every call goes to the leader by itself and may be repeated: what is done already is answered as done. All reject with
 * ERR_NO_LEADER, ERR_MEMBERSHIP_BUSY (another change did not end in time; outcome none), ERR_TIMEOUT (outcome unknown), ERR_CLOSED.
 */
export interface Members {
  /**
   * Resolves once it is a member, as a learner. Rejects with ERR_MEMBER_EXISTS (its name or peer id is another's), ERR_MEMBER_REMOVED (this identity was removed: it
   * needs an empty data directory), ERR_NOT_FOUND (`replaces`), ERR_INVALID_ARGUMENT.
   */
  add(member: NewMember, options?: CallOptions): Promise<MemberAnswer>;
  /** Makes a learner a voter, once it has caught up. Rejects with ERR_NOT_FOUND, ERR_NOT_CAUGHT_UP (it has not in time; outcome none). */
  promote(member: string, options?: CallOptions): Promise<MemberAnswer>;
  /** Makes a voter a learner. Rejects with ERR_NOT_FOUND, ERR_LAST_VOTER. */
  demote(member: string, options?: CallOptions): Promise<MemberAnswer>;
  /** `by` (a learner, or a voter) takes the place of `member`: one joint change. Rejects as `promote` and `remove`. */
  replace(member: string, by: string, options?: CallOptions): Promise<MemberAnswer>;
  /** Its identity never comes back; its name is free. `removed` false: there was no such member. Rejects with ERR_LAST_VOTER. */
  remove(member: string, options?: CallOptions): Promise<{ readonly removed: boolean }>;
  /** Everybody, as the node that answers knows them: voters and learners by the configuration, agents by gossip. Also without a quorum. */
  list(options?: CallOptions): Promise<readonly MemberInfo[]>;
  /** The whole list, then again whenever it has become another; of several changes in a row perhaps the last only. How far members are in the log does not count. */
  watch(options?: {
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
  }): AsyncIterableIterator<readonly MemberInfo[]> & { close(): void };
  /** A short-lived ticket for `join`, made with the cluster's secret by the node asked. Rejects with ERR_FORBIDDEN on a cluster without a secret. */
  createToken(options?: JoinTokenOptions): Promise<JoinToken>;
}
