/**
 * A fresh node becomes part of a running cluster: it reaches any member, asks it to be added, and keeps on disk what it was told, so that from then on it is a member that starts
 * again, whatever it was started with. Until then nothing of it is remembered by anybody but its entry in the configuration, and asking again is harmless.
 */
import { KvorumError } from '../errors.ts';
import type { Store } from '../storage/types.ts';
import type { Channel, Hello, PeerEvent, Transport, Verdict } from '../transport/types.ts';
import { judgeProtocol } from './admission.ts';
import type { ClusterMap } from './cluster-map.ts';
import { stageClusterMap } from './cluster-map.ts';
import type { Environment } from './env.ts';
import { FRAME } from './forwarding.ts';
import { commit } from './identity.ts';
import { decodeJoined, encodeJoin } from './join-frames.ts';
import type { Invitation, JoinRole } from './join-frames.ts';
import { stageContacts, stageSecret } from './join-records.ts';

export interface JoiningOptions {
  readonly store: Store;
  readonly env: Environment;
  readonly name: string;
  readonly bootEpoch: number;
  /** Peer addresses of members. */
  readonly addresses: readonly string[];
  readonly role: JoinRole;
  readonly replaces: string | null;
  readonly log: (message: string) => void;
}

/** How long one member is given before another is asked, and how often it is asked again meanwhile: what is sent as a link comes up may be lost. */
const ATTEMPT_MS = 10_000;
const REPEAT_MS = 1000;
const LOOK_EVERY_MS = 200;
const LOG_EVERY_MS = 5000;
/** Somebody said that the token is not good, and nobody else has been reached for so long. */
const BAD_TOKEN_AFTER_MS = 10_000;

/** What no waiting changes: this node cannot join as it is. */
const FATAL: ReadonlySet<string> = new Set([
  'ERR_MEMBER_EXISTS',
  'ERR_MEMBER_REMOVED',
  'ERR_MEMBER_REPLACED',
  'ERR_WRONG_CLUSTER',
  'ERR_WRONG_PROTOCOL',
  'ERR_BAD_TOKEN',
  'ERR_LAST_VOTER',
  'ERR_NOT_FOUND',
  'ERR_CONFIG',
  'ERR_FORBIDDEN',
  'ERR_INVALID_ARGUMENT',
]);

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly by: 'us' | 'them';
  /** Said by, or of, a peer that had proved what it is. */
  readonly isProved: boolean;
}

export class Joining {
  readonly #options: JoiningOptions;
  #transport: Transport | null = null;
  /** Who was asked last and has not answered. */
  #asked: { readonly id: string; readonly request: number; readonly untilMs: number; repeatMs: number } | null = null;
  #nextRequest = 1;
  /** Those that it was given, those that the last that answered told of, and those whom it is linked with. */
  #dialled: ReadonlySet<string> = new Set();
  /** Members that have answered that they cannot now; asked last of all. */
  readonly #tried = new Set<string>();
  /** By address, of those that it dials: who was found there last. Whoever else dials this node may be of any cluster. */
  readonly #reached = new Map<string, string>();
  /** By address, of those that it dials. */
  readonly #refused = new Map<string, Refusal>();
  /** Since when it is known that somebody finds the token bad; null while nobody does, or a member is linked. */
  #badTokenMs: number | null = null;
  #settle: { resolve(map: ClusterMap): void; reject(error: Error): void } | null = null;
  #lastLog = '';
  #loggedMs = -Infinity;
  #done = false;

  constructor(options: JoiningOptions) {
    this.#options = options;
  }

  get role(): JoinRole {
    return this.#options.role;
  }

  /** Of a peer, while this node belongs to no cluster. */
  judge(hello: Hello): Verdict {
    const protocol = judgeProtocol(hello);
    if (protocol !== null) return protocol;
    if (hello.clusterId !== null) return { ok: true };
    const message = `${this.#options.name} is waiting to join a cluster itself, and ${hello.name} belongs to none yet`;
    return { ok: false, code: 'ERR_UNAVAILABLE', message };
  }

  /** Resolves when what it was told is on disk. Rejects with what cannot be mended by waiting, with the signal's reason, or with the store's error. */
  async run(transport: Transport, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<ClusterMap> {
    signal?.throwIfAborted();
    this.#transport = transport;
    const { env } = this.#options;
    let stop = (): void => undefined;
    let aborted = (): void => undefined;
    try {
      return await new Promise<ClusterMap>((resolve, reject) => {
        this.#settle = { resolve, reject };
        aborted = () => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
        signal?.addEventListener('abort', aborted, { once: true });
        this.#dial([]);
        stop = env.every(LOOK_EVERY_MS, () => this.#look());
        this.#look();
      });
    } finally {
      this.#settle = null;
      signal?.removeEventListener('abort', aborted);
      stop();
      for (const address of this.#dialled) transport.disconnect(address);
    }
  }

  /**
   * Those who were given to it may be replaced while it waits: their successors are as good, and those of now are told by each that answers. Who answers may be behind, and not know of one that this
   * node is linked with already; who was removed hangs up by itself.
   */
  #dial(contacts: readonly string[]): void {
    const linked = new Set(this.#transport?.peers().map(({ id }) => id));
    const found = [...this.#reached].filter(([, id]) => linked.has(id)).map(([address]) => address);
    const wanted = new Set([...this.#options.addresses, ...contacts, ...found]);
    const before = this.#dialled;
    this.#dialled = wanted;
    for (const address of before) {
      if (wanted.has(address)) continue;
      this.#reached.delete(address);
      this.#refused.delete(address);
      this.#transport?.disconnect(address);
    }
    for (const address of wanted) if (!before.has(address)) this.#transport?.connect(address);
  }

  /** What came of dialling an address, as the transport tells it. */
  dialled(address: string, id: string | null): void {
    if (this.#done || !this.#dialled.has(address)) return;
    if (id === null) {
      this.#reached.delete(address);
      return;
    }
    this.#reached.set(address, id);
    this.#refused.delete(address);
    this.#badTokenMs = null;
    this.#look();
  }

  peer(event: PeerEvent): void {
    if (this.#done) return;
    if (event.type === 'refused') {
      const { address, by, code, hello, message } = event;
      // Anybody may dial, and be refused; what counts is what those say that this node dials.
      if (!this.#dialled.has(address)) return;
      this.#refused.set(address, { code, message, by, isProved: hello !== null });
      if (by === 'them') this.#onRefused();
      return;
    }
    if (event.type !== 'up' && this.#asked?.id === event.peer.id) this.#asked = null;
    this.#look();
  }

  /** True when the frame was one of ours. */
  frame(from: string, channel: Channel, frame: Uint8Array): boolean {
    if (channel !== 'client' || frame[0] !== FRAME.joined) return false;
    const { bootEpoch, request, contacts, error, invitation } = decodeJoined(frame);
    if (bootEpoch !== this.#options.bootEpoch || this.#asked?.request !== request || this.#asked.id !== from)
      return true;
    if (this.#settle === null || this.#done) return true;
    if (invitation !== null) {
      this.#asked = null;
      void this.#accept(invitation, contacts);
      return true;
    }
    if (error !== null) {
      this.#asked = null;
      if (FATAL.has(error.code)) {
        this.#settle.reject(error);
        return true;
      }
      // Not at once again: what it could not do now it cannot do in a moment either.
      this.#tried.add(from);
      this.#report(error.message);
    }
    if (contacts.length > 0) this.#dial(contacts);
    return true;
  }

  #look(): void {
    const transport = this.#transport;
    const { env } = this.#options;
    if (this.#settle === null || transport === null || this.#done) return;
    const asked = this.#asked;
    if (asked !== null && env.now() < asked.untilMs) {
      if (env.now() >= asked.repeatMs) this.#send(asked.id, asked.request, asked.untilMs);
      return;
    }
    if (this.#asked !== null) this.#tried.add(this.#asked.id);
    this.#asked = null;
    const reached = new Set(this.#reached.values());
    const members = transport.peers().filter(({ id, hello }) => hello.clusterId !== null && reached.has(id));
    if (members.length > 0 && members.every(({ id }) => this.#tried.has(id))) this.#tried.clear();
    const next = members.find(({ id }) => !this.#tried.has(id));
    if (next === undefined) {
      if (this.#giveUpToken()) return;
      this.#report(this.#missing());
      return;
    }
    this.#send(next.id, this.#nextRequest++, env.now() + ATTEMPT_MS);
  }

  #send(id: string, request: number, untilMs: number): void {
    const { env, bootEpoch, role, replaces } = this.#options;
    const frame = encodeJoin({ bootEpoch, request, timeoutMs: untilMs - env.now(), role, replaces });
    if (this.#transport?.send(id, 'client', frame) !== true) return;
    this.#asked = { id, request, untilMs, repeatMs: env.now() + REPEAT_MS };
  }

  async #accept({ map, secret }: Invitation, contacts: readonly string[]): Promise<void> {
    const { store, log, role } = this.#options;
    if (this.#done) return;
    this.#done = true;
    try {
      stageClusterMap(store, map);
      stageContacts(store, contacts);
      stageSecret(store, secret);
      await commit(store);
    } catch (error) {
      this.#settle?.reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    log(`let into the cluster ${map.clusterId} as ${role === 'voter' ? 'a learner, to become a voter' : `a ${role}`}`);
    this.#settle?.resolve(map);
  }

  #onRefused(): void {
    let strangers = 0;
    for (const refusal of this.#refused.values()) {
      // What this node holds against somebody else says nothing of itself.
      if (refusal.by === 'us') continue;
      if (isOfStranger(refusal)) {
        // One peer with another secret, or that our token is not for, is that peer's fault; all of them are ours.
        if (++strangers === this.#dialled.size) return this.#reject(refusal);
        if (refusal.code === 'ERR_BAD_TOKEN') this.#badTokenMs ??= this.#options.env.now();
      } else if (FATAL.has(refusal.code)) return this.#reject(refusal);
    }
  }

  /** One of the others could still take it; but who cannot be reached will most likely say the same. */
  #giveUpToken(): boolean {
    if (this.#badTokenMs === null || this.#options.env.now() - this.#badTokenMs < BAD_TOKEN_AFTER_MS) return false;
    const refusal = [...this.#refused.values()].find(({ by, code }) => by === 'them' && code === 'ERR_BAD_TOKEN');
    if (refusal !== undefined) this.#reject(refusal);
    return refusal !== undefined;
  }

  #reject({ code, message }: Refusal): void {
    this.#settle?.reject(new KvorumError(code as 'ERR_BAD_TOKEN', message));
  }

  #missing(): string {
    const reasons = [...this.#dialled].map((address) => {
      const refusal = this.#refused.get(address);
      return refusal === undefined ? address : `${address}: ${refusal.message}`;
    });
    return `waiting for a member to join by: ${reasons.join(', ')}`;
  }

  #report(text: string): void {
    const now = this.#options.env.now();
    if (text === this.#lastLog && now - this.#loggedMs < LOG_EVERY_MS) return;
    this.#lastLog = text;
    this.#loggedMs = now;
    this.#options.log(text);
  }
}

/** Said before either side had proved anything, or by one that does not have the secret that our token was made with. */
function isOfStranger({ code, isProved }: Refusal): boolean {
  return !isProved && (code === 'ERR_WRONG_SECRET' || code === 'ERR_BAD_TOKEN');
}
