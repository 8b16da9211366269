/** The member's part of joining: has whoever asks added by the leader, and tells it what it needs. */
import { KvorumError } from '../errors.ts';
import { TOKEN_CLOCK_TOLERANCE_MS } from '../transport/join-token.ts';
import type { Hello, Peer } from '../transport/types.ts';
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
    const { map, membership } = this.#options;
    const answer = (error: KvorumError | null, invitation: Invitation | null, isKnown = true): void => {
      const contacts = isKnown ? contactsOf(membership.state.map.members, from) : [];
      this.#options.send(from, encodeJoined({ bootEpoch, request, contacts, error, invitation }));
    };
    // Asked again, because it does not know whether it was heard.
    if (this.#busy.get(from) === request) {
      answer(null, null);
      return true;
    }
    const judged = this.#judge(from, frame);
    if (judged instanceof KvorumError) {
      answer(judged, null, false);
      return true;
    }
    const { hello, secret } = judged;
    this.#add(hello, frame).then(
      () => answer(null, { map, secret }),
      (error: unknown) => answer(KvorumError.is(error) ? error : new KvorumError('ERR_INTERNAL', String(error)), null),
    );
    return true;
  }

  #judge(from: string, { role }: JoinFrame): KvorumError | { readonly hello: Hello; readonly secret: string } {
    const { hello, credential } = this.#options.peer(from) ?? {};
    // Nobody but the node that was judged at the door, and as what it was judged there.
    if (hello === undefined || joinRoleOf(hello) !== role) {
      return new KvorumError('ERR_FORBIDDEN', 'only a node that was let in to join can ask for that');
    }
    const expiresMs = credential?.type === 'secret' ? Infinity : (credential?.expiresMs ?? 0);
    if (this.#options.wallTime() > expiresMs + TOKEN_CLOCK_TOLERANCE_MS) {
      return new KvorumError('ERR_BAD_TOKEN', 'the join token has expired since its bearer was let in');
    }
    const secret = this.#options.secret();
    if (secret === null) return new KvorumError('ERR_FORBIDDEN', 'a cluster without a secret has no peers');
    return { hello, secret };
  }

  async #add(hello: Hello, { role, replaces, request, timeoutMs }: JoinFrame): Promise<void> {
    const { id, name, peerId, address } = hello;
    if (!this.#busy.has(id) && this.#busy.size >= MAX_AT_A_TIME) {
      throw new KvorumError('ERR_OVERLOADED', 'this node is letting others in: ask again');
    }
    if (role === 'agent') return;
    this.#busy.set(id, request);
    try {
      const member = { id, name, peerId, address, role, replaces };
      await this.#options.membership.call({ type: 'add', member }, Math.min(timeoutMs, MAX_WAIT_MS));
    } finally {
      if (this.#busy.get(id) === request) this.#busy.delete(id);
    }
  }
}
