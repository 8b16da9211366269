/**
 * Brings a static cluster into the world (decision 13), or finds that this node's data belongs to one already: joins the pure
 * decision (bootstrap-decision.ts) to links and disk. Every member tells its facts in its Hello and, when they change, in a frame on the `client`
 * channel; frames may be lost and are repeated until all is done.
 *
 *     const bootstrap = new Bootstrap({ store, identity, name, initialCluster });
 *     // handlers of the transport: hello() → extra: { bootstrap: bootstrap.facts() }, admit → bootstrap.judge(hello) while map is null,
 *     // frame → bootstrap.frame(from, channel, frame) first, peer → bootstrap.peer(event)
 *     const map = await bootstrap.run(transport, { signal });
 *
 * Keep the handlers for ever: a member that comes later asks this one.
 */
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import { decodeControl, encodeControl } from '../transport/admission.ts';
import { parseAddress } from '../transport/address.ts';
import type { Channel, Hello, PeerEvent, Transport, Verdict } from '../transport/types.ts';
import { judgeProtocol } from './admission.ts';
import { conflictBetween, decide, sortedInitialCluster } from './bootstrap-decision.ts';
import type { BootstrapFacts, Decision } from './bootstrap-decision.ts';
import {
  MAX_MEMBERS,
  loadClusterMap,
  loadProposal,
  makeClusterMap,
  parseClusterMap,
  stageClusterMap,
  stageProposal,
} from './cluster-map.ts';
import type { ClusterMap } from './cluster-map.ts';
import { commit } from './identity.ts';
import type { Identity } from './identity.ts';

export interface BootstrapOptions {
  readonly store: Store;
  readonly identity: Pick<Identity, 'id' | 'peerId'>;
  readonly name: string;
  /** Names and peer addresses of all first members, this one's among them. Not looked at once the data belongs to a cluster. */
  readonly initialCluster: Readonly<Record<string, string>>;
  /** Told about progress, in sentences. Silent unless given. */
  readonly log?: (message: string) => void;
  /** Stages what else has to be on disk together with the adopted map (log entry 1), in the same synced batch. */
  readonly stage?: (map: ClusterMap) => void;
  /** Runs `task` after `delayMs`; returns what cancels it. Default: setTimeout. */
  readonly schedule?: (delayMs: number, task: () => void) => () => void;
}

/** First byte of a frame on the `client` channel that carries facts; JSON follows. */
const FACTS_FRAME = 0xfa;
const MAX_FACTS_BYTES = 64 * 1024;

const REPEAT_MS = 500;
const LOG_EVERY_MS = 5000;

/** Refusals that no waiting changes: this node cannot become a member as it is. */
const FATAL = ['ERR_MEMBER_REPLACED', 'ERR_BOOTSTRAP_CONFLICT', 'ERR_WRONG_CLUSTER'] as const;

function isFatal(code: string): code is (typeof FATAL)[number] {
  return (FATAL as readonly string[]).includes(code);
}

export class Bootstrap {
  readonly #options: BootstrapOptions;
  readonly #schedule: (delayMs: number, task: () => void) => () => void;
  readonly #initialCluster: [string, string][];
  /** Newest facts of peers that are linked now. */
  readonly #others = new Map<NodeId, BootstrapFacts>();
  /** Why each address is not linked, as far as it is known. */
  readonly #refused = new Map<string, { code: string; message: string }>();
  #proposal: ClusterMap | null;
  #map: ClusterMap | null;
  #transport: Transport | null = null;
  #writing = false;
  #failure: KvorumError | null = null;
  #settle: { resolve(map: ClusterMap): void; reject(error: Error): void } | null = null;
  #cancelRepeat: (() => void) | null = null;
  #sinceLogMs = LOG_EVERY_MS;
  #lastLog = '';

  /** Throws ERR_CONFIG when the initial cluster does not contain this node, or is not one. */
  constructor(options: BootstrapOptions) {
    this.#options = options;
    this.#schedule =
      options.schedule ??
      ((delayMs, task) => {
        const timer = setTimeout(task, delayMs);
        return () => clearTimeout(timer);
      });
    this.#initialCluster = sortedInitialCluster(options.initialCluster);
    this.#map = loadClusterMap(options.store);
    this.#proposal = loadProposal(options.store);
    if (this.#map === null) this.#check();
  }

  /** What this node's data belongs to; null before it is adopted. */
  get map(): ClusterMap | null {
    return this.#map;
  }

  /** This node belongs to a cluster that it did not form with others: one of its own, or one that it was let into. The map is on disk. */
  settled(map: ClusterMap): void {
    this.#map = map;
  }

  /** For `Hello.extra.bootstrap`. */
  facts(): BootstrapFacts {
    const { name, identity } = this.#options;
    const { id, peerId } = identity;
    // With the map all is said; this travels in every Hello.
    if (this.#map !== null) return { name, id, peerId, initialCluster: [], proposal: null, map: this.#map };
    return { name, id, peerId, initialCluster: this.#initialCluster, proposal: this.#proposal, map: null };
  }

  /** The verdict on a peer while this node has no map. Afterwards it is `judgeHello` that judges. */
  judge(hello: Hello): Verdict {
    const protocol = judgeProtocol(hello);
    if (protocol !== null) return protocol;
    const facts = factsOf(hello);
    if (facts === undefined) {
      return {
        ok: false,
        code: 'ERR_BOOTSTRAP_CONFLICT',
        message: `${this.#options.name} is waiting for the first members of its cluster, and ${hello.name} is none`,
      };
    }
    const clash = conflictBetween(this.facts(), facts);
    if (clash === null) return { ok: true };
    // A stranger is only sent away. Between two that wait for each other it cannot be known from here who is wrong: both stop and say why.
    if (this.#map === null && this.#initialCluster.some(([name]) => name === hello.name)) {
      this.#fail(new KvorumError(clash.code, clash.message));
    }
    // A member of a formed cluster is told as news: the verdict is not on it, and it must not take it for one.
    if (facts.map !== null) {
      const message = `${this.#options.name} cannot become a member as it is: ${clash.message}`;
      return { ok: false, code: 'ERR_BOOTSTRAP_CONFLICT', message };
    }
    return { ok: false, code: clash.code, message: clash.message };
  }

  /** True when the frame was one of bootstrap's. */
  frame(from: NodeId, channel: Channel, frame: Uint8Array): boolean {
    if (channel !== 'client' || frame[0] !== FACTS_FRAME) return false;
    const hello = this.#transport?.peer(from)?.hello;
    const value = frame.byteLength <= MAX_FACTS_BYTES ? decodeControl(frame.subarray(1)) : undefined;
    if (hello === undefined || value === undefined) return true;
    const facts = factsOf({ ...hello, extra: { bootstrap: value } });
    if (facts === undefined) return true;
    this.#others.set(from, facts);
    // Who still asks is told; who has a map does not ask.
    if (this.#map !== null && facts.map === null) this.#tell(from);
    this.#consider();
    return true;
  }

  peer(event: PeerEvent): void {
    if (event.type === 'refused') {
      if (this.#initialCluster.some(([, address]) => address === event.address)) {
        this.#refused.set(event.address, event);
        if (this.#settle !== null) this.#onRefused();
      }
      return;
    }
    const { peer } = event;
    if (event.type === 'up') {
      this.#refused.delete(peer.address);
      const facts = factsOf(peer.hello);
      if (facts !== undefined) this.#others.set(peer.id, facts);
      // What changed here between our Hello and now.
      if (this.#map === null || facts?.map === null) this.#tell(peer.id);
      this.#consider();
    } else this.#others.delete(peer.id);
  }

  /**
   * Resolves with the map when it is on disk, at once when it was at the start. Rejects with ERR_BOOTSTRAP_CONFLICT, ERR_MEMBER_REPLACED,
   * ERR_WRONG_CLUSTER or ERR_WRONG_SECRET (all other members refused it), each with what to do; with the signal's reason; or with the store's error.
   */
  async run(transport: Transport, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<ClusterMap> {
    this.#transport = transport;
    signal?.throwIfAborted();
    // Whom to dial is the business of the configuration from here on.
    if (this.#map !== null) return this.#map;
    for (const [name, address] of this.#initialCluster) if (name !== this.#options.name) transport.connect(address);
    try {
      return await new Promise<ClusterMap>((resolve, reject) => {
        this.#settle = { resolve, reject };
        signal?.addEventListener('abort', () => reject(abortReason(signal)), { once: true });
        this.#begin(transport);
      });
    } finally {
      this.#settle = null;
      this.#cancelRepeat?.();
    }
  }

  #begin(transport: Transport): void {
    this.#onRefused();
    if (this.#failure !== null) return this.#fail(this.#failure);
    for (const peer of transport.peers()) {
      const facts = factsOf(peer.hello);
      if (facts !== undefined && !this.#others.has(peer.id)) this.#others.set(peer.id, facts);
    }
    this.#repeat();
    this.#consider();
  }

  #check(): void {
    const { name } = this.#options;
    if (!this.#initialCluster.some(([one]) => one === name)) {
      throw bad(`this node is called ${name}, and the initial cluster has no member of that name`);
    }
    if (this.#initialCluster.length > MAX_MEMBERS) throw bad(`more than ${MAX_MEMBERS} initial members`);
    const addresses = new Map<string, string>();
    for (const [one, address] of this.#initialCluster) {
      parseAddress(address);
      const other = addresses.get(address);
      if (other !== undefined) throw bad(`the initial members ${other} and ${one} have the same address ${address}`);
      addresses.set(address, one);
    }
  }

  /** Does what the facts ask for, one write at a time. */
  #consider(): void {
    if (this.#settle === null || this.#writing || this.#map !== null) return;
    const decision = decide(this.facts(), [...this.#others.values()]);
    switch (decision.type) {
      case 'wait':
        return this.#report(decision);
      case 'conflict':
        return this.#fail(new KvorumError(decision.code, decision.message));
      default:
        void this.#write(decision);
    }
  }

  async #write(decision: Extract<Decision, { type: 'propose' | 'adopt' }>): Promise<void> {
    const { store } = this.#options;
    const { map } = decision;
    this.#writing = true;
    try {
      if (decision.type === 'propose') stageProposal(store, map);
      else {
        stageClusterMap(store, map);
        this.#options.stage?.(map);
      }
      await commit(store);
    } catch (error) {
      this.#settle?.reject(error instanceof Error ? error : new Error(String(error)));
      return;
    } finally {
      this.#writing = false;
    }
    // Told only now: what peers act on has to survive a crash.
    if (decision.type === 'propose') this.#proposal = map;
    else {
      this.#map = map;
      const names = map.members.map(({ name }) => name).join(', ');
      this.#options.log?.(`cluster ${map.clusterId} of ${names} is formed`);
    }
    for (const id of this.#others.keys()) this.#tell(id);
    if (decision.type === 'adopt') this.#settle?.resolve(map);
    else this.#consider();
  }

  #tell(id: NodeId): void {
    const body = encodeControl(this.facts());
    this.#transport?.send(id, 'client', [Uint8Array.of(FACTS_FRAME), body]);
  }

  #repeat(): void {
    this.#cancelRepeat = this.#schedule(REPEAT_MS, () => {
      this.#sinceLogMs += REPEAT_MS;
      for (const id of this.#others.keys()) this.#tell(id);
      this.#consider();
      if (this.#settle !== null) this.#repeat();
    });
  }

  #fail(error: KvorumError): void {
    this.#failure ??= error;
    this.#settle?.reject(error);
  }

  #onRefused(): void {
    const others = this.#initialCluster.filter(([name]) => name !== this.#options.name);
    let wrongSecrets = 0;
    for (const [, address] of others) {
      const refusal = this.#refused.get(address);
      if (refusal === undefined) continue;
      if (isFatal(refusal.code)) return this.#fail(new KvorumError(refusal.code, refusal.message));
      // One peer with another secret is that peer's fault; all of them are ours.
      if (refusal.code === 'ERR_WRONG_SECRET' && ++wrongSecrets === others.length) {
        this.#fail(new KvorumError('ERR_WRONG_SECRET', refusal.message));
      }
    }
  }

  #report({ missing, unbound }: Extract<Decision, { type: 'wait' }>): void {
    const { log } = this.#options;
    if (log === undefined) return;
    const reasons = missing.map((name) => {
      const address = this.#initialCluster.find(([one]) => one === name)?.[1] ?? '';
      const refusal = this.#refused.get(address);
      return `${name} (${address}${refusal === undefined ? '' : `: ${refusal.message}`})`;
    });
    const text =
      missing.length > 0
        ? `waiting for first members: ${reasons.join(', ')}`
        : `waiting for ${unbound.join(', ')} to agree on the first members`;
    if (text === this.#lastLog && this.#sinceLogMs < LOG_EVERY_MS) return;
    this.#lastLog = text;
    this.#sinceLogMs = 0;
    log(text);
  }
}

function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error('aborted');
}

function bad(message: string): KvorumError {
  return new KvorumError('ERR_CONFIG', message);
}

/** The facts in a Hello, or undefined. Name and ids are those of the Hello, which the transport has checked. */
export function factsOf(hello: Hello): BootstrapFacts | undefined {
  const value = hello.extra['bootstrap'];
  if (typeof value !== 'object' || value === null) return undefined;
  const given: { initialCluster?: unknown; proposal?: unknown; map?: unknown } = value;
  const initialCluster: [string, string][] = [];
  if (!Array.isArray(given.initialCluster) || given.initialCluster.length > MAX_MEMBERS) return undefined;
  for (const pair of given.initialCluster as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    const [name, address] = pair as unknown[];
    if (typeof name !== 'string' || typeof address !== 'string' || name.length + address.length > 400) return undefined;
    initialCluster.push([name, address]);
  }
  const proposal = given.proposal === null ? null : parseClusterMap(given.proposal);
  const map = given.map === null ? null : parseClusterMap(given.map);
  if (proposal === undefined || map === undefined) return undefined;
  return { name: hello.name, id: hello.id, peerId: hello.peerId, initialCluster, proposal, map };
}

/** A cluster of one: no links, no waiting. The map is on disk when it resolves. */
export async function bootstrapAlone(options: BootstrapOptions): Promise<ClusterMap> {
  const { store, identity, name, initialCluster, stage } = options;
  const found = loadClusterMap(store);
  if (found !== null) return found;
  const address = initialCluster[name] ?? '';
  const map = makeClusterMap([{ name, address, id: identity.id, peerId: identity.peerId }]);
  stageClusterMap(store, map);
  stage?.(map);
  await commit(store);
  return map;
}
