/**
 * What an agent knows of the cluster: which members to keep links to, by gossip, and what the one that serves it says. When none of those that it knows can be reached, it asks the
 * DHT for others: any peer that it reaches there will do, an agent too.
 */
import { KvorumError } from '../../errors.ts';
import type { Member } from '../../gossip/index.ts';
import type { NodeId } from '../../raft/types.ts';
import type { Environment } from '../env.ts';
import type { GossipDriver } from '../gossip/driver.ts';
import { decodeMetadata } from '../gossip/metadata.ts';
import type { LinkPool } from '../links.ts';
import type { ClusterInfo, Logger, MemberInfo } from '../types.ts';
import type { Upstream } from './upstream.ts';

export interface AgentViewOptions {
  readonly env: Environment;
  readonly clusterId: string;
  readonly name: string;
  readonly gossip: GossipDriver;
  readonly links: LinkPool;
  readonly upstream: Upstream;
  /** Addresses of members from before: dialled until gossip has told of some. */
  readonly contacts: readonly string[];
  /** Addresses of members, by the DHT. */
  readonly findMembers: () => Promise<readonly string[]>;
  readonly logger: Logger;
}

/** Often enough for people and for who looks for a leader; an agent asks for little. */
const ASK_EVERY_MS = 1000;
/** What was told holds for so long: past an answer that was lost, or another member that is asked, but not past a member that goes on without answering. */
const TOLD_HOLDS_MS = 3 * ASK_EVERY_MS;
/** Members that an agent keeps links to: more would not make it safer, and each costs them a link. */
const MAX_KEPT = 5;
/** Without a member for so long, others are looked for: those that are known have been dialled several times by then … */
const FIND_AFTER_MS = 3000;
/** … and again, as long as none is linked. */
const FIND_EVERY_MS = 10_000;

export class AgentView {
  readonly #options: AgentViewOptions;
  #kept: ReadonlySet<string> = new Set();
  #members: ReadonlySet<NodeId> = new Set();
  #told: ClusterInfo | null = null;
  #toldMs = -Infinity;
  #asking = false;
  /** Addresses of members that the DHT told, while none is linked. */
  #found: readonly string[] = [];
  /** Since when no member is linked; null while one is. */
  #aloneMs: number | null = null;
  #findMs = -Infinity;
  readonly #listeners = new Set<() => void>();
  #stop: () => void = () => undefined;
  #closed = false;

  constructor(options: AgentViewOptions) {
    this.#options = options;
  }

  start(): void {
    const { env, gossip } = this.#options;
    const unsubscribe = gossip.subscribe(() => {
      this.#choose();
      this.#changed();
    });
    const stopAsking = env.every(ASK_EVERY_MS, () => {
      this.#ask();
      this.#findWhenAlone();
    });
    this.#stop = () => {
      unsubscribe();
      stopAsking();
    };
    this.#choose();
  }

  /** A voter or learner. */
  isMember(id: NodeId): boolean {
    return this.#members.has(id);
  }

  /** Calls `listener` when what `cluster` tells may have changed. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  cluster(): ClusterInfo {
    const { clusterId, env, name, gossip, upstream } = this.#options;
    const holds = env.now() - this.#toldMs < TOLD_HOLDS_MS;
    if (this.#told !== null && holds && upstream.size > 0) {
      // How they are it hears itself, and sooner.
      const members = this.#told.members.map((told) => {
        const heard = gossip.member(told.id);
        return heard === undefined ? told : { ...told, health: healthOf(heard) };
      });
      return { ...this.#told, name, members };
    }
    const { revision, term } = upstream;
    return { clusterId, name, leader: null, term, revision, members: gossip.members().filter(isShown).map(described) };
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    for (const address of this.#kept) this.#options.links.release(address);
    this.#kept = new Set();
    this.#listeners.clear();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Links are kept to some members that are well; while none is known to be, to those of before. */
  #choose(): void {
    const { gossip, links, contacts } = this.#options;
    const members = gossip
      .members()
      .filter(({ role, state }) => role !== 'agent' && state !== 'dead' && state !== 'left');
    this.#members = new Set(members.map(({ id }) => id));
    const well = members.filter(({ state }) => state === 'alive');
    // The same for a while, though the list changes: whoever is kept stays so.
    const known = (well.length > 0 ? well : members).map(({ addresses: [first] }) => first ?? '').filter(Boolean);
    const staying = known.filter((address) => this.#kept.has(address));
    const chosen = known.length === 0 ? contacts : [...new Set([...staying, ...known])].slice(0, MAX_KEPT);
    const wanted = new Set([...chosen, ...this.#found]);
    for (const address of wanted) if (!this.#kept.has(address)) links.keep(address);
    for (const address of this.#kept) if (!wanted.has(address)) links.release(address);
    this.#kept = wanted;
  }

  #findWhenAlone(): void {
    const { env, upstream, findMembers, logger, name: node } = this.#options;
    const now = env.now();
    if (upstream.size > 0) {
      this.#aloneMs = null;
      // By now gossip tells of members.
      if (this.#found.length > 0) this.#keepFound([]);
      return;
    }
    this.#aloneMs ??= now;
    if (now - this.#aloneMs < FIND_AFTER_MS || now - this.#findMs < FIND_EVERY_MS) return;
    this.#findMs = now;
    findMembers().then(
      (addresses) => {
        if (this.#closed || addresses.length === 0 || upstream.size > 0) return;
        logger.info(
          { node, addresses },
          'no member that is known can be reached: those that the DHT tells are dialled',
        );
        this.#keepFound(addresses.slice(0, MAX_KEPT));
      },
      (error: unknown) => {
        if (!KvorumError.is(error, 'ERR_CLOSED')) logger.warn({ node, err: error }, 'members could not be looked for');
      },
    );
  }

  #keepFound(addresses: readonly string[]): void {
    this.#found = addresses;
    this.#choose();
  }

  #ask(): void {
    const { env, upstream } = this.#options;
    if (this.#asking || upstream.size === 0) return;
    this.#asking = true;
    upstream.node
      .clusterInfo({ timeoutMs: ASK_EVERY_MS })
      .then((told) => {
        this.#told = told;
        this.#toldMs = env.now();
      })
      // It is asked again, or another one is; until then what was told last holds, for a while.
      .catch(() => undefined)
      .finally(() => {
        this.#asking = false;
        this.#changed();
      });
  }
}

function isShown({ state }: Member): boolean {
  return state !== 'left';
}

function healthOf({ state }: Member): MemberInfo['health'] {
  return state === 'alive' || state === 'suspect' ? state : 'unreachable';
}

function described(member: Member): MemberInfo {
  const { id, name, peerId, role, addresses, http, metadata, incarnation } = member;
  return {
    ...{ id, name, peerId, role, addresses, http: http || null, pid: null },
    health: healthOf(member),
    ...{ metadata: decodeMetadata(metadata), incarnation, matchIndex: null, appliedIndex: null },
  };
}
