/** The member's part of joining: has whoever asks added by the leader, and tells it what it needs. */
import { KvorumError } from '../errors.ts';
import { TOKEN_CLOCK_TOLERANCE_MS } from '../transport/join-token.ts';
import type { Peer } from '../transport/types.ts';
import type { ClusterMap } from './cluster-map.ts';
import { FRAME } from './forwarding.ts';
import { contactsOf, decodeJoin, encodeJoined } from './join-frames.ts';
import type { Invitation, JoinFrame } from './join-frames.ts';
import { joinRoleOf } from './join-frames.ts';
import type { Membership } from './membership.ts';

export interface JoinDeskOptions {
  readonly map: ClusterMap;
  readonly membership: Membership;
  /** Null: a cluster of one without a secret, which has no peers. */
  readonly secret: () => string | null;
  readonly peer: (id: string) => Peer | undefined;
  readonly wallTime: () => number;
  readonly send: (to: string, parts: readonly Uint8Array[]) => boolean;
}

/** Nodes that are being let in at the same time by this one. */
const MAX_AT_A_TIME = 64;
const MAX_WAIT_MS = 60_000;

export class JoinDesk {
  readonly #options: JoinDeskOptions;
  /** By who asked: the request that is being worked on. */
  readonly #busy = new Map<string, number>();

  constructor(options: JoinDeskOptions) {
    this.#options = options;
  }

  /** True when the frame was one of ours. */
  frame(from: string, bytes: Uint8Array): boolean {
    if (bytes[0] !== FRAME.join) return false;
    const frame = decodeJoin(bytes);
    const { bootEpoch, request } = frame;
    // Asked again, because it does not know whether it was heard: the answer is on its way.
    if (this.#busy.get(from) === request) return true;
    const answer = (error: KvorumError | null, invitation: Invitation | null): void => {
      this.#options.send(from, encodeJoined({ bootEpoch, request, error, invitation }));
    };
    this.#invite(from, frame).then(
      (invitation) => answer(null, invitation),
      (error: unknown) => answer(KvorumError.is(error) ? error : new KvorumError('ERR_INTERNAL', String(error)), null),
    );
    return true;
  }

  async #invite(from: string, { role, replaces, request, timeoutMs }: JoinFrame): Promise<Invitation> {
    const { map, membership, peer } = this.#options;
    const { hello, credential } = peer(from) ?? {};
    // Nobody but the node that was judged at the door, and as what it was judged there.
    if (hello === undefined || joinRoleOf(hello) !== role) {
      throw new KvorumError('ERR_FORBIDDEN', 'only a node that was let in to join can ask for that');
    }
    const expiresMs = credential?.type === 'secret' ? Infinity : (credential?.expiresMs ?? 0);
    if (this.#options.wallTime() > expiresMs + TOKEN_CLOCK_TOLERANCE_MS) {
      throw new KvorumError('ERR_BAD_TOKEN', 'the join token has expired since its bearer was let in');
    }
    const secret = this.#options.secret();
    if (secret === null) throw new KvorumError('ERR_FORBIDDEN', 'a cluster without a secret has no peers');
    if (!this.#busy.has(from) && this.#busy.size >= MAX_AT_A_TIME) {
      throw new KvorumError('ERR_OVERLOADED', 'this node is letting others in: ask again');
    }
    this.#busy.set(from, request);
    try {
      if (role !== 'agent') {
        const { id, name, peerId, address } = hello;
        const member = { id, name, peerId, address, role, replaces };
        await membership.call({ type: 'add', member }, Math.min(timeoutMs, MAX_WAIT_MS));
      }
    } finally {
      if (this.#busy.get(from) === request) this.#busy.delete(from);
    }
    return { map, contacts: contactsOf(membership.state.map.members, from), secret };
  }
}
