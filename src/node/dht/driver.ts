/**
 * Joins the DHT core to time, network and identity. For whoever is a peer of a cluster, with a replica or without one.
 *
 *     const dht = new DhtDriver({ env, identity, clusterId, links, peer, addressesOf });
 *     dht.addContact({ peerId, name, addresses });   // who is known by other means
 *     dht.frame(from, bytes);                        // what comes on 'dht'
 *     const { records } = await dht.get('user/greeting', { timeoutMs: 4000 });
 *     dht.close();                                   // what is under way is rejected
 *
 * What others may store, and what is believed of them, is rules.ts.
 */
import { createDht, parseContact } from '../../dht/index.ts';
import type { Contact, Dht, DhtEffect, DhtStats, DhtTuning, QueryId, QueryResult, QueryStep } from '../../dht/index.ts';
import { KvorumError } from '../../errors.ts';
import type { NodeId } from '../../raft/types.ts';
import type { Peer } from '../../transport/types.ts';
import { DueTimer } from '../due-timer.ts';
import type { Environment } from '../env.ts';
import type { Identity } from '../identity.ts';
import type { LinkPool } from '../links.ts';
import { Signatures } from '../signatures.ts';
import { encodeEnvelope, MAX_RECORD_BYTES } from './envelope.ts';
import { decodeDht, encodeDht } from './frames.ts';
import { dhtIdOf, keyOf } from './names.ts';
import { objection, type Objection } from './rules.ts';

export interface DhtDriverOptions {
  readonly env: Pick<Environment, 'now' | 'wallTime' | 'random' | 'after'>;
  readonly identity: Identity;
  readonly clusterId: string;
  readonly links: Pick<LinkPool, 'send'>;
  /** Who is at the other end of a link; undefined while there is none. */
  readonly peer: (id: NodeId) => Peer | undefined;
  /** Where a peer is to be found beside what the DHT says of it: as gossip has it. */
  readonly addressesOf?: (id: NodeId) => readonly string[];
  /** Gossip takes this peer for alive, and tells of all that it hears of: as `DhtOptions.vouches`. */
  readonly isAlive?: (id: NodeId) => boolean;
  readonly tuning?: Partial<DhtTuning>;
}

export interface Known {
  readonly peerId: string;
  readonly name: string;
  /** HOST:PORT, the best first. */
  readonly addresses: readonly string[];
}

export interface DriverQuery {
  /** Disjoint paths, 1 to 8. Default 1. */
  readonly paths?: number;
  /** Tell of every request. Default false. */
  readonly trace?: boolean;
  /** Of the search; what it is stored for takes up to two seconds more. Default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface Publication {
  /** With its namespace: names.ts. */
  readonly name: string;
  readonly body: Uint8Array;
  /** Default: a wall clock that never goes back. */
  readonly seq?: number;
  /** How long it lives. Default 24 h for a value, 30 min for a provider. */
  readonly ttlMs?: number;
  /** Publish it again before it expires, for as long as this node runs, or until it is retracted. */
  readonly republish: boolean;
}

export interface Finding {
  readonly result: QueryResult;
  /** Null when they were not asked for. */
  readonly steps: readonly QueryStep[] | null;
}

interface Waiting {
  readonly resolve: (finding: Finding) => void;
  readonly reject: (error: Error) => void;
  readonly steps: QueryStep[] | null;
  /** Nobody aborts it any more. */
  readonly release: () => void;
}

/** Life of a record that stands in the place of one that is retracted: as long as that may live with somebody who was not reached, and would give it back. */
const RETRACTED_MS = 30 * 60_000;

/** Much of what is put comes by way of one node, which signs it: that one may have a quarter of what a node keeps. */
const TUNING = { maxRecordBytes: MAX_RECORD_BYTES, maxRecordsPerPeer: 1024, maxBytesPerPeer: 2 * 2 ** 20 };

/** Null: there are as many queries as the core has room for. */
type Start = (nowMs: number) => QueryId | null;

export class DhtDriver {
  readonly #options: DhtDriverOptions;
  readonly #core: Dht;
  readonly #signatures: Signatures;
  readonly #waiting = new Map<QueryId, Waiting>();
  readonly #objections: Partial<Record<Objection, number>> = {};
  readonly #timer: DueTimer;
  #lastSeq = 0;
  #malformed = 0;
  #unsent = 0;
  #closed = false;

  constructor(options: DhtDriverOptions) {
    this.#options = options;
    const { env, identity, clusterId, isAlive, tuning } = options;
    const signatures = new Signatures(identity.privateKey);
    this.#signatures = signatures;
    const rules = { idOf: (peerId: string) => signatures.idOf(peerId), wallMs: () => env.wallTime() };
    this.#core = createDht({
      peerId: identity.peerId,
      clusterId,
      idOf: dhtIdOf,
      sign: (bytes) => signatures.sign(bytes),
      verify: (peerId, bytes, signature) => signatures.verify(peerId, bytes, signature),
      random: () => env.random(),
      wallMs: () => env.wallTime(),
      accepts: (record) => {
        const reason = objection(record, rules);
        if (reason !== null) this.#objections[reason] = (this.#objections[reason] ?? 0) + 1;
        return reason === null;
      },
      ...(isAlive !== undefined && { vouches: (peerId) => isAlive(signatures.idOf(peerId) ?? '') }),
      tuning: { ...TUNING, ...tuning },
    });
    this.#timer = new DueTimer({
      env,
      due: () => this.#core.nextTickMs(),
      run: () => {
        this.#core.tick(env.now());
        this.#turn();
      },
    });
  }

  /** Frames that were no messages. */
  get malformed(): number {
    return this.#malformed;
  }

  /** Messages that were not sent: nobody knows where the peer is, or its queue is full. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Records that were not accepted, by reason. */
  get objections(): Readonly<Partial<Record<Objection, number>>> {
    return this.#objections;
  }

  /** Queries that somebody waits for. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** For what is published next. Grows over restarts too, and where the wall clock goes back as long as this one runs. */
  nextSeq(): number {
    this.#lastSeq = Math.max(Math.floor(this.#options.env.wallTime()), this.#lastSeq + 1);
    return this.#lastSeq;
  }

  stats(): DhtStats {
    return this.#core.stats();
  }

  /** Id of a peer; null for what is no peer id. */
  idOf(peerId: string): NodeId | null {
    return this.#signatures.idOf(peerId);
  }

  /** A peer of whom it is known that it is there. The first one is the way in. */
  addContact(known: Known): void {
    if (this.#closed || known.peerId === this.#options.identity.peerId) return;
    this.#core.addContact(contactOf(known), this.#options.env.now());
    this.#turn();
  }

  /** It has left, and said so. */
  removeContact(peerId: string): void {
    if (!this.#closed) this.#core.removeContact(peerId);
  }

  /** Something came from a peer that was authenticated and admitted. Never throws: what is no message is counted and dropped. */
  frame(from: NodeId, bytes: Uint8Array): void {
    if (this.#closed) return;
    const peer = this.#options.peer(from);
    if (peer === undefined) return;
    const message = decodeDht(bytes);
    if (message === null) {
      this.#malformed++;
      return;
    }
    const { peerId, name, address } = peer.hello;
    const contact = contactOf({ peerId, name, addresses: address === '' ? [] : [address] });
    this.#core.receive(contact, message, this.#options.env.now());
    this.#turn();
  }

  // Queries. All reject with ERR_OVERLOADED, ERR_CLOSED, or the reason of their signal.

  /** The closest nodes to a name. */
  lookup(name: string, query: DriverQuery = {}): Promise<Finding> {
    return this.#query((nowMs) => this.#core.lookup(keyOf(name), nowMs, optionsOf(query)), query);
  }

  /** The newest value of a name. */
  get(name: string, query: DriverQuery = {}): Promise<Finding> {
    return this.#query((nowMs) => this.#core.get(keyOf(name), nowMs, optionsOf(query)), query);
  }

  providers(name: string, query: DriverQuery = {}): Promise<Finding> {
    return this.#query((nowMs) => this.#core.findProviders(keyOf(name), nowMs, optionsOf(query)), query);
  }

  /** Signs a value and stores it. Rejects with ERR_TOO_LARGE, ERR_INVALID_ARGUMENT too. */
  put(publication: Publication, query: DriverQuery = {}): Promise<Finding> {
    return this.#query((nowMs) => this.#core.put(this.#draftOf(publication), nowMs, optionsOf(query)), query);
  }

  /** As `put`, for what several provide. */
  provide(publication: Publication, query: DriverQuery = {}): Promise<Finding> {
    return this.#query((nowMs) => this.#core.provide(this.#draftOf(publication), nowMs, optionsOf(query)), query);
  }

  /**
   * Says something of this node itself, as `put` or `provide`. When its own record of before is newer, because its clock was ahead in another life, that one is outdone: nobody else could tell
   * where it is now.
   */
  async publish(kind: 'put' | 'provide', publication: Publication, query: DriverQuery = {}): Promise<Finding> {
    const finding = await this[kind](publication, query);
    if (finding.result.refused.older === undefined) return finding;
    const { name } = publication;
    const known = await (kind === 'put' ? this.get(name, query) : this.providers(name, query));
    const own = known.result.records.filter(({ peerId }) => peerId === this.#options.identity.peerId);
    const newest = Math.max(...own.map(({ seq }) => seq));
    if (own.length === 0 || newest < this.#lastSeq) return finding;
    this.#lastSeq = newest;
    return await this[kind](publication, query);
  }

  /** Provides no more, and tells those who keep the record. */
  retract(name: string, query: DriverQuery = {}): Promise<Finding> {
    this.#core.withdraw('provider', keyOf(name));
    return this.publish('provide', { name, body: new Uint8Array(0), ttlMs: RETRACTED_MS, republish: false }, query);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.cancel();
    for (const [query, { reject, release }] of this.#waiting) {
      this.#core.cancel(query);
      release();
      reject(closed());
    }
    this.#waiting.clear();
  }

  #draftOf({ name, body, seq, ttlMs, republish }: Publication) {
    const written = { key: keyOf(name), value: encodeEnvelope({ name, body }), seq: seq ?? this.nextSeq(), republish };
    return ttlMs === undefined ? written : { ...written, ttlMs };
  }

  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async #query(start: Start, { signal, trace }: DriverQuery): Promise<Finding> {
    signal?.throwIfAborted();
    if (this.#closed) throw closed();
    const query = start(this.#options.env.now());
    if (query === null) {
      // What the core said no to may have left effects all the same.
      this.#turn();
      throw new KvorumError('ERR_OVERLOADED', 'too many queries of the DHT are under way on this node');
    }
    const { promise, resolve, reject } = Promise.withResolvers<Finding>();
    const onAbort = (): void => {
      this.#waiting.delete(query);
      this.#core.cancel(query);
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the caller's own reason
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const release = (): void => signal?.removeEventListener('abort', onAbort);
    this.#waiting.set(query, { resolve, reject, steps: trace === true ? [] : null, release });
    this.#turn();
    return promise;
  }

  // What the core wants done.

  #turn(): void {
    // What cannot be sent makes the core ask somebody else: each contact once, so this ends.
    for (let effects = this.#core.takeEffects(); effects.length > 0; effects = this.#core.takeEffects()) {
      for (const effect of effects) this.#carryOut(effect);
    }
    if (!this.#closed) this.#timer.arm();
  }

  #carryOut(effect: DhtEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect);
      case 'step':
        this.#waiting.get(effect.query)?.steps?.push(effect);
        return;
      case 'result': {
        const waiting = this.#waiting.get(effect.query);
        if (waiting === undefined) return;
        this.#waiting.delete(effect.query);
        waiting.release();
        waiting.resolve({ result: effect, steps: waiting.steps });
      }
    }
  }

  #send({ to, message }: Extract<DhtEffect, { type: 'send' }>): void {
    const { links, env } = this.#options;
    const id = this.#signatures.idOf(to.peerId);
    const isRequest = REQUESTS.has(message.type);
    // An answer goes back on the link that the request came on: who is gone is not dialled for it.
    const addresses = (): readonly string[] => (isRequest && id !== null ? this.#addressesOf(id, to) : []);
    if (id !== null && links.send(id, 'dht', encodeDht(message), addresses)) return;
    this.#unsent++;
    if (isRequest) this.#core.requestFailed(message.rpc, env.now());
  }

  #addressesOf(id: NodeId, { addresses }: Contact): readonly string[] {
    return [...new Set([...addresses, ...(this.#options.addressesOf?.(id) ?? [])])];
  }
}

const REQUESTS: ReadonlySet<string> = new Set(['Ping', 'FindNode', 'FindRecords', 'Store']);

/** What a peer says of itself is passed on to others, who refuse an answer in which anything is beyond its limit: then it comes without name and addresses. */
function contactOf({ peerId, name, addresses }: Known): Contact {
  const id = dhtIdOf(peerId);
  return parseContact({ id, peerId, name, addresses }) ?? { id, peerId, name: '', addresses: [] };
}

function optionsOf({ paths, trace, timeoutMs }: DriverQuery) {
  return {
    ...(paths !== undefined && { paths }),
    ...(trace !== undefined && { trace }),
    ...(timeoutMs !== undefined && { deadlineMs: timeoutMs }),
  };
}

function closed(): KvorumError {
  return new KvorumError('ERR_CLOSED', 'the node is closed');
}
