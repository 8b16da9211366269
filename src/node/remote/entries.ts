/** Entries, batches of a watch, and errors as they travel: arrays, in the order written here. */
import { KvorumError, type ErrorCode, ERRORS } from '../../errors.ts';
import type { KvEntry } from '../../kv/types.ts';
import type { WatchBatch, WatchEvent } from '../coordination.ts';
import { malformed, packr } from './protocol.ts';

export function encodeEntry(entry: KvEntry): unknown[] {
  const { key, value, createRevision, modRevision, version, lease, contentType } = entry;
  return [key, value, createRevision, modRevision, version, lease, contentType];
}

/** `frame`: that it came in. A value that is a small piece of it gets memory of its own, or who keeps the value would keep the frame. */
export function decodeEntry(fields: unknown, frameBytes: number): KvEntry {
  if (!Array.isArray(fields) || typeof fields[0] !== 'string' || !(fields[1] instanceof Uint8Array)) {
    throw malformed('entry');
  }
  const [key, value, createRevision, modRevision, version, lease, contentType] = fields as [
    string,
    Uint8Array,
    number,
    number,
    number,
    string | null,
    string | null,
  ];
  return {
    key,
    value: value.length * 2 < frameBytes ? new Uint8Array(value) : value,
    createRevision,
    modRevision,
    version,
    lease,
    contentType,
  };
}

/** What was there before, in an answer: undefined when it was not asked for. */
export function encodePrev(prev: KvEntry | null | undefined): unknown {
  if (prev === undefined) return null;
  return prev === null ? false : encodeEntry(prev);
}

export function decodePrev(field: unknown, frameBytes: number): KvEntry | null | undefined {
  if (field === undefined || field === null) return undefined;
  return field === false ? null : decodeEntry(field, frameBytes);
}

/** A batch is cut after about so many bytes: what one transaction or one deletion of a range changed may be larger than a frame. */
const PART_BYTES = 1024 * 1024;

/**
 * Encoded batches, for as long as the node keeps the batch for those who watch the same: a thousand watchers cost one encoding.
 */
const encoded = new WeakMap<WatchBatch, readonly Uint8Array[]>();

/** msgpack [revision, more to come?, event, …], in as many parts as it takes. */
export function encodeBatch(batch: WatchBatch): readonly Uint8Array[] {
  let parts = encoded.get(batch);
  if (parts === undefined) {
    parts = batchParts(batch);
    encoded.set(batch, parts);
  }
  return parts;
}

function batchParts({ revision, events }: WatchBatch): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let part: unknown[] = [revision, false];
  let bytes = 0;
  for (const event of events) {
    if (bytes >= PART_BYTES) {
      part[1] = true;
      parts.push(packr.pack(part));
      part = [revision, false];
      bytes = 0;
    }
    part.push(encodeEvent(event));
    bytes += event.entry.value.length + (event.prev?.value.length ?? 0) + 2 * event.entry.key.length + 64;
  }
  parts.push(packr.pack(part));
  return parts;
}

function encodeEvent({ type, entry, prev }: WatchEvent): unknown[] {
  const fields: unknown[] = [type === 'put' ? 0 : 1, encodeEntry(entry)];
  if (prev !== undefined) fields.push(encodePrev(prev));
  return fields;
}

export interface BatchPart {
  readonly revision: number;
  readonly more: boolean;
  readonly events: WatchEvent[];
}

export function decodeBatchPart(bytes: unknown): BatchPart {
  if (!(bytes instanceof Uint8Array)) throw malformed('batch');
  const fields: unknown = packr.unpack(bytes);
  if (!Array.isArray(fields) || typeof fields[0] !== 'number') throw malformed('batch');
  const events: WatchEvent[] = [];
  for (let i = 2; i < fields.length; i++) {
    const event = fields[i] as unknown;
    if (!Array.isArray(event)) throw malformed('event');
    const type = event[0] === 0 ? 'put' : 'delete';
    const entry = decodeEntry(event[1], Infinity);
    const prev = decodePrev(event[2], Infinity);
    events.push(prev === undefined ? { type, entry } : { type, entry, prev });
  }
  return { revision: fields[0], more: fields[1] === true, events };
}

/** [code, message, outcome, details] */
export function encodeError(error: KvorumError): unknown[] {
  const { code, message, outcome, details } = error;
  return [code, message, outcome === 'none' ? null : true, Object.keys(details).length === 0 ? null : details];
}

/** An unknown code (of a newer node) becomes ERR_INTERNAL. */
export function decodeError(fields: readonly unknown[], from: number): KvorumError {
  const code = fields[from];
  const message = fields[from + 1];
  const details = fields[from + 3];
  const known = typeof code === 'string' && Object.hasOwn(ERRORS, code);
  return new KvorumError(known ? (code as ErrorCode) : 'ERR_INTERNAL', typeof message === 'string' ? message : '', {
    outcome: fields[from + 2] === true ? 'unknown' : 'none',
    details: typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {},
  });
}
