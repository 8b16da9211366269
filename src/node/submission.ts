/**
 * From the queue to a log: on the leader proposals become batches of entries, on any other node frames to the leader. Answers the frames
 * of nodes that believe this one leads.
 */
import { KvorumError } from '../errors.ts';
import { faultOfCommand, stampTime } from '../machine/command.ts';
import type { GroupId, NodeId, RaftCore, SoftState } from '../raft/types.ts';
import type { Channel } from '../transport/types.ts';
import type { Environment } from './env.ts';
import { encodeAnswers, encodePropose, type Answer, type ProposeFrame, type ResultFrame } from './forwarding.ts';
import { outcomeUnknown, type Proposals } from './proposals.ts';
import type { StateClock } from './state-clock.ts';

/** Proposals in one append, and bytes of them. */
const MAX_BATCH_COUNT = 4096;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** A batch has a fixed price on three nodes, so the next one grows while this many are not committed yet… */
const MAX_OPEN_BATCHES = 1;
/** …unless it has grown to this. */
const FULL_BATCH_COUNT = 512;
const FULL_BATCH_BYTES = 512 * 1024;
/** A node that was told "not the leader" waits this long before it asks the same node again. */
const FORWARD_PAUSE_MS = 20;
/** The longest that a forwarded proposal waits here, whatever the asker says. */
const MAX_FORWARD_WAIT_MS = 60_000;

export interface SubmissionOptions {
  readonly env: Environment;
  readonly group: GroupId;
  readonly id: NodeId;
  readonly bootEpoch: number;
  readonly core: RaftCore;
  readonly proposals: Proposals;
  /** What entries are stamped with. */
  readonly clock: StateClock;
  readonly send: (to: NodeId, channel: Channel, parts: readonly Uint8Array[]) => boolean;
  /** More state is applied than the disk takes off: no new entries for now. Callers wait in a bounded queue. */
  readonly congested: () => boolean;
}

export class Submission {
  readonly #options: SubmissionOptions;
  /** Last index of each batch that is not applied yet. */
  #openBatches: number[] = [];
  #pausedForwardTo: { leader: NodeId; until: number } | null = null;

  constructor(options: SubmissionOptions) {
    this.#options = options;
  }

  submit(now: number, { role, leader }: SoftState): void {
    if (this.#options.proposals.queued === 0) return;
    if (role === 'leader') this.#append();
    else if (leader !== null) this.#forward(leader, now);
  }

  #append(): void {
    const { core, proposals, congested, clock } = this.#options;
    if (congested()) return;
    const full = proposals.queued >= FULL_BATCH_COUNT || proposals.queuedBytes >= FULL_BATCH_BYTES;
    if (this.#openBatches.length >= MAX_OPEN_BATCHES && !full) return;
    const taken = proposals.take(MAX_BATCH_COUNT, MAX_BATCH_BYTES);
    const time = clock.now();
    const data: Uint8Array[] = [];
    for (const proposal of taken) {
      stampTime(proposal.data, time);
      data.push(proposal.data);
    }
    const result = core.propose(data);
    switch (result.status) {
      case 'accepted':
        proposals.appended(taken, result.firstIndex, result.term);
        this.#openBatches.push(result.firstIndex + taken.length - 1);
        return;
      case 'notLeader':
        proposals.putBack(taken);
        return;
      case 'refused':
        // During a transfer they wait for the next leader; too many uncommitted bytes are said at once.
        if (result.reason === 'transferring') proposals.putBack(taken);
        else {
          const overloaded = new KvorumError('ERR_OVERLOADED', 'too many bytes are waiting to be committed');
          for (const proposal of taken) proposal.done(overloaded, null);
        }
    }
  }

  #forward(leader: NodeId, now: number): void {
    const { bootEpoch, group, id, proposals, send } = this.#options;
    const paused = this.#pausedForwardTo;
    if (leader === id || (paused !== null && paused.leader === leader && paused.until > now)) return;
    while (proposals.queued > 0) {
      const taken = proposals.take(MAX_BATCH_COUNT, MAX_BATCH_BYTES);
      const latest = taken.reduce((max, proposal) => Math.max(max, proposal.deadline), now);
      const request = proposals.forward(leader, taken);
      const commands = taken.map((proposal) => proposal.data);
      if (!send(leader, 'client', encodePropose({ group, bootEpoch, request, timeoutMs: latest - now, commands }))) {
        proposals.notForwarded(request);
        return;
      }
    }
  }

  /** Everything up to `index` is applied: room for the next batch. */
  applied(index: number): void {
    while (this.#openBatches.length > 0 && (this.#openBatches[0] as number) <= index) this.#openBatches.shift();
  }

  roleChanged({ role }: SoftState, leaderChanged: boolean): void {
    if (role !== 'leader') this.#openBatches = [];
    if (leaderChanged) this.#pausedForwardTo = null;
  }

  /** Another node hands over proposals. `leads`: whether this node takes them. */
  proposeFrame(from: NodeId, frame: ProposeFrame, leads: boolean): void {
    const { env, proposals, send } = this.#options;
    const { commands, group, bootEpoch, request } = frame;
    const answers: (Answer | null)[] = commands.map(() => null);
    let open = commands.length;
    const answer = (position: number, given: Answer): void => {
      answers[position] = given;
      open--;
      if (open > 0) return;
      // If these are lost with the link, the asker hears that the link is gone.
      for (const { first, count, parts } of encodeAnswers({
        group,
        bootEpoch,
        request,
        first: 0,
        answers: answers as Answer[],
      })) {
        if (send(from, 'client', parts)) continue;
        // More than the link's queue takes: what was written is said to be unknown, at once.
        const error = outcomeUnknown('the answer is too large for the link to the node that was asked');
        const instead = Array.from({ length: count }, (): Answer => ({ error, result: null, retry: false }));
        for (const small of encodeAnswers({ group, bootEpoch, request, first, answers: instead })) {
          send(from, 'client', small.parts);
        }
      }
    };
    const deadline = env.now() + Math.min(frame.timeoutMs, MAX_FORWARD_WAIT_MS);
    commands.forEach((data, position) => {
      // What cannot be applied must never enter the log: it would stop every replica.
      const refused = leads ? faultOfCommand(data, this.#options.group) : null;
      if (!leads || refused !== null) return answer(position, { error: refused, result: null, retry: !leads });
      proposals.add({ data, deadline, done: (error, result) => answer(position, { error, result, retry: false }) });
    });
  }

  resultFrame(from: NodeId, frame: ResultFrame): void {
    const { bootEpoch, env, proposals } = this.#options;
    if (frame.bootEpoch !== bootEpoch) return;
    if (frame.answers.some((answer) => answer.retry)) {
      this.#pausedForwardTo = { leader: from, until: env.now() + FORWARD_PAUSE_MS };
    }
    proposals.answered(from, frame.request, frame.first, frame.answers);
  }
}
