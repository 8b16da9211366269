/**
 * Proposals of one group on this node, from the call to its answer: queued until there is a leader, appended here or forwarded there,
 * and answered when the entry is applied. Every queue is bounded, and every proposal ends exactly once: with its result, or
 * with an error whose `outcome` tells the truth.
 */
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { CommandResult } from '../machine/types.ts';

export interface Proposal {
  /** The encoded command, not yet stamped. */
  readonly data: Uint8Array;
  /** On the environment's monotonic clock. */
  readonly deadline: number;
  /** Called exactly once. */
  readonly done: (error: KvorumError | null, result: CommandResult | null) => void;
}

interface Waiter {
  readonly term: number;
  readonly proposal: Proposal;
}

interface Forwarded {
  readonly to: NodeId;
  readonly proposals: readonly Proposal[];
  /** How many of `proposals` still wait: a sweep ends those whose time is over. */
  readonly open: boolean[];
  openCount: number;
}

export interface ProposalLimits {
  /** Proposals that wait, in the queue or for their answer. */
  readonly maxPending: number;
  /** Bytes of proposals in the queue. */
  readonly maxQueuedBytes: number;
}

export function noLeader(): KvorumError {
  return new KvorumError('ERR_NO_LEADER', 'no leader was known in time, nothing was written');
}

/** Another entry is committed where this one was. */
function dropped(): KvorumError {
  return new KvorumError('ERR_NO_LEADER', 'the leader changed, the write was dropped');
}

export function outcomeUnknown(why: string): KvorumError {
  return new KvorumError('ERR_TIMEOUT', `${why}; the write may take effect or not`, { outcome: 'unknown' });
}

export class Proposals {
  readonly #limits: ProposalLimits;
  #queue: Proposal[] = [];
  #queuedBytes = 0;
  /** Appended by this node, by log index. */
  readonly #waiting = new Map<number, Waiter>();
  readonly #forwarded = new Map<number, Forwarded>();
  #forwardedCount = 0;
  /** Of the last entry applied. */
  #appliedTerm = 0;
  #nextRequest = 1;

  constructor(limits: ProposalLimits) {
    this.#limits = limits;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Proposals of all kinds that have no answer yet. */
  get pending(): number {
    return this.#queue.length + this.#waiting.size + this.#forwardedCount;
  }

  /** Queues a proposal, or ends it at once with ERR_OVERLOADED. */
  add(proposal: Proposal): void {
    if (
      this.pending >= this.#limits.maxPending ||
      (this.#queue.length > 0 && this.#queuedBytes + proposal.data.length > this.#limits.maxQueuedBytes)
    ) {
      proposal.done(new KvorumError('ERR_OVERLOADED', 'too many writes are waiting on this node'), null);
      return;
    }
    this.#queue.push(proposal);
    this.#queuedBytes += proposal.data.length;
  }

  /** Takes up to `maxCount` proposals and about `maxBytes` off the queue, oldest first; at least one if there is one. */
  take(maxCount: number, maxBytes: number): Proposal[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < maxCount) {
      bytes += (this.#queue[count] as Proposal).data.length;
      if (count > 0 && bytes > maxBytes) break;
      count++;
    }
    const taken = count === this.#queue.length ? this.#queue : this.#queue.splice(0, count);
    if (taken === this.#queue) this.#queue = [];
    for (const proposal of taken) this.#queuedBytes -= proposal.data.length;
    return taken;
  }

  /** Back to the head of the queue: nothing was appended or forwarded. */
  putBack(proposals: readonly Proposal[]): void {
    if (proposals.length === 0) return;
    this.#queue = [...proposals, ...this.#queue];
    for (const proposal of proposals) this.#queuedBytes += proposal.data.length;
  }

  /** Appended by this node as leader of `term`, from `firstIndex` on. */
  appended(proposals: readonly Proposal[], firstIndex: number, term: number): void {
    for (let i = 0; i < proposals.length; i++) {
      const index = firstIndex + i;
      const older = this.#waiting.get(index);
      this.#waiting.set(index, { term, proposal: proposals[i] as Proposal });
      // Of an earlier reign: cut off from this node's log since, but another node may have it, and may lead yet (Raft, figure 8).
      older?.proposal.done(outcomeUnknown('the entry was replaced in the log of this node'), null);
    }
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** The entry at `index` was applied here. */
  applied(index: number, term: number, result: CommandResult | null): void {
    if (term > this.#appliedTerm) {
      this.#appliedTerm = term;
      this.#dropBefore(index, term);
    }
    const waiter = this.#waiting.get(index);
    if (waiter === undefined) return;
    this.#waiting.delete(index);
    // A term older than the waiter's is possible: a later leader may bring back what this node never had (Raft figure 8).
    if (waiter.term === term) waiter.proposal.done(null, result);
    else waiter.proposal.done(dropped(), null);
  }

  /**
   * A first entry of `term` is committed at `index`. A log that has an entry of an earlier term there or behind cannot hold it, so
   * by log matching and leader completeness (Raft §5.3, §5.4) those entries are never committed: the outcome is known.
   */
  #dropBefore(index: number, term: number): void {
    for (const [at, waiter] of this.#waiting) {
      if (at < index || waiter.term >= term) continue;
      this.#waiting.delete(at);
      waiter.proposal.done(dropped(), null);
    }
  }

  /** A snapshot replaced the log up to `index`, whose entry is of `term`: what became of the entries in it is not known. */
  snapshotInstalled(index: number, term: number): void {
    this.#dropBefore(index + 1, term);
    for (const [at, waiter] of this.#waiting) {
      if (at > index) continue;
      this.#waiting.delete(at);
      waiter.proposal.done(outcomeUnknown('the entry was covered by a snapshot'), null);
    }
  }

  /** Sent to `to`; returns the number that its answer will carry. */
  forward(to: NodeId, proposals: readonly Proposal[]): number {
    const request = this.#nextRequest++;
    this.#forwarded.set(request, { to, proposals, open: proposals.map(() => true), openCount: proposals.length });
    this.#forwardedCount += proposals.length;
    return request;
  }

  /** The send of `request` did not happen: its proposals are free again. */
  notForwarded(request: number): void {
    const forwarded = this.#forwarded.get(request);
    if (forwarded === undefined) return;
    this.#forget(request, forwarded);
    this.putBack(forwarded.proposals);
  }

  /**
   * Answers to `request`, from its proposal `first` on, in its order. `retry` marks those that the other node neither appended nor forwarded: back
   * to the queue.
   */
  answered(
    from: NodeId,
    request: number,
    first: number,
    answers: readonly { error: KvorumError | null; result: CommandResult | null; retry: boolean }[],
  ): void {
    const forwarded = this.#forwarded.get(request);
    if (forwarded === undefined || forwarded.to !== from) return;
    if (first + answers.length > forwarded.proposals.length) return;
    const back: Proposal[] = [];
    for (let i = 0; i < answers.length; i++) {
      const at = first + i;
      if (!forwarded.open[at]) continue;
      forwarded.open[at] = false;
      forwarded.openCount--;
      this.#forwardedCount--;
      const proposal = forwarded.proposals[at] as Proposal;
      const answer = answers[i] as (typeof answers)[number];
      if (answer.retry) back.push(proposal);
      else proposal.done(answer.error, answer.result);
    }
    if (forwarded.openCount === 0) this.#forwarded.delete(request);
    this.putBack(back);
  }

  /** The link to `to` closed: no answer will come. */
  peerGone(to: NodeId): void {
    for (const [request, forwarded] of this.#forwarded) {
      if (forwarded.to !== to) continue;
      this.#forget(request, forwarded);
      for (let i = 0; i < forwarded.proposals.length; i++) {
        if (!forwarded.open[i]) continue;
        (forwarded.proposals[i] as Proposal).done(
          outcomeUnknown('the leader went away after the write was forwarded'),
          null,
        );
      }
    }
  }

  #forget(request: number, forwarded: Forwarded): void {
    this.#forwarded.delete(request);
    this.#forwardedCount -= forwarded.openCount;
  }

  /** Ends what is past its deadline. */
  sweep(now: number): void {
    if (this.#queue.some((proposal) => proposal.deadline <= now)) {
      const late = this.#queue.filter((proposal) => proposal.deadline <= now);
      this.#queue = this.#queue.filter((proposal) => proposal.deadline > now);
      for (const proposal of late) {
        this.#queuedBytes -= proposal.data.length;
        proposal.done(noLeader(), null);
      }
    }
    for (const [index, waiter] of this.#waiting) {
      if (waiter.proposal.deadline > now) continue;
      this.#waiting.delete(index);
      waiter.proposal.done(outcomeUnknown('the entry was appended but not committed in time'), null);
    }
    for (const [request, forwarded] of this.#forwarded) {
      for (let i = 0; i < forwarded.proposals.length; i++) {
        const proposal = forwarded.proposals[i] as Proposal;
        if (!forwarded.open[i] || proposal.deadline > now) continue;
        forwarded.open[i] = false;
        forwarded.openCount--;
        this.#forwardedCount--;
        proposal.done(outcomeUnknown('the leader did not answer in time'), null);
      }
      if (forwarded.openCount === 0) this.#forwarded.delete(request);
    }
  }

  /** Ends everything: the node closes (`error`), and what was appended or forwarded may still take effect. */
  close(error: KvorumError): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const proposal of queue) proposal.done(error, null);
    const unknown = new KvorumError(error.code, `${error.message}; the write may take effect or not`, {
      outcome: 'unknown',
      cause: error,
    });
    for (const [index, waiter] of this.#waiting) {
      this.#waiting.delete(index);
      waiter.proposal.done(unknown, null);
    }
    for (const [request, forwarded] of this.#forwarded) {
      this.#forget(request, forwarded);
      for (let i = 0; i < forwarded.proposals.length; i++) {
        if (forwarded.open[i]) (forwarded.proposals[i] as Proposal).done(unknown, null);
      }
    }
  }
}
