/**
 * Handing over leadership, from any node: the leader does it, another node asks the leader. Ends when this node sees another leader.
 */
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { Channel } from '../transport/types.ts';
import type { Environment } from './env.ts';
import { decodeTransfer, decodeTransferResult, encodeTransfer, encodeTransferResult, FRAME } from './forwarding.ts';
import type { Replica } from './replica.ts';

/** Often enough that nobody notices, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 5;

export interface TransferOptions {
  readonly env: Environment;
  readonly replica: Replica;
  readonly bootEpoch: number;
  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean;
}

export class Transfer {
  readonly #options: TransferOptions;
  readonly #asked = new Map<number, { to: NodeId; answer: (error: KvorumError | null) => void }>();
  #nextRequest = 1;

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the new leader once this node knows it. Rejects ERR_NO_LEADER when nobody leads, ERR_INVALID_ARGUMENT when `to` cannot
   * lead, ERR_TIMEOUT (outcome unknown) when it takes longer than `timeoutMs`.
   */
  async transfer(to: NodeId | null, timeoutMs: number): Promise<NodeId> {
    const { replica, env } = this.#options;
    const deadline = env.now() + timeoutMs;
    const { leader } = replica.softState;
    if (leader === null) throw new KvorumError('ERR_NO_LEADER', 'there is no leader to hand over');
    if (leader === to) return leader;
    if (replica.softState.role === 'leader') this.#begin(to);
    else await this.#ask(leader, to, timeoutMs);
    return this.#until(deadline, leader, to);
  }

  #begin(to: NodeId | null): void {
    if (this.#options.replica.transferLeadership(to)) return;
    throw new KvorumError(
      'ERR_INVALID_ARGUMENT',
      to === null ? 'there is no other voter that could lead' : `member ${to} is no voter that could lead`,
    );
  }

  #ask(leader: NodeId, to: NodeId | null, timeoutMs: number): Promise<void> {
    const { env, replica, bootEpoch } = this.#options;
    return new Promise((resolve, reject) => {
      const request = this.#nextRequest++;
      const cancel = env.after(timeoutMs, () => finish(timedOut()));
      const finish = (error: KvorumError | null): void => {
        if (!this.#asked.delete(request)) return;
        cancel();
        if (error === null) resolve();
        else reject(error);
      };
      this.#asked.set(request, { to: leader, answer: finish });
      const frame = encodeTransfer({ group: replica.group, bootEpoch, request, to });
      if (!this.#options.send(leader, 'client', frame)) {
        finish(new KvorumError('ERR_NO_LEADER', 'the leader cannot be reached'));
      }
    });
  }

  #until(deadline: number, before: NodeId, to: NodeId | null): Promise<NodeId> {
    const { env, replica } = this.#options;
    return new Promise((resolve, reject) => {
      const stop = env.every(LOOK_EVERY_MS, () => {
        const { leader } = replica.softState;
        if (leader !== null && (to === null ? leader !== before : leader === to)) {
          stop();
          resolve(leader);
        } else if (env.now() >= deadline) {
          stop();
          reject(timedOut());
        }
      });
    });
  }

  /** True when the frame was one of ours. */
  frame(from: NodeId, bytes: Uint8Array): boolean {
    const { replica } = this.#options;
    if (bytes[0] === FRAME.transfer) {
      const { group, bootEpoch, request, to } = decodeTransfer(bytes);
      let error: KvorumError | null = null;
      try {
        if (replica.softState.role !== 'leader') throw new KvorumError('ERR_NO_LEADER', 'the node asked does not lead');
        this.#begin(to);
      } catch (caught) {
        if (!KvorumError.is(caught)) throw caught;
        error = caught;
      }
      this.#options.send(from, 'client', encodeTransferResult({ group, bootEpoch, request, error }));
      return true;
    }
    if (bytes[0] === FRAME.transferResult) {
      const { bootEpoch, request, error } = decodeTransferResult(bytes);
      if (bootEpoch !== this.#options.bootEpoch) return true;
      const asked = this.#asked.get(request);
      if (asked?.to === from) asked.answer(error);
      return true;
    }
    return false;
  }

  /** The link to `peer` closed: no answer will come. */
  peerDown(peer: NodeId): void {
    for (const { to, answer } of [...this.#asked.values()]) if (to === peer) answer(timedOut());
  }
}

function timedOut(): KvorumError {
  return new KvorumError('ERR_TIMEOUT', 'leadership was not handed over in time; it may still be', {
    outcome: 'unknown',
  });
}
