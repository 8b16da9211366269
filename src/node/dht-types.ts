/** The DHT of a cluster, as its users see it: where things are, as a hint. */
import type { Outcome, QueryCost, QueryStep, StoreRefusal } from '../dht/index.ts';
import type { MemberRole } from '../gossip/index.ts';
import type { CallOptions, Value } from './call-types.ts';

export type DhtOutcome = Outcome;
export type DhtCost = QueryCost;

/** What a node says of itself. */
export interface NodeCard {
  readonly id: string;
  readonly name: string;
  readonly role: MemberRole;
  /** HOST:PORT of the peer port, the best first. */
  readonly addresses: readonly string[];
  /** URL of its HTTP API, null without. */
  readonly http: string | null;
}

/** `timeoutMs`: what is known when it is over is the answer, with outcome `deadline`. Default 4,000, at most 60,000. */
export interface DhtQueryOptions extends CallOptions {
  /** Disjoint paths, 1 to 8: more cost more requests, and outwit more peers that lie. Default 1. */
  readonly paths?: number;
  /** Tell of every request. Default false. */
  readonly trace?: boolean;
}

export interface DhtPutOptions extends DhtQueryOptions {
  /** How long it is kept, 1,000 to 172,800,000 (48 h). Default 24 h. Put it again before: nobody else does. */
  readonly ttlMs?: number;
}

export interface DhtPeer {
  /** Id of the node; null for a peer id that no node can have. */
  readonly id: string | null;
  readonly peerId: string;
  readonly name: string;
  /** HOST:PORT, the best first. */
  readonly addresses: readonly string[];
  /** Its place among the keys: SHA-256 of its peer id, 64 hexadecimal digits. */
  readonly position: string;
}

/** One request that ended. */
export interface DhtStep extends Omit<QueryStep, 'type' | 'query' | 'peer'> {
  readonly peer: DhtPeer;
}

/** How a query went. */
export interface DhtReport {
  /** What was looked for: SHA-256 of the name, 64 hexadecimal digits. */
  readonly target: string;
  readonly outcome: DhtOutcome;
  readonly cost: DhtCost;
  /** Up to 20 nodes that answered, closest first. */
  readonly closest: readonly DhtPeer[];
  /** With `trace`; else null. */
  readonly steps: readonly DhtStep[] | null;
}

/** A signed record, verified. */
export interface DhtRecord {
  readonly name: string;
  readonly value: Uint8Array;
  /** The highest wins. Milliseconds since 1970 on the clock of who wrote it, unless an older clock had to be outdone. */
  readonly seq: number;
  /** Until when it is kept; ms since 1970. */
  readonly notAfterMs: number;
  /** Who signed it: peer id, and id of the node. */
  readonly peerId: string;
  readonly id: string;
}

export interface DhtGetAnswer extends DhtReport {
  /** Null: none of those asked has one, or said so. */
  readonly record: DhtRecord | null;
}

export interface DhtPutAnswer extends DhtReport {
  readonly seq: number;
  /** How many nodes keep it, this one among them if it is one. */
  readonly stored: number;
  /** Why others do not, and how many of each. */
  readonly refused: Readonly<Partial<Record<StoreRefusal, number>>>;
}

export interface DhtProvidersAnswer extends DhtReport {
  /** One a provider. */
  readonly records: readonly DhtRecord[];
}

export interface DhtLookupAnswer extends DhtReport {
  /** Of `{ node }`: what it says of itself; null when none of those asked knows. Of a key: null. */
  readonly node: NodeCard | null;
}

/**
 * The DHT. What it says is a hint: nothing that has to be agreed on is kept in it. It needs no leader and no quorum. All reject with ERR_INVALID_ARGUMENT, ERR_OVERLOADED,
 * ERR_NO_LEADER (the node has not joined its cluster yet), ERR_CLOSED, or the reason of `signal`.
 */
export interface NodeDht {
  /** The newest value that was put under a key: text of 1 to 512 bytes. */
  get(key: string, options?: DhtQueryOptions): Promise<DhtGetAnswer>;
  /**
   * Puts a value of up to 4,096 bytes in the place of the one that is there. Signed by the node that does it; any node of the cluster may. Rejects with ERR_TOO_LARGE too.
   *
   * @example
   * await node.dht.put('greeting', 'hello');
   * const { record } = await node.dht.get('greeting');
   */
  put(key: string, value: Value, options?: DhtPutOptions): Promise<DhtPutAnswer>;
  /** Who provides `group/1` (each value is a NodeCard as JSON), or `service/<name>`. */
  providers(name: string, options?: DhtQueryOptions): Promise<DhtProvidersAnswer>;
  /** The nodes closest to a key, which keep what is put under it; or where the node of an id is. */
  lookup(target: string | { readonly node: string }, options?: DhtQueryOptions): Promise<DhtLookupAnswer>;
}

/** The DHT of a node of one's own, which can speak for it. */
export interface OwnDht extends NodeDht {
  /**
   * Says that this node hosts an instance of a service: `said` is a JSON object as text, what it says of itself; null: it is not hosted here any more. Resolves when that is noted: it is published within a
   * second, under `service/<service>`, and until the node closes. What `client.services.register` registers by the client of an embedded node is hosted by itself.
   */
  host(service: string, instance: string, said: string | null): Promise<void>;
}
