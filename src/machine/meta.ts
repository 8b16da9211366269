/**
 * The meta record, at the state key `m`: what the machine remembers besides keys. Written once a unit, so it is fixed binary fields and the last
 * configuration entry's bytes as they came.
 *
 * ```
 * u8 format = 2 · u32 checksum (XXH32 of all after it) · u16 featureLevel · f64 appliedIndex · f64 appliedTerm · f64 revision · f64 time
 * · f64 compactedRevision · f64 keepRevisions · u32 ×2 digest · configuration entry (may be empty)
 * ```
 */
import { KvorumError } from '../errors.ts';
import { xxh32 } from '../kv/checksum.ts';
import type { KvState } from '../kv/types.ts';

const META = 0x6d;
/** Of all of the state, as it were: 2 since the answers of a session lie in one record. Format 1 was never released. */
const FORMAT = 2;
const CHECKED_FROM = 5;
const FIXED_BYTES = 63;

export interface MetaRecord {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly time: number;
  readonly featureLevel: number;
  readonly kv: KvState;
  /** Data of the last configuration entry; empty before the first. */
  readonly configurationData: Uint8Array;
}

export function metaKey(): Uint8Array {
  return Uint8Array.of(META);
}

export function isMetaKey(key: Uint8Array): boolean {
  return key.length === 1 && key[0] === META;
}

export function encodeMeta(meta: MetaRecord): Uint8Array {
  const { kv, configurationData } = meta;
  const bytes = new Uint8Array(FIXED_BYTES + configurationData.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FORMAT);
  view.setUint16(5, meta.featureLevel);
  view.setFloat64(7, meta.appliedIndex);
  view.setFloat64(15, meta.appliedTerm);
  view.setFloat64(23, kv.revision);
  view.setFloat64(31, meta.time);
  view.setFloat64(39, kv.compactedRevision);
  view.setFloat64(47, kv.keepRevisions);
  view.setUint32(55, kv.digest[0]);
  view.setUint32(59, kv.digest[1]);
  bytes.set(configurationData, FIXED_BYTES);
  view.setUint32(1, xxh32(view, CHECKED_FROM, bytes.length, META));
  return bytes;
}

/** Copies what it keeps. Throws ERR_CORRUPT for a damaged record, ERR_DATA_VERSION for one of a later format. */
export function decodeMeta(bytes: Uint8Array): MetaRecord {
  if (bytes.length < FIXED_BYTES) throw new KvorumError('ERR_CORRUPT', 'The meta record of the state is too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(1) !== xxh32(view, CHECKED_FROM, bytes.length, META)) {
    throw new KvorumError('ERR_CORRUPT', 'The meta record of the state fails its checksum');
  }
  const format = view.getUint8(0);
  if (format !== FORMAT) {
    throw new KvorumError(
      'ERR_DATA_VERSION',
      `The meta record of the state has format ${format}; this version reads ${FORMAT}`,
    );
  }
  return {
    featureLevel: view.getUint16(5),
    appliedIndex: view.getFloat64(7),
    appliedTerm: view.getFloat64(15),
    time: view.getFloat64(31),
    kv: {
      revision: view.getFloat64(23),
      compactedRevision: view.getFloat64(39),
      keepRevisions: view.getFloat64(47),
      digest: [view.getUint32(55), view.getUint32(59)],
    },
    // Of a Buffer, `slice` would be a view.
    configurationData: new Uint8Array(bytes.subarray(FIXED_BYTES)),
  };
}
