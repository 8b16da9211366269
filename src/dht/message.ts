/**
 * What came over the wire, decoded but not to be trusted: `parseDhtMessage` gives a message in which every field is of its type and every size and count within LIMITS,
 * made anew so that nothing of the frame is held on to, or null.
 */
import { ID_BYTES } from './id.ts';
import { LIMITS } from './limits.ts';
import type { Contact, DhtId, DhtMessage, RecordKind, SignedRecord, StoreRefusal } from './types.ts';

const REFUSALS: ReadonlySet<unknown> = new Set<StoreRefusal>([
  'too-large',
  'expired',
  'too-far-ahead',
  'bad-signature',
  'older',
  'not-accepted',
  'peer-limit',
  'full',
]);

const LONE_SURROGATE = /\p{Surrogate}/u;

type Fields = Readonly<Record<string, unknown>>;

export function parseDhtMessage(value: unknown): DhtMessage | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const { type, rpc } = fields;
  if (!isRpc(rpc)) return null;
  switch (type) {
    case 'Ping':
    case 'Pong':
      return { type, rpc };
    case 'FindNode': {
      const target = parseId(fields['target']);
      const { count } = fields;
      return target === null || !isWanted(count) ? null : { type, rpc, target, count };
    }
    case 'FindRecords': {
      const key = parseId(fields['key']);
      const kind = parseKind(fields['kind']);
      const { count } = fields;
      return key === null || kind === null || !isWanted(count) ? null : { type, rpc, kind, key, count };
    }
    case 'Store': {
      const record = parseRecord(fields['record']);
      return record === null ? null : { type, rpc, record };
    }
    case 'Nodes': {
      const contacts = parseList(fields['contacts'], LIMITS.contacts, parseContact);
      return contacts === null ? null : { type, rpc, contacts };
    }
    case 'Records': {
      const contacts = parseList(fields['contacts'], LIMITS.contacts, parseContact);
      const records = parseList(fields['records'], LIMITS.records, parseRecord);
      if (contacts === null || records === null) return null;
      const bytes = records.reduce((sum, record) => sum + record.value.length, 0);
      return bytes > LIMITS.answerBytes ? null : { type, rpc, records, contacts };
    }
    case 'Stored': {
      const { refused } = fields;
      if (refused !== null && !REFUSALS.has(refused)) return null;
      return { type, rpc, refused: refused as StoreRefusal | null };
    }
    default:
      return null;
  }
}

export function parseContact(value: unknown): Contact | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const id = parseId(fields['id']);
  const { peerId, name } = fields;
  const addresses = parseList(fields['addresses'], LIMITS.addresses, parseAddress);
  if (id === null || addresses === null || !isText(peerId, LIMITS.peerIdChars) || peerId === '') return null;
  return isText(name, LIMITS.nameChars) ? { id, peerId, name, addresses } : null;
}

export function parseRecord(value: unknown): SignedRecord | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const kind = parseKind(fields['kind']);
  const key = parseId(fields['key']);
  const bytes = parseBytes(fields['value'], LIMITS.valueBytes);
  const signature = parseBytes(fields['signature'], LIMITS.signatureBytes);
  const { seq, notAfter, peerId } = fields;
  if (kind === null || key === null || bytes === null || signature === null) return null;
  if (!isCount(seq) || !isCount(notAfter) || !isText(peerId, LIMITS.peerIdChars) || peerId === '') return null;
  return { kind, key, value: bytes, seq, notAfter, peerId, signature };
}

function fieldsOf(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function parseList<T>(value: unknown, limit: number, parse: (item: unknown) => T | null): T[] | null {
  if (!Array.isArray(value) || value.length > limit) return null;
  const list: T[] = [];
  for (const item of value as readonly unknown[]) {
    const parsed = parse(item);
    if (parsed === null) return null;
    list.push(parsed);
  }
  return list;
}

/** A copy: what a decoder gives may be a view of its frame. */
function parseBytes(value: unknown, limit: number): Uint8Array | null {
  return value instanceof Uint8Array && value.length <= limit ? new Uint8Array(value) : null;
}

function parseId(value: unknown): DhtId | null {
  return value instanceof Uint8Array && value.length === ID_BYTES ? new Uint8Array(value) : null;
}

function parseKind(value: unknown): RecordKind | null {
  return value === 'value' || value === 'provider' ? value : null;
}

function parseAddress(value: unknown): string | null {
  return isText(value, LIMITS.addressChars) ? value : null;
}

/** Lone surrogates have no bytes in UTF-8: two peer ids with them would be signed as one. */
function isText(value: unknown, limit: number): value is string {
  return typeof value === 'string' && value.length <= limit && !LONE_SURROGATE.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isWanted(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= LIMITS.contacts;
}

function isRpc(value: unknown): value is number {
  return isCount(value) && value < 2 ** 32;
}
