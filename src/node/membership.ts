/**
 * Changing the members, from any node: the leader does it, another node asks the leader. A call waits for whatever change is under way, proposes its own, and ends when that
 * one is applied; its time over before anything was proposed, nothing was done. Every call may be repeated.
 */
import { KvorumError } from '../errors.ts';
import { parseMembers } from '../machine/members.ts';
import type { ConfigurationChange, ConfigRefusal, NodeId, ProposeConfigResult } from '../raft/types.ts';
import type { Channel } from '../transport/types.ts';
import type { Environment } from './env.ts';
import { decodeMemberCall, decodeMemberResult, encodeMemberCall, encodeMemberResult, FRAME } from './member-frames.ts';
import type { MemberChanged, MemberOperation } from './member-frames.ts';
import type { Membership as State, Plan } from './member-changes.ts';
import { planAdd, planDemote, planPromote, planRemove, planReplace, roleOf } from './member-changes.ts';
import type { Replica } from './replica.ts';

/** Often enough that nobody notices, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 5;
/** The longest that a call of another node waits here, whatever it says. */
const MAX_WAIT_MS = 60_000;
/** Calls of all nodes that wait at the leader: each costs a look every few milliseconds. */
const MAX_CALLS = 256;
/** A learner has caught up when it lacks no more of what is committed than this. */
const CAUGHT_UP_ENTRIES = 512;

export interface MembershipOptions {
  readonly env: Environment;
  readonly replica: Replica;
  readonly bootEpoch: number;
  readonly send: (to: NodeId, channel: Channel, parts: readonly Uint8Array[]) => boolean;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #asked = new Map<
    number,
    { to: NodeId; answer: (error: KvorumError | null, result: MemberChanged | null) => void }
  >();
  /** Calls that wait here: before they have proposed anything, or after. */
  readonly #waiting = new Map<(error: KvorumError) => void, 'before' | 'after'>();
  #nextRequest = 1;
  #closed: KvorumError | null = null;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** The configuration in force on this node, committed or not. */
  get state(): State {
    const { configuration } = this.#options.replica.core.status();
    return { configuration, map: parseMembers(configuration.context) };
  }

  /** What the leader knows: a learner that lacks nearly nothing and was heard of late. */
  caughtUp(id: NodeId): boolean {
    const { progress, commit } = this.#options.replica.core.status();
    const follower = progress.find((one) => one.id === id);
    if (follower === undefined || !follower.active || follower.state !== 'replicate') return false;
    return commit - follower.match <= CAUGHT_UP_ENTRIES;
  }

  /** Rejects as `Members` says. */
  async call(operation: MemberOperation, timeoutMs: number, signal?: AbortSignal): Promise<MemberChanged> {
    signal?.throwIfAborted();
    if (this.#closed !== null) throw this.#closed;
    const { env, replica } = this.#options;
    const deadline = env.now() + timeoutMs;
    // A node that does not know who leads may learn it in time; so may one whose leader went away before it took the call.
    for (;;) {
      const { role, leader } = replica.softState;
      try {
        if (role === 'leader') return await this.#execute(operation, deadline, signal);
        if (leader !== null) return await this.#ask(leader, operation, deadline - env.now(), signal);
      } catch (error) {
        if (!KvorumError.is(error, 'ERR_NO_LEADER') || error.outcome !== 'none') throw error;
      }
      if (env.now() >= deadline) throw new KvorumError('ERR_NO_LEADER', 'no leader was known in time');
      await this.#pause('before', signal);
    }
  }

  /** Proposes a change of the leader's own will. False: not now. */
  propose(change: ConfigurationChange): boolean {
    const { replica } = this.#options;
    const { status } = replica.proposeConfig(change);
    return status === 'accepted';
  }

  /** True when the frame was one of ours. */
  frame(from: NodeId, bytes: Uint8Array): boolean {
    if (bytes[0] === FRAME.memberCall) {
      const { group, bootEpoch, request, timeoutMs, operation } = decodeMemberCall(bytes);
      const answer = (error: KvorumError | null, result: MemberChanged | null): void => {
        const parts = encodeMemberResult({ group, bootEpoch, request, error, result });
        this.#options.send(from, 'client', parts);
      };
      this.#serve(operation, timeoutMs).then(
        (result) => answer(null, result),
        (error: unknown) => answer(errorOf(error), null),
      );
      return true;
    }
    if (bytes[0] === FRAME.memberResult) {
      const { bootEpoch, request, error, result } = decodeMemberResult(bytes);
      if (bootEpoch !== this.#options.bootEpoch) return true;
      const asked = this.#asked.get(request);
      if (asked?.to === from) asked.answer(error, result);
      return true;
    }
    return false;
  }

  /** The link to `peer` closed: no answer will come. */
  peerDown(peer: NodeId): void {
    for (const { to, answer } of [...this.#asked.values()]) if (to === peer) answer(unanswered(), null);
  }

  close(error: KvorumError): void {
    this.#closed = error;
    const { code, message } = error;
    const unknown = new KvorumError(code, `${message}; the members may still be changed`, {
      outcome: 'unknown',
      cause: error,
    });
    for (const { answer } of [...this.#asked.values()]) answer(unknown, null);
    for (const [reject, stage] of [...this.#waiting]) reject(stage === 'before' ? error : unknown);
  }

  // The leader's part.

  async #serve(operation: MemberOperation, timeoutMs: number): Promise<MemberChanged> {
    if (this.#closed !== null || this.#options.replica.softState.role !== 'leader') throw notLeading();
    try {
      return await this.#execute(operation, this.#options.env.now() + Math.min(timeoutMs, MAX_WAIT_MS));
    } catch (error) {
      // That this node closes is no news to who asked: another one leads soon.
      if (KvorumError.is(error, 'ERR_CLOSED') && error.outcome === 'none') throw notLeading();
      throw error;
    }
  }

  async #execute(operation: MemberOperation, deadline: number, signal?: AbortSignal): Promise<MemberChanged> {
    const { env, replica } = this.#options;
    if (this.#waiting.size >= MAX_CALLS) {
      throw new KvorumError('ERR_OVERLOADED', 'too many changes of the members are waiting');
    }
    let why: KvorumError | null = null;
    let isConfirmed = false;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed !== null) throw this.#closed;
      if (replica.softState.role !== 'leader') throw notLeading();
      // Before that, what is in force may not be what is committed, and nothing can be proposed anyway.
      if (replica.reign !== null) {
        const plan = this.#planned(operation);
        const result = plan.type === 'change' ? replica.proposeConfig(plan.change) : NOTHING_PROPOSED;
        if (result.status === 'accepted') {
          await this.#applied(result.index, result.term, deadline);
          return this.#answer(plan, true);
        }
        if (result.status === 'notLeader') throw notLeading();
        if (result.status === 'refused') why = refused(result.reason);
        else if (plan.type === 'wait') why = notCaughtUp(plan.member.name);
        else if (!this.#isSettled) why = refused('changePending');
        else if (!isConfirmed) {
          // Another may lead since, and have changed what this node goes by.
          await this.#confirm(deadline, signal);
          isConfirmed = true;
          continue;
        } else if (plan.type === 'refused') throw plan.error;
        else return this.#answer(plan, false);
      }
      if (env.now() >= deadline) throw why ?? notLeading();
      await this.#pause('before', signal);
      isConfirmed = false;
    }
  }

  /** In force is not committed: what an answer says must not be cut off again. */
  get #isSettled(): boolean {
    const { configuration, configurationCommitted } = this.#options.replica.core.status();
    return configurationCommitted && configuration.votersOutgoing.length === 0;
  }

  /** Resolves when this node is known to have led after the call, and to have what was committed by then. */
  #confirm(deadline: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      signal?.addEventListener('abort', aborted, { once: true });
      this.#options.replica.read({
        deadline,
        done: (error) => {
          signal?.removeEventListener('abort', aborted);
          if (error === null) resolve();
          else if (error.code === 'ERR_TIMEOUT') reject(notLeading());
          else reject(error);
        },
      });
    });
  }

  /** A plan, or why there is none, as far as this node knows. */
  #planned(operation: MemberOperation): Plan | Refused {
    try {
      return this.#plan(operation);
    } catch (error) {
      if (KvorumError.is(error)) return { type: 'refused', member: null, error };
      throw error;
    }
  }

  #plan(operation: MemberOperation): Plan {
    const caughtUp = (id: NodeId): boolean => this.caughtUp(id);
    const { state } = this;
    switch (operation.type) {
      case 'add':
        return planAdd(state, operation.member);
      case 'promote':
        return planPromote(state, operation.member, caughtUp);
      case 'demote':
        return planDemote(state, operation.member);
      case 'remove':
        return planRemove(state, operation.member);
      case 'replace':
        return planReplace(state, operation.member, operation.by, caughtUp);
    }
  }

  #answer({ member }: Plan | Refused, changed: boolean): MemberChanged {
    if (member === null) return { id: '', name: '', role: 'learner', changed };
    const { configuration } = this.#options.replica.core.status();
    return { id: member.id, name: member.name, role: roleOf(configuration, member.id), changed };
  }

  /** Until the change is done: its entry is committed, and the configuration that it leads to is no longer joint. */
  async #applied(index: number, term: number, deadline: number): Promise<void> {
    const { env, replica } = this.#options;
    for (;;) {
      const { machine } = replica;
      if (machine.appliedIndex >= index) {
        const found = replica.termAt(index);
        if (found === undefined) throw unanswered();
        // Another leader has put something else there: it was not done, and may be asked for anew.
        if (found !== term) throw new KvorumError('ERR_NO_LEADER', 'the leader changed, the change was dropped');
        if ((machine.configuration?.votersOutgoing.length ?? 0) === 0) return;
      }
      if (env.now() >= deadline) throw unanswered();
      await this.#pause('after');
    }
  }

  #pause(stage: 'before' | 'after', signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        cancel();
        this.#waiting.delete(stop);
        signal?.removeEventListener('abort', aborted);
      };
      const cancel = this.#options.env.after(LOOK_EVERY_MS, () => {
        end();
        resolve();
      });
      const stop = (error: KvorumError): void => {
        end();
        reject(error);
      };
      const aborted = (): void => {
        end();
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      this.#waiting.set(stop, stage);
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  #ask(leader: NodeId, operation: MemberOperation, timeoutMs: number, signal?: AbortSignal): Promise<MemberChanged> {
    const { bootEpoch, env, replica, send } = this.#options;
    return new Promise((resolve, reject) => {
      const request = this.#nextRequest++;
      // The leader says in time that it could not do it; only a leader that is gone does not.
      const cancel = env.after(timeoutMs + ANSWER_GRACE_MS, () => finish(unanswered(), null));
      const finish = (error: KvorumError | null, result: MemberChanged | null): void => {
        if (!this.#asked.delete(request)) return;
        cancel();
        signal?.removeEventListener('abort', aborted);
        if (error !== null) reject(error);
        else if (result === null) reject(unanswered());
        else resolve(result);
      };
      // It may be done all the same: only the waiting ends.
      const aborted = (): void => {
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
        finish(unanswered(), null);
      };
      signal?.addEventListener('abort', aborted, { once: true });
      this.#asked.set(request, { to: leader, answer: finish });
      const frame = encodeMemberCall({ group: replica.group, bootEpoch, request, timeoutMs, operation });
      if (!send(leader, 'client', frame)) {
        finish(new KvorumError('ERR_NO_LEADER', 'the leader cannot be reached'), null);
      }
    });
  }
}

/** As the leader sees it, the change cannot be made. */
interface Refused {
  readonly type: 'refused';
  readonly member: null;
  readonly error: KvorumError;
}

const NOTHING_PROPOSED: ProposeConfigResult = { status: 'unchanged' };

const ANSWER_GRACE_MS = 1000;

function notLeading(): KvorumError {
  return new KvorumError('ERR_NO_LEADER', 'the node asked does not lead');
}

function notCaughtUp(name: string): KvorumError {
  return new KvorumError('ERR_NOT_CAUGHT_UP', `${name} has not caught up with the leader in time: nothing was changed`);
}

function unanswered(): KvorumError {
  return new KvorumError(
    'ERR_TIMEOUT',
    'the change of the members was not seen to end; it may still: look at the members, or ask again',
    {
      outcome: 'unknown',
    },
  );
}

function refused(reason: ConfigRefusal): KvorumError {
  switch (reason) {
    case 'noVoters':
      return new KvorumError('ERR_LAST_VOTER', 'nobody would be left to decide anything');
    case 'unknownMember':
    case 'duplicateMember':
      return new KvorumError('ERR_INVARIANT', `a planned change of the members was refused: ${reason}`);
    case 'uncommittedBytes':
      return new KvorumError('ERR_OVERLOADED', 'too many bytes are waiting to be committed');
    case 'transferring':
    case 'changePending':
    case 'termNotCommitted':
      return new KvorumError(
        'ERR_MEMBERSHIP_BUSY',
        'another change of the members, or of the leader, did not end in time: nothing was changed',
      );
  }
}

function errorOf(error: unknown): KvorumError {
  if (KvorumError.is(error)) return error;
  return new KvorumError('ERR_INTERNAL', error instanceof Error ? error.message : String(error), {
    outcome: 'unknown',
    cause: error,
  });
}
