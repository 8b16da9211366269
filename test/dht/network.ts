/**
 * A network of DHT cores on virtual time, from one seed: the cores that ship, with a hash for ids, signatures that only their owner can make, and messages that take their
 * time or get lost.
 */
import { createHash } from 'node:crypto';

import { createDht } from '../../src/dht/index.ts';
import type {
  Contact,
  Dht,
  DhtEffect,
  DhtId,
  DhtMessage,
  DhtOptions,
  DhtTuning,
  QueryId,
  QueryResult,
  QueryStep,
} from '../../src/dht/index.ts';
import { Agenda } from '../../src/testing/agenda.ts';
import { Random } from '../../src/testing/random.ts';

const ids = new Map<string, DhtId>();

/** SHA-256 of the peer id, remembered: one array a peer in the whole process. */
export function idOf(peerId: string): DhtId {
  const known = ids.get(peerId);
  if (known !== undefined) return known;
  const id = new Uint8Array(createHash('sha256').update(peerId).digest());
  ids.set(peerId, id);
  return id;
}

export function keyOf(name: string): DhtId {
  return new Uint8Array(createHash('sha256').update(`key ${name}`).digest());
}

export function contactOf(peerId: string): Contact {
  return { id: idOf(peerId), peerId, name: peerId, addresses: [`${peerId}:7000`] };
}

/** 32 bits of FNV-1a, twice: in a simulation, nobody but `signer` calls this for a peer. */
export function signatureOf(peerId: string, bytes: Uint8Array): Uint8Array {
  let hash = 0x811c9dc5;
  for (let i = 0; i < peerId.length; i++) hash = Math.imul(hash ^ peerId.charCodeAt(i), 0x01000193);
  let other = hash ^ 0x5bd1e995;
  for (const byte of bytes) {
    hash = Math.imul(hash ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x85ebca6b) ^ (other >>> 13);
  }
  const signature = new Uint8Array(8);
  new DataView(signature.buffer).setInt32(0, hash);
  new DataView(signature.buffer).setInt32(4, other);
  return signature;
}

export function verify(peerId: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  const made = signatureOf(peerId, bytes);
  return signature.length === made.length && made.every((byte, i) => byte === signature[i]);
}

export interface SimNode {
  readonly contact: Contact;
  readonly dht: Dht;
  isAlive: boolean;
  /** In place of the core, for a liar: what it sends back. Null: let the core answer. */
  lie: ((from: Contact, message: DhtMessage) => DhtMessage | null) | null;
  /** When its next tick is on the agenda. */
  tickAtMs: number;
}

export interface NetworkOptions {
  readonly seed: number;
  readonly tuning?: Partial<DhtTuning>;
  /** One way, ms. Default 10 to 100. */
  readonly latencyMs?: readonly [number, number];
  readonly loss?: number;
  readonly accepts?: DhtOptions['accepts'];
}

export class Network {
  readonly agenda = new Agenda();
  readonly random: Random;
  readonly nodes = new Map<string, SimNode>();
  readonly steps: QueryStep[] = [];
  messages = 0;
  /** Sees every message that is sent. */
  onSend: ((from: Contact, to: Contact, message: DhtMessage) => void) | null = null;
  readonly #options: NetworkOptions;
  readonly #waiting = new Map<SimNode, Map<QueryId, (result: QueryResult) => void>>();

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
  }

  get now(): number {
    return this.agenda.now;
  }

  add(peerId: string): SimNode {
    const contact = contactOf(peerId);
    const random = this.random.fork();
    const { tuning, accepts } = this.#options;
    const dht = createDht({
      peerId,
      clusterId: '7',
      idOf,
      sign: (bytes) => signatureOf(peerId, bytes),
      verify,
      random: () => random.float(),
      wallMs: () => this.now,
      ...(tuning === undefined ? {} : { tuning }),
      ...(accepts === undefined ? {} : { accepts }),
    });
    const node: SimNode = { contact, dht, isAlive: true, lie: null, tickAtMs: Infinity };
    this.nodes.set(peerId, node);
    this.drain(node);
    return node;
  }

  node(peerId: string): SimNode {
    const node = this.nodes.get(peerId);
    if (node === undefined) throw new Error(`there is no node ${peerId}`);
    return node;
  }

  /** It is gone at once, and without a word. */
  kill(node: SimNode): void {
    node.isAlive = false;
  }

  /** Nobody will ask for it again: its memory is given back. */
  forget(node: SimNode): void {
    this.nodes.delete(node.contact.peerId);
    this.#waiting.delete(node);
  }

  /** It was only cut off: it is there again, with what it knew. */
  revive(node: SimNode): void {
    node.isAlive = true;
    node.tickAtMs = Infinity;
    this.drain(node);
  }

  introduce(node: SimNode, ...contacts: readonly Contact[]): void {
    for (const contact of contacts) node.dht.addContact(contact, this.now);
    this.drain(node);
  }

  /** Starts a query; `then` is called with its result. */
  ask(node: SimNode, start: (dht: Dht, nowMs: number) => QueryId | null, then: (result: QueryResult) => void): QueryId {
    const query = start(node.dht, this.now);
    if (query === null) throw new Error('too many queries');
    const waiting = this.#waiting.get(node) ?? new Map<QueryId, (result: QueryResult) => void>();
    this.#waiting.set(node, waiting);
    waiting.set(query, then);
    this.drain(node);
    return query;
  }

  /** Starts a query and runs the network until it is over. */
  run(node: SimNode, start: (dht: Dht, nowMs: number) => QueryId | null): QueryResult {
    let result: QueryResult | null = null;
    this.ask(node, start, (given) => (result = given));
    while (result === null) if (!this.agenda.step()) throw new Error('the query never ends');
    return result;
  }

  runUntil(ms: number): void {
    while (this.agenda.nextAt <= ms) this.agenda.step();
    this.agenda.now = ms;
  }

  runFor(ms: number): void {
    this.runUntil(this.now + ms);
  }

  /** Carries out what the core wants done. To be called after every call to it. */
  drain(node: SimNode): void {
    for (const effect of node.dht.takeEffects()) this.#carryOut(node, effect);
    this.#schedule(node);
  }

  send(from: Contact, to: Contact, message: DhtMessage): void {
    this.messages += 1;
    this.onSend?.(from, to, message);
    const { latencyMs: [least, most] = [10, 100], loss = 0 } = this.#options;
    const delay = least + this.random.float() * (most - least);
    if (loss > 0 && this.random.chance(loss)) return;
    const node = this.nodes.get(to.peerId);
    if (node === undefined) return;
    this.agenda.after(delay, () => this.#deliver(node, from, message));
  }

  #deliver(node: SimNode, from: Contact, message: DhtMessage): void {
    if (!node.isAlive) return;
    const lie = node.lie?.(from, message) ?? null;
    if (lie !== null) {
      this.send(node.contact, from, lie);
      return;
    }
    node.dht.receive(from, message, this.now);
    this.drain(node);
  }

  #carryOut(node: SimNode, effect: DhtEffect): void {
    switch (effect.type) {
      case 'send':
        this.send(node.contact, effect.to, effect.message);
        return;
      case 'step':
        this.steps.push(effect);
        return;
      case 'result': {
        const waiting = this.#waiting.get(node);
        const then = waiting?.get(effect.query);
        if (then === undefined) {
          // Over before `ask` knew its id.
          this.agenda.after(0, () => this.#waiting.get(node)?.get(effect.query)?.(effect));
          return;
        }
        waiting?.delete(effect.query);
        then(effect);
      }
    }
  }

  #schedule(node: SimNode): void {
    if (!node.isAlive) return;
    const next = Math.max(this.now, node.dht.nextTickMs());
    if (next >= node.tickAtMs) return;
    node.tickAtMs = next;
    this.agenda.after(next - this.now, () => {
      // One that was scheduled for earlier has taken its place.
      if (node.tickAtMs !== next || !node.isAlive) return;
      node.tickAtMs = Infinity;
      node.dht.tick(this.now);
      this.drain(node);
    });
  }
}

/** What a search ought to find, by sorting everything. */
export function closestBySorting(contacts: Iterable<Contact>, key: DhtId, count: number): Contact[] {
  const distance = (id: DhtId): bigint => {
    let sum = 0n;
    for (const [i, byte] of id.entries()) sum = (sum << 8n) | BigInt(byte ^ (key[i] ?? 0));
    return sum;
  };
  return [...contacts]
    .map((contact) => ({ contact, at: distance(contact.id) }))
    .sort((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0))
    .slice(0, count)
    .map(({ contact }) => contact);
}
