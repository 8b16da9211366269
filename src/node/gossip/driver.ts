/**
 * Joins the gossip core to time, network, disk and identity. For whoever is a member of a cluster, with a replica or without one.
 *
 *     const gossip = new GossipDriver({ env, identity, clusterId, name, role, addresses, http, metadata, links, store, … });
 *     gossip.start(contacts);
 *     gossip.frame(from, channel, bytes);   // what comes on 'ping' and 'gossip'
 *     await gossip.leave();                 // others hear of it, and do not take this node for dead
 *     gossip.close();
 *
 * The core's `held` loops are not used: a queue here is one of one peer, and is full because that peer does not read. That this process itself stands still shows as a
 * late timer, of which the core is told.
 */
import { createGossip } from '../../gossip/index.ts';
import type {
  Details,
  GossipCore,
  GossipSettings,
  GossipStats,
  Member,
  MemberEffect,
  MemberId,
  MemberRole,
  PeerId,
  SendEffect,
} from '../../gossip/index.ts';
import type { Store } from '../../storage/types.ts';
import type { Channel } from '../../transport/types.ts';
import { DueTimer } from '../due-timer.ts';
import type { Environment } from '../env.ts';
import type { Identity } from '../identity.ts';
import type { LinkPool } from '../links.ts';
import { Signatures } from '../signatures.ts';
import type { Logger } from '../types.ts';
import { decodeGossip, encodeGossip } from './frames.ts';
import { loadRemembered, stageRemembered } from './remembered.ts';

export type GossipChannel = Extract<Channel, 'ping' | 'gossip'>;

export interface Contact {
  readonly peerId: PeerId;
  readonly addresses: readonly string[];
}

export interface GossipDriverOptions {
  readonly env: Pick<Environment, 'now' | 'random' | 'after'>;
  readonly identity: Identity;
  readonly clusterId: string;
  readonly name: string;
  /** These three may change: they are looked at whenever something is due, and at once by `refresh`. */
  readonly role: () => MemberRole;
  /** How others reach this node, the best first; none for one that only dials. */
  readonly addresses: () => readonly string[];
  /** URL of its HTTP API, '' without. */
  readonly http: () => string;
  readonly metadata: Uint8Array;
  readonly links: Pick<LinkPool, 'send' | 'drop' | 'isLinked'>;
  /** Who this peer proved to be; undefined while there is no link. */
  readonly peerIdOf: (id: MemberId) => PeerId | undefined;
  /** Where members are remembered over a restart; null: nowhere. */
  readonly store: Store | null;
  /** Something was staged for the next commit of `store`, which need not be synced. */
  readonly staged?: () => void;
  readonly logger: Logger;
  /** Another member came, went, or said something else of itself. */
  readonly changed?: (effect: MemberEffect) => void;
  readonly settings?: Partial<GossipSettings>;
}

/** A timer that is so late says that this process is not well, though it is not yet a stall of which the core hears by itself. */
const LAG_MS = 250;
const REMEMBER_EVERY_MS = 5000;
const LEAVE_TIMEOUT_MS = 1000;
const MAX_CONTACTS = 256;

export class GossipDriver {
  readonly #options: GossipDriverOptions;
  readonly #core: GossipCore;
  readonly #signatures: Signatures;
  /** Where to find those who have not said it themselves yet. */
  readonly #contacts = new Map<MemberId, readonly string[]>();
  readonly #listeners = new Set<() => void>();
  #told: Pick<Details, 'role' | 'addresses' | 'http'>;
  readonly #timer: DueTimer;
  #cancelRemember: (() => void) | null = null;
  /** Ends the wait of `leave`. */
  #left: (() => void) | null = null;
  #unsent = 0;
  #lags = 0;
  #suspicions = 0;
  #closed = false;

  constructor(options: GossipDriverOptions) {
    this.#options = options;
    const { env, identity, clusterId, name, metadata, store, settings = {} } = options;
    const signatures = new Signatures(identity.privateKey);
    this.#signatures = signatures;
    this.#told = { role: options.role(), addresses: options.addresses(), http: options.http() };
    this.#core = createGossip({
      ...settings,
      clusterId,
      self: {
        id: identity.id,
        peerId: identity.peerId,
        bootEpoch: identity.bootEpoch,
        name,
        metadata,
        ...this.#told,
      },
      known: store === null ? [] : loadRemembered(store).filter(({ id }) => id !== identity.id),
      random: () => env.random(),
      sign: (bytes) => signatures.sign(bytes),
      verify: (peerId, bytes, signature) => signatures.verify(peerId, bytes, signature),
      idOf: (peerId) => signatures.idOf(peerId),
      isLinked: (id) => options.links.isLinked(id),
    });
    this.#timer = new DueTimer({
      env,
      due: () => this.#core.nextTickMs(),
      run: (lateMs) => this.#tick(lateMs),
    });
  }

  get incarnation(): number {
    return this.#core.incarnation;
  }

  /** Frames that were not sent, because there was no link, or a full queue. */
  get unsent(): number {
    return this.#unsent;
  }

  /** How often this process was late. */
  get lags(): number {
    return this.#lags;
  }

  /** How often another member came to be suspected. */
  get suspicions(): number {
    return this.#suspicions;
  }

  /** All that are known, this node first. */
  members(): Member[] {
    return this.#core.members();
  }

  member(id: MemberId): Member | undefined {
    return this.#core.member(id);
  }

  stats(): GossipStats {
    return this.#core.stats();
  }

  /** Calls `listener` after something changed that `members` tells. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins, with those who are known by other means. */
  start(contacts: readonly Contact[]): void {
    for (const { peerId, addresses } of contacts.slice(0, MAX_CONTACTS)) {
      const id = this.#signatures.idOf(peerId);
      if (id !== null) this.#contacts.set(id, addresses);
    }
    const now = this.#options.env.now();
    const peers = contacts.map(({ peerId }) => peerId);
    this.#core.tick(now);
    this.#core.join(peers, now);
    this.#turn();
  }

  /** Something came from a peer that was authenticated and admitted. Never throws: what is no message is counted and dropped. */
  frame(from: MemberId, bytes: Uint8Array): void {
    if (this.#closed) return;
    const peerId = this.#options.peerIdOf(from);
    if (peerId === undefined) return;
    const message = decodeGossip(bytes, (reason) => this.#core.refuse(reason));
    if (message === null) return;
    this.#core.receive(peerId, message, this.#options.env.now());
    this.#turn();
  }

  /** There is a link to this peer again. */
  reachable(id: MemberId): void {
    if (this.#closed) return;
    this.#core.reachable(id, this.#options.env.now());
    this.#turn();
  }

  /** What this node says of itself may have changed. */
  refresh(): void {
    if (this.#closed) return;
    const { role, addresses, http } = this.#options;
    const told = this.#told;
    const now = { role: role(), addresses: addresses(), http: http() };
    const isSame = now.role === told.role && now.http === told.http && sameTexts(now.addresses, told.addresses);
    if (isSame) return;
    this.#told = now;
    this.#core.setDetails(now);
    this.#turn();
  }

  /**
   * Says good-bye, and resolves when others have been told, or the time is over. It goes on answering until `close`.
   */
  leave(timeoutMs = LEAVE_TIMEOUT_MS): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const { env } = this.#options;
    return new Promise((resolve) => {
      const before = this.#left;
      const cancel = env.after(timeoutMs, () => this.#left?.());
      this.#left = () => {
        this.#left = null;
        cancel();
        before?.();
        resolve();
      };
      this.#core.leave(env.now());
      this.#turn();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.cancel();
    this.#cancelRemember?.();
    this.#left?.();
    this.#listeners.clear();
  }

  // Time.

  #tick(lateMs: number): void {
    if (lateMs >= LAG_MS) {
      this.#lags++;
      this.#core.reportHealth(1);
    }
    this.refresh();
    this.#core.tick(this.#options.env.now());
    this.#turn();
  }

  // What the core wants done.

  #turn(): void {
    let changed = false;
    for (const effect of this.#core.takeEffects()) {
      if (effect.kind === 'send') this.#send(effect);
      else {
        changed = true;
        this.#member(effect);
      }
    }
    if (this.#left !== null) this.#lookWhetherLeft(this.#left);
    if (this.#closed) return;
    this.#timer.arm();
    if (!changed) return;
    this.#rememberLater();
    for (const listener of [...this.#listeners]) listener();
  }

  #send({ to, channel, message }: SendEffect): void {
    const { links } = this.#options;
    const id = this.#signatures.idOf(to);
    if (id === null) return;
    for (const parts of encodeGossip(message)) {
      if (!links.send(id, channel, parts, () => this.#addressesOf(id))) this.#unsent++;
    }
  }

  #addressesOf(id: MemberId): readonly string[] {
    const said = this.#core.member(id)?.addresses ?? [];
    return said.length > 0 ? said : (this.#contacts.get(id) ?? []);
  }

  #member(effect: MemberEffect): void {
    const { links, logger, name, changed } = this.#options;
    const { event, id, by, incarnation } = effect;
    const member = this.#core.member(id);
    const fields = { node: name, member: member?.name ?? id, id, incarnation, ...(by === id ? {} : { by }) };
    switch (event) {
      case 'up':
        logger.info(fields, 'a member is there');
        break;
      case 'alive-again':
        logger.info(fields, 'a member is alive after all');
        break;
      case 'suspect':
        this.#suspicions++;
        logger.warn(fields, 'a member is suspected: it does not answer');
        break;
      case 'dead':
        logger.warn(fields, 'a member is taken for dead');
        // A link that is up stays: it may be alive after all, and nothing is said on it otherwise until it is given up for that.
        links.drop(id);
        break;
      case 'left':
        logger.info(fields, 'a member has left');
        // Its link stays: it may have more to say on it, and closes it itself.
        links.drop(id);
        break;
      case 'updated':
        logger.debug(fields, 'a member says something else of itself');
    }
    changed?.(effect);
  }

  #lookWhetherLeft(left: () => void): void {
    const { queued, alive, suspect } = this.#core.stats();
    // With nobody there, nobody is told.
    if (queued === 0 || alive + suspect === 0) left();
  }

  #rememberLater(): void {
    const { env, store, staged } = this.#options;
    if (store === null || this.#cancelRemember !== null) return;
    this.#cancelRemember = env.after(REMEMBER_EVERY_MS, () => {
      this.#cancelRemember = null;
      stageRemembered(
        store,
        this.#core.members().filter(({ id }) => id !== this.#core.id),
      );
      staged?.();
    });
  }
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, i) => text === right[i]);
}
