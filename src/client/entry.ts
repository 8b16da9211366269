/** Entries as the client gives them: keys as text, values as the codec makes them. */
import type { RawEntry, RawKeyEntry } from './api.ts';
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

export function keyEntryOf({ key, createRevision, modRevision, version, lease }: RawKeyEntry): KeyEntry {
  return {
    key: textOfByteKey(key) ?? '',
    keyBytes: bytesOfByteKey(key),
    createRevision,
    modRevision,
    version,
    lease,
  };
}

/** Rejects ERR_INVALID_ARGUMENT (`details.key`) when the codec cannot read the value. */
export async function entryOf<V>(raw: RawEntry, codec: Codec<V, never>): Promise<Entry<V>> {
  const { key, keyBytes, createRevision, modRevision, version, lease } = keyEntryOf(raw);
  const value = await decoded(codec, raw.value, key);
  const contentType = raw.contentType ?? 'application/octet-stream';
  return { key, keyBytes, value, createRevision, modRevision, version, lease, contentType };
}

export async function entryOrNull<V>(raw: RawEntry | null, codec: Codec<V, never>): Promise<Entry<V> | null> {
  return raw === null ? null : entryOf(raw, codec);
}

/** Of a list that has values. */
export function entriesOf<V>(raws: readonly (RawEntry | RawKeyEntry)[], codec: Codec<V, never>): Promise<Entry<V>[]> {
  return Promise.all(raws.map((raw) => entryOf(raw as RawEntry, codec)));
}
