/**
 * What a record of the DHT holds: its name, of which its key is only the hash, and a body. One version byte, then msgpack `[name, body]`. Whoever keeps a record
 * reads the name to know who may write it.
 */
import { Packr } from 'msgpackr';
import { isPlain } from '../plain.ts';

const VERSION = 1;

/** Of the body. */
export const MAX_BODY_BYTES = 4096;

/** Of the whole: a body of the largest size under the longest name, and their lengths. */
export const MAX_RECORD_BYTES = MAX_BODY_BYTES + 1024;

export interface Envelope {
  readonly name: string;
  /** Empty in a provider record: it provides no more. */
  readonly body: Uint8Array;
}

const packr = new Packr({ useRecords: false });

export function encodeEnvelope({ name, body }: Envelope): Uint8Array {
  const packed = packr.pack([name, body]);
  const bytes = new Uint8Array(1 + packed.length);
  bytes[0] = VERSION;
  bytes.set(packed, 1);
  return bytes;
}

/** Null for what is none, or of another version. Never throws. The body is a copy. */
export function decodeEnvelope(bytes: Uint8Array): Envelope | null {
  const packed = bytes.subarray(1);
  if (bytes[0] !== VERSION || !isPlain(packed)) return null;
  const fields: unknown = packr.unpack(packed);
  if (!Array.isArray(fields) || fields.length !== 2) return null;
  const [name, body] = fields as [unknown, unknown];
  if (typeof name !== 'string' || !(body instanceof Uint8Array) || body.length > MAX_BODY_BYTES) return null;
  return { name, body: new Uint8Array(body) };
}
