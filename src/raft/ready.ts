/**
 * Making a Ready: everything that came up since the last one. Appends, heartbeat rounds and read requests are built only
 * here, so that what came in during one turn of the shell shares them.
 */
import { sendReadRequests } from './follower.ts';
import { sendRound, wantsRound } from './leader.ts';
import { buildAppends, hasAppends } from './replication.ts';
import type { RaftState } from './state.ts';
import type { Entry, HardState, NodeId, Ready, SoftState } from './types.ts';

const NOTHING: readonly never[] = Object.freeze([]);

export class ReadyMaker {
  readonly #state: RaftState;
  // As told in the last Ready.
  #term: number;
  #vote: NodeId | null;
  #commit: number;
  #role: SoftState['role'];
  #leader: NodeId | null;

  constructor(state: RaftState) {
    this.#state = state;
    this.#term = state.term;
    this.#vote = state.vote;
    this.#commit = state.commit;
    this.#role = state.role;
    this.#leader = state.leader;
  }

  get #hardStateChanged(): boolean {
    const { term, vote, commit } = this.#state;
    return term !== this.#term || vote !== this.#vote || commit !== this.#commit;
  }

  get #softStateChanged(): boolean {
    return this.#state.role !== this.#role || this.#state.leader !== this.#leader;
  }

  get #canApply(): boolean {
    const { applying, applicable } = this.#state;
    return applying.handedOut < applicable && applying.room > 0;
  }

  hasReady(): boolean {
    const state = this.#state;
    const { leadership } = state;
    return (
      state.messages.length > 0 ||
      state.messagesAfterPersist.length > 0 ||
      state.readStates.length > 0 ||
      state.snapshotRequests.length > 0 ||
      state.snapshot !== null ||
      state.log.hasUnstable ||
      state.configurations.changed ||
      this.#hardStateChanged ||
      this.#softStateChanged ||
      this.#canApply ||
      state.followerReads.wantsRequest ||
      (leadership !== null && (wantsRound(leadership) || hasAppends(state, leadership)))
    );
  }

  make(): Ready {
    const state = this.#state;
    const { leadership } = state;
    if (leadership !== null) {
      // Heartbeats first: they are small, and reads wait for them.
      if (wantsRound(leadership)) sendRound(state, leadership);
      buildAppends(state, leadership);
    } else {
      sendReadRequests(state);
    }
    const committed = this.#takeCommitted();
    const entries = state.log.hasUnstable ? state.log.takeUnstable() : NOTHING;
    const mustSync =
      entries.length > 0 || state.snapshot !== null || state.term !== this.#term || state.vote !== this.#vote;
    const seq = state.writes.add(state.log.lastIndex, state.term, state.vote, mustSync, state.ticks);
    const ready: Ready = {
      seq,
      softState: this.#takeSoftState(),
      hardState: this.#takeHardState(),
      entries,
      snapshot: state.snapshot,
      configurations: state.configurations.takeChanged(),
      mustSync,
      committed,
      messages: state.messages.length > 0 ? state.messages : NOTHING,
      messagesAfterPersist: state.messagesAfterPersist.length > 0 ? state.messagesAfterPersist : NOTHING,
      readStates: state.readStates.length > 0 ? state.readStates : NOTHING,
      snapshotRequests: state.snapshotRequests.length > 0 ? state.snapshotRequests : NOTHING,
    };
    state.snapshot = null;
    if (state.messages.length > 0) state.messages = [];
    if (state.messagesAfterPersist.length > 0) state.messagesAfterPersist = [];
    if (state.readStates.length > 0) state.readStates = [];
    if (state.snapshotRequests.length > 0) state.snapshotRequests = [];
    return ready;
  }

  #takeCommitted(): readonly Entry[] {
    if (!this.#canApply) return NOTHING;
    const { applying, applicable, log } = this.#state;
    const entries = log.slice(applying.handedOut + 1, applicable + 1, applying.room);
    applying.handOut(entries);
    return entries;
  }

  #takeSoftState(): SoftState | null {
    if (!this.#softStateChanged) return null;
    const { role, leader } = this.#state;
    this.#role = role;
    this.#leader = leader;
    return { role, leader };
  }

  #takeHardState(): HardState | null {
    if (!this.#hardStateChanged) return null;
    const { hardState } = this.#state;
    this.#term = hardState.term;
    this.#vote = hardState.vote;
    this.#commit = hardState.commit;
    return hardState;
  }
}
