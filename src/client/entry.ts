/** Entries as the client gives them: keys as text, values as the codec makes them. */
import type { ByteKey, RawEntry, RawKeyEntry } from './api.ts';
import { bytesOfByteKey, textOfByteKey } from './bytes.ts';
import { decoded } from './codec.ts';
import type { Codec } from './codec.ts';

export interface KeyEntry {
  /** Empty for a key that is not UTF-8, which `keyBytes` alone can tell: an empty key is refused wherever it is used. */
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Revision of the put that made the key, since its last deletion. */
  readonly createRevision: number;
  /** Revision of the last put. */
  readonly modRevision: number;
  /** Puts since it was made, that one counted. */
  readonly version: number;
  /** Id of the lease that it hangs on, null for none. */
  readonly lease: string | null;
}

export interface Entry<V = string> extends KeyEntry {
  readonly value: V;
  /** Media type given with the put. */
  readonly contentType: string;
}

/** `keyBytes` is made when it is asked for, and does not stand in the way when an entry is printed or written as JSON. */
class StoredKey implements KeyEntry {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string | null;
  readonly #key: ByteKey;

  constructor({ key, createRevision, modRevision, version, lease }: RawKeyEntry) {
    this.key = textOfByteKey(key) ?? '';
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.lease = lease;
    this.#key = key;
  }

  get keyBytes(): Uint8Array {
    return bytesOfByteKey(this.#key);
  }
}

class StoredEntry<V> extends StoredKey implements Entry<V> {
  readonly value: V;
  readonly contentType: string;

  constructor(raw: RawEntry, value: V) {
    super(raw);
    this.value = value;
    this.contentType = raw.contentType ?? 'application/octet-stream';
  }
}

export function keyEntryOf(raw: RawKeyEntry): KeyEntry {
  return new StoredKey(raw);
}

/** Rejects ERR_INVALID_ARGUMENT (`details.key`) when the codec cannot read the value. */
export async function entryOf<V>(raw: RawEntry, codec: Codec<V, never>): Promise<Entry<V>> {
  return new StoredEntry(raw, await decoded(codec, raw.value, textOfByteKey(raw.key) ?? ''));
}

export async function entryOrNull<V>(raw: RawEntry | null, codec: Codec<V, never>): Promise<Entry<V> | null> {
  return raw === null ? null : entryOf(raw, codec);
}

/** Of a list that has values. */
export function entriesOf<V>(raws: readonly (RawEntry | RawKeyEntry)[], codec: Codec<V, never>): Promise<Entry<V>[]> {
  return Promise.all(raws.map((raw) => entryOf(raw as RawEntry, codec)));
}
