/**
 * The vocabulary of the DHT core: contacts, records, messages, queries and what comes out of them.
 *
 * Terms are Kademlia's (Maymounkov & Mazières, IPTPS 2002): k, α, bucket, look-up; a provider is a signed record of its own under a key that
 * many share.
 */

/** 256 bits, 32 bytes: the position of a node or of a key. Never changed in place. */
export type DhtId = Uint8Array;

/** A node as others reach it. Shared by reference all over the core, never changed in place. */
export interface Contact {
  /** `idOf(peerId)`, checked wherever a contact comes in: nobody chooses its position. */
  readonly id: DhtId;
  readonly peerId: string;
  readonly name: string;
  /** HOST:PORT, most preferred first. */
  readonly addresses: readonly string[];
}

/** `value`: one record a key, the newest wins. `provider`: one a key and peer, all are kept. */
export type RecordKind = 'value' | 'provider';

export interface SignedRecord {
  readonly kind: RecordKind;
  readonly key: DhtId;
  /** Opaque to the core. */
  readonly value: Uint8Array;
  /** Highest wins; among equals the greater bytes. */
  readonly seq: number;
  /** Wall-clock time until which it is kept, give or take `clockToleranceMs`; ms since 1970. */
  readonly notAfter: number;
  /** Who signed it. */
  readonly peerId: string;
  /** Of everything above and the cluster id, in the form of `recordBytes()`. */
  readonly signature: Uint8Array;
}

// ---------------------------------------------------------------------------------------------------------------------
// Messages. `rpc` names a request of its sender; whoever answers repeats it.

export interface Ping {
  readonly type: 'Ping';
  readonly rpc: number;
}

export interface FindNode {
  readonly type: 'FindNode';
  readonly rpc: number;
  readonly target: DhtId;
  /** Contacts wanted, 1 to 64: k, or more where many of those that come are dead. */
  readonly count: number;
}

/** FIND_VALUE: records and contacts alike come back, so that a search goes on to the newest record. */
export interface FindRecords {
  readonly type: 'FindRecords';
  readonly rpc: number;
  readonly kind: RecordKind;
  readonly key: DhtId;
  /** As in FindNode. */
  readonly count: number;
}

export interface Store {
  readonly type: 'Store';
  readonly rpc: number;
  readonly record: SignedRecord;
}

export interface Pong {
  readonly type: 'Pong';
  readonly rpc: number;
}

/** To FindNode. */
export interface Nodes {
  readonly type: 'Nodes';
  readonly rpc: number;
  readonly contacts: readonly Contact[];
}

/** To FindRecords. */
export interface Records {
  readonly type: 'Records';
  readonly rpc: number;
  readonly records: readonly SignedRecord[];
  readonly contacts: readonly Contact[];
}

/** To Store. */
export interface Stored {
  readonly type: 'Stored';
  readonly rpc: number;
  /** Null: it is kept. */
  readonly refused: StoreRefusal | null;
}

export type DhtRequest = Ping | FindNode | FindRecords | Store;
export type DhtAnswer = Pong | Nodes | Records | Stored;
export type DhtMessage = DhtRequest | DhtAnswer;

/** Why a record is not kept, or not believed. */
export type StoreRefusal =
  /** More bytes than `maxRecordBytes`. */
  | 'too-large'
  | 'expired'
  /** `notAfter` is further ahead than `maxTtlMs`. */
  | 'too-far-ahead'
  | 'bad-signature'
  /** A newer one is kept. */
  | 'older'
  /** `accepts` of the options said no. */
  | 'not-accepted'
  /** Its signer has as much here as one may have. */
  | 'peer-limit'
  | 'full';

export type Refusal =
  | StoreRefusal
  /** An id that is not its peer's. */
  | 'forged-contact'
  /** An answer that nobody waits for: late, repeated or made up. */
  | 'unsolicited'
  /** An answer of another kind than the request. */
  | 'wrong-answer'
  /** A record under another key or of another kind than was asked for. */
  | 'wrong-key'
  /** A message or contact of this very node. */
  | 'own'
  /** A query or a publication beyond its limit. */
  | 'overloaded';

// ---------------------------------------------------------------------------------------------------------------------
// Queries

/** Names a running query on this node. */
export type QueryId = number;

export type QueryKind = 'lookup' | 'get' | 'put' | 'findProviders' | 'provide';

export interface QueryOptions {
  /** Disjoint paths (S/Kademlia §4.4): no node is asked on two of them. More cost more requests and outwit more liars. Default 1. */
  readonly paths?: number;
  /** Emit a `step` for every request that ended. Default false. */
  readonly trace?: boolean;
  /** Default `queryDeadlineMs`. */
  readonly deadlineMs?: number;
  /** For the search; storing what it is for takes up to k more. Default `maxRequestsPerQuery`; a larger one is cut to it. */
  readonly maxRequests?: number;
}

export interface PutDraft {
  readonly key: DhtId;
  readonly value: Uint8Array;
  readonly seq: number;
  /** How long it lives without being published again. Default `recordTtlMs`. */
  readonly ttlMs?: number;
  /** Publish it again before it expires, until `withdraw`. Default true. */
  readonly republish?: boolean;
}

export interface ProvideDraft {
  readonly key: DhtId;
  /** What those who look for providers get to see: addresses, weight, version. */
  readonly value: Uint8Array;
  /** Default: the wall clock, so that it grows over restarts too. */
  readonly seq?: number;
  /** Default `providerTtlMs`. */
  readonly ttlMs?: number;
  readonly republish?: boolean;
}

export type Outcome =
  /** The k closest that were heard of have answered, or there are fewer and all have. */
  | 'complete'
  /** It would have needed more requests than it may send. */
  | 'exhausted'
  | 'deadline'
  /** Nobody is known, or nobody answered. */
  | 'alone';

export interface QueryCost {
  readonly requests: number;
  /** Requests that got no answer, or that the shell could not send. */
  readonly failures: number;
  /** How deep the closest node that answered was found: 1 for one that this node knew. 0: nobody answered. */
  readonly hops: number;
  readonly elapsedMs: number;
}

export interface QueryResult {
  readonly type: 'result';
  readonly query: QueryId;
  readonly kind: QueryKind;
  readonly key: DhtId;
  readonly outcome: Outcome;
  /** Up to k that answered, closest first. */
  readonly closest: readonly Contact[];
  /** Of `get`: the newest, or nothing. Of `findProviders`: one a provider. All are verified. */
  readonly records: readonly SignedRecord[];
  /** Of `put` and `provide`: how many keep it, this node included. */
  readonly stored: number;
  /** Why others do not. */
  readonly refused: Readonly<Partial<Record<StoreRefusal, number>>>;
  readonly cost: QueryCost;
}

/** One request of a traced query, when it ended. */
export interface QueryStep {
  readonly type: 'step';
  readonly query: QueryId;
  /** From 1, in the order in which they ended. */
  readonly step: number;
  /** Which of the disjoint paths, from 0. */
  readonly path: number;
  readonly peer: Contact;
  /** Position of the highest bit in which peer and key differ, 0 to 255; -1: it is the key. */
  readonly distance: number;
  readonly asked: DhtRequest['type'];
  readonly outcome: 'answered' | 'timeout' | 'failed' | 'refused';
  /** Contacts that came, and how many of them this path had not heard of. */
  readonly contacts: number;
  readonly fresh: number;
  readonly records: number;
  readonly rttMs: number;
}

export type DhtEffect =
  /** To be sent; whether there is a link, or one has to be dialled, is the shell's affair. */
  { readonly type: 'send'; readonly to: Contact; readonly message: DhtMessage } | QueryResult | QueryStep;

// ---------------------------------------------------------------------------------------------------------------------
// The core

export interface DhtTuning {
  /** Contacts a bucket, and nodes that keep a record. At most 64. Default 20. */
  readonly k: number;
  /** Requests in flight on a path. Default 3. */
  readonly alpha: number;
  /** Default 2,000. */
  readonly requestTimeoutMs: number;
  /** A request that waits longer no longer counts among the α: another one goes. Default 500. */
  readonly slowAfterMs: number;
  /** Unanswered requests in a row after which a contact gives way to another. Default 2. */
  readonly maxFailures: number;
  /** Newcomers a full bucket remembers. Default 10. */
  readonly maxReplacements: number;
  /** When a bucket is full, its oldest contact is pinged if it was not heard for this long. Default 300,000. */
  readonly pingIdleMs: number;
  /** A contact that was not heard for this long is pinged by and by, one a bucket and round of upkeep. Default 600,000. */
  readonly probeIdleMs: number;
  /** Default 30,000. */
  readonly queryDeadlineMs: number;
  /** Default 200. */
  readonly maxRequestsPerQuery: number;
  /** Default 8. */
  readonly maxPaths: number;
  /** Queries of callers at once. Default 64. */
  readonly maxQueries: number;
  /** Queries of the core's own upkeep at once, save looking itself up. Default 2. */
  readonly maxUpkeepQueries: number;
  /** Requests without an answer at once; queries wait for room. Default 1,024. */
  readonly maxPendingRequests: number;
  /** A bucket in which nothing was looked up for this long is refreshed (§2.3). Default 3,600,000. */
  readonly refreshIntervalMs: number;
  /** How often the core looks what is due. Default 30,000. */
  readonly upkeepIntervalMs: number;
  /** Who keeps a record hands it on to the k closest this often, unless another did (§2.5). Default 3,600,000. */
  readonly replicateIntervalMs: number;
  /** Default 24 h; published again after a third of it. */
  readonly recordTtlMs: number;
  /** Default 30 min; published again after a third of it. */
  readonly providerTtlMs: number;
  /** No record may live longer. Default 48 h. */
  readonly maxTtlMs: number;
  /** How far the wall clocks of two nodes may differ. Default 60,000. */
  readonly clockToleranceMs: number;
  /** Of a value. At most 65,536. Default 4,096. */
  readonly maxRecordBytes: number;
  /** Records kept for others, of each kind. Default 4,096. */
  readonly maxRecords: number;
  /** Their values, of each kind. Default 8 MiB. */
  readonly maxStoredBytes: number;
  /** Of one signer, of each kind. Default 128. */
  readonly maxRecordsPerPeer: number;
  /** Of one signer, of each kind. Default 256 KiB. */
  readonly maxBytesPerPeer: number;
  /** Default 256. */
  readonly maxProvidersPerKey: number;
  /** In one answer. At most 32. Default 20. */
  readonly maxProvidersPerAnswer: number;
  /** Records and provider records that this node publishes. Default 1,024. */
  readonly maxOwned: number;
}

export interface DhtOptions {
  readonly peerId: string;
  /** Signatures are bound to it: a record of one cluster is worth nothing in another. */
  readonly clusterId: string;
  /** A hash of 256 bits of the peer id, the same on every node. */
  readonly idOf: (peerId: string) => DhtId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  /** Whether the peer made this signature of these bytes. Must not throw. */
  readonly verify: (peerId: string, bytes: Uint8Array, signature: Uint8Array) => boolean;
  /** A uniform number in [0, 1), from the shell's seeded or real source. */
  readonly random: () => number;
  /** The wall clock, ms since 1970: for `notAfter` alone. Everything else goes by the monotonic `nowMs` of the calls. */
  readonly wallMs: () => number;
  /** Who may write what, asked before a signature is checked. Default: every peer under every key. */
  readonly accepts?: (record: SignedRecord) => boolean;
  /**
   * Whether the shell knows by other means that this peer is there: then it is not asked only to find that out. A shell that has this calls `addContact` for all peers that it hears of, and
   * those do the same with this node: so it joins without the look-ups of §2.3. Default: the DHT is on its own.
   */
  readonly vouches?: (peerId: string) => boolean;
  readonly tuning?: Partial<DhtTuning>;
}

export interface DhtStats {
  /** It has found its place: somebody answered its look-up of itself, or it needs none, and not everybody is silent since. */
  readonly joined: boolean;
  readonly contacts: number;
  /** Contacts that did not answer their last request. */
  readonly failing: number;
  readonly replacements: number;
  readonly buckets: number;
  readonly records: number;
  readonly recordBytes: number;
  readonly providers: number;
  readonly providerBytes: number;
  readonly owned: number;
  readonly queries: number;
  readonly upkeepQueries: number;
  readonly pendingRequests: number;
  readonly requestsSent: number;
  readonly answersSent: number;
  readonly answersReceived: number;
  readonly timeouts: number;
  /** Contacts that gave way to others. */
  readonly evicted: number;
  readonly signaturesChecked: number;
  readonly refused: Readonly<Partial<Record<Refusal, number>>>;
}

/**
 * Calls take the time of a monotonic clock. Nothing is returned but ids and views: what has to be done comes from `takeEffects()`, which is to be asked after
 * every call.
 */
export interface Dht {
  readonly id: DhtId;
  /** Lets time-outs, refreshes and publications happen that are due. */
  tick(nowMs: number): void;
  /** When `tick` has something to do next. */
  nextTickMs(): number;
  /** A message of a peer that the transport has authenticated as `from.peerId`. */
  receive(from: Contact, message: DhtMessage, nowMs: number): void;
  /** The shell could not send the request, or the link broke: no need to wait for the time-out. Unknown ids are ignored. */
  requestFailed(rpc: number, nowMs: number): void;
  /** A node that is reachable: a seed, or a peer that was admitted. The first one makes the node join (§2.3). */
  addContact(contact: Contact, nowMs: number): void;
  /** It left, and said so. */
  removeContact(peerId: string): void;
  /** The k closest nodes to a key. Null from this and all below: too many queries at once. */
  lookup(key: DhtId, nowMs: number, options?: QueryOptions): QueryId | null;
  /** The newest record under a key. */
  get(key: DhtId, nowMs: number, options?: QueryOptions): QueryId | null;
  /**
   * Signs a record and stores it at the k closest nodes. Null: not now; what is to be published again is published as soon as there is room.
   * @throws KvorumError ERR_TOO_LARGE, ERR_INVALID_ARGUMENT
   */
  put(draft: PutDraft, nowMs: number, options?: QueryOptions): QueryId | null;
  /**
   * Says that this node provides what the key stands for.
   * @throws KvorumError ERR_TOO_LARGE, ERR_INVALID_ARGUMENT
   */
  provide(draft: ProvideDraft, nowMs: number, options?: QueryOptions): QueryId | null;
  findProviders(key: DhtId, nowMs: number, options?: QueryOptions): QueryId | null;
  /** No longer publishes it again; what is out there expires. False: it was not published. */
  withdraw(kind: RecordKind, key: DhtId): boolean;
  /** The query ends without a result. False: there is none of this id. */
  cancel(query: QueryId): boolean;
  takeEffects(): readonly DhtEffect[];
  /** Up to `count` known contacts, closest to the key first. */
  closest(key: DhtId, count: number): readonly Contact[];
  /** What this node itself keeps under a key, for whomever. */
  kept(kind: RecordKind, key: DhtId): readonly SignedRecord[];
  stats(): DhtStats;
}
