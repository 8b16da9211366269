/**
 * Records that this node keeps for others, of one kind: the newest of each key, or of each key and provider. Bounded in all directions, so that nobody can fill the
 * memory of a node, nor crowd others out: by record, by signer, by key and altogether. When it is full, what lies furthest from this node gives way, because
 * others keep it too.
 */
import { compareDistance, idText } from './id.ts';
import { compareRecords, sameRecord } from './record.ts';
import type { DhtId, DhtTuning, RecordKind, SignedRecord, StoreRefusal } from './types.ts';

export interface Held {
  readonly record: SignedRecord;
  /** By the monotonic clock, from what was left of its life when it came: a clock that jumps makes no record immortal. */
  readonly expiresMs: number;
  /** When it is to be handed on, unless somebody else does before. */
  replicateMs: number;
}

interface Share {
  records: number;
  bytes: number;
}

type StoreTuning = Pick<
  DhtTuning,
  'maxRecords' | 'maxStoredBytes' | 'maxRecordsPerPeer' | 'maxBytesPerPeer' | 'maxProvidersPerKey'
>;

export class RecordStore {
  readonly #kind: RecordKind;
  readonly #self: DhtId;
  readonly #tuning: StoreTuning;
  readonly #byKey = new Map<string, Held[]>();
  readonly #shares = new Map<string, Share>();
  #records = 0;
  #bytes = 0;

  constructor(kind: RecordKind, self: DhtId, tuning: StoreTuning) {
    this.#kind = kind;
    this.#self = self;
    this.#tuning = tuning;
  }

  get size(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  find(key: DhtId, nowMs: number): readonly SignedRecord[] {
    const held = this.#byKey.get(idText(key));
    return held === undefined ? [] : held.filter(({ expiresMs }) => expiresMs > nowMs).map(({ record }) => record);
  }

  /** What is kept in place of the record; it is replaced when the record is newer. */
  rival(record: SignedRecord): Held | undefined {
    return this.#byKey.get(idText(record.key))?.find((held) => this.#isRival(held.record, record));
  }

  /** Whether it would be taken, by what costs nothing to find out. */
  refusal(record: SignedRecord, nowMs: number): StoreRefusal | null {
    const rival = this.rival(record);
    if (rival !== undefined && rival.expiresMs > nowMs && compareRecords(record, rival.record) < 0) return 'older';
    const { maxRecordsPerPeer, maxBytesPerPeer, maxProvidersPerKey, maxRecords, maxStoredBytes } = this.#tuning;
    const bytes = record.value.length;
    const share = this.#shares.get(record.peerId);
    const own = rival?.record.peerId === record.peerId ? rival.record : null;
    const ownRecords = (share?.records ?? 0) - (own === null ? 0 : 1);
    const ownBytes = (share?.bytes ?? 0) - (own?.value.length ?? 0);
    if (ownRecords + 1 > maxRecordsPerPeer || ownBytes + bytes > maxBytesPerPeer) return 'peer-limit';
    if (rival === undefined) {
      const shelf = this.#byKey.get(idText(record.key))?.length ?? 0;
      if (this.#kind === 'provider' && shelf >= maxProvidersPerKey) return 'full';
    }
    const isFull =
      this.#records + (rival === undefined ? 1 : 0) > maxRecords ||
      this.#bytes + bytes - (rival?.record.value.length ?? 0) > maxStoredBytes;
    if (!isFull) return null;
    const furthest = this.#furthest(rival);
    // One goes for one that comes, so it has to make enough room.
    const makesRoom =
      furthest !== null &&
      compareDistance(this.#self, record.key, furthest.record.key) < 0 &&
      this.#bytes + bytes - (rival?.record.value.length ?? 0) - furthest.record.value.length <= maxStoredBytes;
    return makesRoom ? null : 'full';
  }

  /** To be called with what `refusal` did not refuse. */
  keep(record: SignedRecord, expiresMs: number, replicateMs: number): void {
    const rival = this.rival(record);
    if (rival !== undefined) {
      if (sameRecord(rival.record, record)) {
        rival.replicateMs = replicateMs;
        return;
      }
      this.#drop(rival);
    }
    const { maxRecords, maxStoredBytes } = this.#tuning;
    if (this.#records + 1 > maxRecords || this.#bytes + record.value.length > maxStoredBytes) {
      const furthest = this.#furthest(undefined);
      if (furthest !== null) this.#drop(furthest);
    }
    const text = idText(record.key);
    const shelf = this.#byKey.get(text);
    const held: Held = { record, expiresMs, replicateMs };
    if (shelf === undefined) this.#byKey.set(text, [held]);
    else shelf.push(held);
    this.#count(record, 1);
  }

  expire(nowMs: number): void {
    const gone: Held[] = [];
    for (const held of this.held()) if (held.expiresMs <= nowMs) gone.push(held);
    for (const held of gone) this.#drop(held);
  }

  *held(): Generator<Held> {
    for (const shelf of this.#byKey.values()) yield* shelf;
  }

  #isRival(kept: SignedRecord, record: SignedRecord): boolean {
    return this.#kind === 'value' || kept.peerId === record.peerId;
  }

  #furthest(except: Held | undefined): Held | null {
    let furthest: Held | null = null;
    for (const held of this.held()) {
      if (held === except) continue;
      if (furthest === null || compareDistance(this.#self, held.record.key, furthest.record.key) > 0) furthest = held;
    }
    return furthest;
  }

  #drop(held: Held): void {
    const text = idText(held.record.key);
    const shelf = this.#byKey.get(text) ?? [];
    if (shelf.length <= 1) this.#byKey.delete(text);
    else shelf.splice(shelf.indexOf(held), 1);
    this.#count(held.record, -1);
  }

  #count({ peerId, value }: SignedRecord, sign: 1 | -1): void {
    this.#records += sign;
    this.#bytes += sign * value.length;
    const share = this.#shares.get(peerId) ?? { records: 0, bytes: 0 };
    share.records += sign;
    share.bytes += sign * value.length;
    if (share.records === 0) this.#shares.delete(peerId);
    else this.#shares.set(peerId, share);
  }
}
