/**
 * Linearizable reads without a log entry (Raft thesis §6.4).
 *
 * The leader remembers its commit index, learns from a quorum's answers to heartbeats *sent afterwards* that nobody had
 * replaced it by then, and releases the read at that index. Reads wait together for the next round that is sent; none joins a
 * round that has already left, since its answers may be older than the read.
 */
import type { NodeId } from './types.ts';

/** Who asked: this node's own shell (`from` null), or a follower, whose epoch and token are echoed unread. */
export interface PendingRead {
  readonly from: NodeId | null;
  readonly bootEpoch: number;
  readonly token: number;
}

/** Reads that one heartbeat round confirms. */
export interface ReadRound {
  readonly round: number;
  /** The leader's commit index when the round was sent. */
  readonly index: number;
  readonly reads: readonly PendingRead[];
}

/** Beyond this, reads are refused at once. The shell's own limits are far below; followers that ask again and again are not. */
const MAX_PENDING_READS = 65_536;
/**
 * Rounds under way for the sake of reads. With two, a read waits for at most about one round trip before its own round leaves,
 * and however many turns read, the heartbeats are bounded by the round trip and not by the turns.
 */
const MAX_READ_ROUNDS = 2;

const NO_READS: readonly PendingRead[] = [];
const NO_ROUNDS: readonly ReadRound[] = [];

/** The leader's side. Lives as long as the leadership. */
export class LeaderReads {
  #waiting: PendingRead[] = [];
  #rounds: ReadRound[] = [];
  #pending = 0;

  /** False: too many are pending. */
  add(read: PendingRead): boolean {
    if (this.#pending >= MAX_PENDING_READS) return false;
    this.#waiting.push(read);
    this.#pending++;
    return true;
  }

  /** A round should be sent for what waits. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#rounds.length < MAX_READ_ROUNDS;
  }

  /** Heartbeat round `round` leaves now: what waits goes with it. */
  attach(round: number, index: number): void {
    if (this.#waiting.length === 0) return;
    this.#rounds.push({ round, index, reads: this.#waiting });
    this.#waiting = [];
  }

  /** A quorum has answered `round` or a later one. */
  confirm(round: number): readonly ReadRound[] {
    let done = 0;
    while (done < this.#rounds.length && this.#rounds[done]!.round <= round) {
      this.#pending -= this.#rounds[done]!.reads.length;
      done++;
    }
    return done === 0 ? NO_ROUNDS : this.#rounds.splice(0, done);
  }

  /** Leadership ends: everything that has to be refused. */
  drain(): readonly PendingRead[] {
    if (this.#pending === 0) return NO_READS;
    const reads = [...this.#rounds.flatMap((round) => round.reads), ...this.#waiting];
    this.#waiting = [];
    this.#rounds = [];
    this.#pending = 0;
    return reads;
  }
}

interface ReadBatch {
  /** The highest of `tokens`; names the batch on the wire. */
  readonly token: number;
  readonly tokens: number[];
  sentTick: number;
}

/** The follower's side: the tokens of one turn are asked for by one request. */
export class FollowerReads {
  #collected: number[] = [];
  #sent: ReadBatch[] = [];

  add(token: number): void {
    this.#collected.push(token);
  }

  /** There is something to ask the leader for. */
  get wantsRequest(): boolean {
    return this.#collected.length > 0;
  }

  /** The token to send for all that was collected. */
  take(tick: number): number {
    const tokens = this.#collected;
    this.#collected = [];
    let token = tokens[0]!;
    for (const other of tokens) token = Math.max(token, other);
    this.#sent.push({ token, tokens, sentTick: tick });
    return token;
  }

  /**
   * The leader confirmed a request. All requests sent before it are answered too: their own answers may be lost, and this
   * confirmation is younger than they are.
   */
  answered(token: number): readonly number[] {
    if (!this.#sent.some((batch) => batch.token === token)) return [];
    const tokens: number[] = [];
    const left: ReadBatch[] = [];
    for (const batch of this.#sent) {
      if (batch.token <= token) tokens.push(...batch.tokens);
      else left.push(batch);
    }
    this.#sent = left;
    return tokens;
  }

  /** The leader refused a request: only that one. */
  refused(token: number): readonly number[] {
    const at = this.#sent.findIndex((batch) => batch.token === token);
    return at < 0 ? [] : this.#sent.splice(at, 1)[0]!.tokens;
  }

  /**
   * The newest token that has waited for `ticks`, to be asked for again: the request or its answer may be lost. Null for
   * none. The batches stay as they are, so that an answer that is merely late still counts.
   */
  takeOverdue(tick: number, ticks: number): number | null {
    let token: number | null = null;
    for (const batch of this.#sent) {
      if (tick - batch.sentTick < ticks) break;
      batch.sentTick = tick;
      token = Math.max(token ?? batch.token, batch.token);
    }
    return token;
  }

  /** The leader changed: everything that has to be refused. */
  drain(): readonly number[] {
    if (this.#sent.length === 0 && this.#collected.length === 0) return [];
    const tokens = [...this.#sent.flatMap((batch) => batch.tokens), ...this.#collected];
    this.#sent = [];
    this.#collected = [];
    return tokens;
  }
}
