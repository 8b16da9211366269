/** What the parts of the core share: whom it knows, what it keeps, what it waits for, and the effects that come up. */
import type { Entry } from './bucket.ts';
import { compareDistance, equalBytes } from './id.ts';
import { recordBytes, sameRecord } from './record.ts';
import type { UnsignedRecord } from './record.ts';
import { RecordStore } from './record-store.ts';
import { Requests } from './requests.ts';
import type { Pending } from './requests.ts';
import { RoutingTable } from './routing-table.ts';
import { tuningOf } from './tuning.ts';
import type {
  Contact,
  DhtEffect,
  DhtId,
  DhtOptions,
  DhtTuning,
  RecordKind,
  Refusal,
  SignedRecord,
  StoreRefusal,
} from './types.ts';

const MAX_NEWCOMERS = 256;

/** Unanswered requests in a row after which a contact that nobody replaces is forgotten. */
const FORGET_FAILURES = 5;

export class DhtState {
  readonly options: DhtOptions;
  readonly tuning: DhtTuning;
  readonly id: DhtId;
  readonly table: RoutingTable;
  readonly requests: Requests;
  readonly stores: Readonly<Record<RecordKind, RecordStore>>;
  readonly refused: Partial<Record<Refusal, number>> = {};
  readonly counts = {
    requestsSent: 0,
    answersSent: 0,
    answersReceived: 0,
    timeouts: 0,
    evicted: 0,
    signaturesChecked: 0,
  };
  nowMs = 0;
  /** When anybody last answered a request. */
  answeredMs = 0;
  /** Contacts that came in since the upkeep last looked: they may be among those who have to keep what this node keeps (§2.5). */
  readonly newcomers = new Map<string, Contact>();
  #effects: DhtEffect[] = [];

  constructor(options: DhtOptions) {
    this.options = options;
    this.tuning = tuningOf(options.tuning);
    this.id = options.idOf(options.peerId);
    this.table = new RoutingTable(this.id, this.tuning);
    this.requests = new Requests(this.tuning, Math.floor(options.random() * 2 ** 32));
    this.stores = {
      value: new RecordStore('value', this.id, this.tuning),
      provider: new RecordStore('provider', this.id, this.tuning),
    };
  }

  /** A clock that goes back stands still here. */
  clock(nowMs: number): void {
    if (nowMs > this.nowMs) this.nowMs = nowMs;
  }

  emit(effect: DhtEffect): void {
    this.#effects.push(effect);
  }

  takeEffects(): readonly DhtEffect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  refuse(reason: Refusal): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** The contact is somebody else, and where its peer id puts it. */
  isGenuine(contact: Contact): boolean {
    if (contact.peerId === this.options.peerId) return false;
    if (equalBytes(this.options.idOf(contact.peerId), contact.id)) return true;
    this.refuse('forged-contact');
    return false;
  }

  /** A message came from it. The oldest of a full bucket is asked whether it is still there, so that the newcomer gets its chance (§2.2). */
  heard(contact: Contact): void {
    const hearing = this.table.heard(contact, this.nowMs);
    if (hearing === 'known') return;
    if (hearing === 'added') {
      // Beyond this many, records reach them when they are next replicated.
      if (this.newcomers.size < MAX_NEWCOMERS) this.newcomers.set(contact.peerId, contact);
      return;
    }
    const oldest = this.table.bucketOf(contact.id)?.entries[0];
    if (oldest !== undefined && this.nowMs - oldest.heardMs >= this.tuning.pingIdleMs) this.probe(oldest);
  }

  /**
   * It did not answer. When another waits for its place, it is asked once more at once; otherwise by and by, until it is forgotten (§4.1: after five requests). Nobody is forgotten
   * while nobody answers: somebody has to have answered since it was silent the time before.
   */
  failed(contact: Contact): void {
    const bucket = this.table.bucketOf(contact.id);
    const entry = bucket?.find(contact.peerId);
    const isHeard = entry !== undefined && this.answeredMs > entry.failedMs;
    if (this.table.failed(contact, this.nowMs)) {
      this.counts.evicted += 1;
      return;
    }
    if (bucket === undefined || entry === undefined) return;
    if (entry.failures >= FORGET_FAILURES && isHeard) {
      bucket.remove(contact.peerId);
      this.counts.evicted += 1;
    } else if (bucket.replacements.length > 0) {
      this.probe(entry);
    }
  }

  /** Asks a contact whether it is there, unless that was asked already, or the shell knows it. */
  probe(entry: Entry): void {
    const { contact, failures } = entry;
    // The shell may be wrong of one that does not answer here.
    if (failures === 0 && this.options.vouches?.(contact.peerId) === true) this.table.heard(contact, this.nowMs);
    else if (!entry.pinged) entry.pinged = this.ping(entry.contact);
  }

  ping(contact: Contact): boolean {
    if (this.requests.isFull) return false;
    const { rpc } = this.request(contact, 'Ping', null, null);
    this.emit({ type: 'send', to: contact, message: { type: 'Ping', rpc } });
    return true;
  }

  /** Notes a request, which the caller sends. There has to be room for it. */
  request(to: Contact, asked: Pending['asked'], query: Pending['query'], search: Pending['search']): Pending {
    this.counts.requestsSent += 1;
    return this.requests.add(to, asked, query, search, this.nowMs);
  }

  sign(record: UnsignedRecord): SignedRecord {
    return { ...record, signature: this.options.sign(recordBytes(this.options.clusterId, record)) };
  }

  /** Null: it may be believed. What costs nothing is asked first. */
  disbelief(record: SignedRecord): StoreRefusal | null {
    const { maxRecordBytes, maxTtlMs, clockToleranceMs } = this.tuning;
    if (record.value.length > maxRecordBytes) return 'too-large';
    const leftMs = record.notAfter - this.options.wallMs();
    if (leftMs <= -clockToleranceMs) return 'expired';
    if (leftMs > maxTtlMs + clockToleranceMs) return 'too-far-ahead';
    if (this.options.accepts?.(record) === false) return 'not-accepted';
    return this.#isSigned(record) ? null : 'bad-signature';
  }

  /** Keeps a record, or says why not. */
  keep(record: SignedRecord): StoreRefusal | null {
    const store = this.stores[record.kind];
    const rival = store.rival(record);
    // Stored again, which happens more often than not: its signature was good the first time.
    const isKnown = rival !== undefined && rival.expiresMs > this.nowMs && sameRecord(rival.record, record);
    const refused = isKnown ? null : (store.refusal(record, this.nowMs) ?? this.disbelief(record));
    if (refused !== null) {
      this.refuse(refused);
      return refused;
    }
    const leftMs = record.notAfter + this.tuning.clockToleranceMs - this.options.wallMs();
    store.keep(record, this.nowMs + leftMs, this.nowMs + this.replicateDelayMs());
    return null;
  }

  /** Spread, so that of all who keep a record one comes first and spares the others the work (§2.5). */
  replicateDelayMs(): number {
    return this.tuning.replicateIntervalMs * (1 + 0.25 * this.options.random());
  }

  /** Whether this node is one of the k closest, when these are the others. */
  isAmong(closest: readonly Contact[], key: DhtId): boolean {
    const last = closest[this.tuning.k - 1];
    return last === undefined || compareDistance(key, this.id, last.id) < 0;
  }

  isCloser(key: DhtId, contact: Contact): boolean {
    return compareDistance(key, this.id, contact.id) < 0;
  }

  #isSigned(record: SignedRecord): boolean {
    this.counts.signaturesChecked += 1;
    return this.options.verify(record.peerId, recordBytes(this.options.clusterId, record), record.signature);
  }
}
