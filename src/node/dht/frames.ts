/**
 * DHT messages as bytes, one frame a message, on the transport's `dht` channel: one version byte, then a msgpack array `[type, rpc, field, …]`. The sender is not
 * in the frame: it is who noise has authenticated.
 *
 * ```
 * 1 Ping         2 Pong         3 FindNode     target, count              4 Nodes    [contact, …]
 * 5 FindRecords  kind, key, count              6 Records  [record, …], [contact, …]
 * 7 Store        record         8 Stored       '' or why not
 * contact  [id, peer id, name, [address, …]]   record  [kind, key, value, seq, notAfter, peer id, signature]   kind  1 value, 2 provider
 * ```
 */
import { Packr } from 'msgpackr';
import { parseDhtMessage } from '../../dht/index.ts';
import type { Contact, DhtMessage, RecordKind, SignedRecord } from '../../dht/index.ts';
import { DEFAULT_LIMITS } from '../../transport/limits.ts';
import { isPlain } from '../plain.ts';

const VERSION = 1;

const TYPES = ['Ping', 'Pong', 'FindNode', 'Nodes', 'FindRecords', 'Records', 'Store', 'Stored'] as const;

const packr = new Packr({ useRecords: false });

/**
 * The parts of one frame. An answer that is larger than a frame may be names fewer contacts and records, the furthest first: the contacts of others are of any size
 * within LIMITS.
 */
export function encodeDht(message: DhtMessage, maxBytes = DEFAULT_LIMITS.maxFrameBytes.dht): Uint8Array[] {
  const body = packr.pack(toWire(message));
  if (1 + body.length <= maxBytes) return [Uint8Array.of(VERSION), body];
  const less = lessOf(message);
  return less === null ? [Uint8Array.of(VERSION), body] : encodeDht(less, maxBytes);
}

/** Null for what is no message, or of another version. Never throws. */
export function decodeDht(frame: Uint8Array): DhtMessage | null {
  const body = frame.subarray(1);
  if (frame[0] !== VERSION || !isPlain(body)) return null;
  const fields: unknown = packr.unpack(body);
  return Array.isArray(fields) ? parseDhtMessage(fromWire(fields as unknown[])) : null;
}

function lessOf(message: DhtMessage): DhtMessage | null {
  switch (message.type) {
    case 'Nodes': {
      const { contacts } = message;
      return contacts.length === 0 ? null : { ...message, contacts: contacts.slice(0, contacts.length >> 1) };
    }
    case 'Records': {
      const { contacts, records } = message;
      if (contacts.length > 0) return { ...message, contacts: contacts.slice(0, contacts.length >> 1) };
      return records.length <= 1 ? null : { ...message, records: records.slice(0, records.length >> 1) };
    }
    default:
      return null;
  }
}

function toWire(message: DhtMessage): unknown[] {
  const head = [TYPES.indexOf(message.type) + 1, message.rpc];
  switch (message.type) {
    case 'Ping':
    case 'Pong':
      return head;
    case 'FindNode':
      return [...head, message.target, message.count];
    case 'Nodes':
      return [...head, message.contacts.map(contactToWire)];
    case 'FindRecords':
      return [...head, kindToWire(message.kind), message.key, message.count];
    case 'Records':
      return [...head, message.records.map(recordToWire), message.contacts.map(contactToWire)];
    case 'Store':
      return [...head, recordToWire(message.record)];
    case 'Stored':
      return [...head, message.refused ?? ''];
  }
}

/** With names in the place of places; whether they are what they should be is the parser's to say. */
function fromWire([type, rpc, a, b, c]: readonly unknown[]): unknown {
  const name = typeof type === 'number' ? TYPES[type - 1] : undefined;
  switch (name) {
    case undefined:
      return null;
    case 'Ping':
    case 'Pong':
      return { type: name, rpc };
    case 'FindNode':
      return { type: name, rpc, target: a, count: b };
    case 'Nodes':
      return { type: name, rpc, contacts: listFromWire(a, contactFromWire) };
    case 'FindRecords':
      return { type: name, rpc, kind: kindFromWire(a), key: b, count: c };
    case 'Records':
      return {
        ...{ type: name, rpc },
        records: listFromWire(a, recordFromWire),
        contacts: listFromWire(b, contactFromWire),
      };
    case 'Store':
      return { type: name, rpc, record: recordFromWire(a) };
    case 'Stored':
      return { type: name, rpc, refused: a === '' ? null : a };
  }
}

function contactToWire({ id, peerId, name, addresses }: Contact): unknown[] {
  return [id, peerId, name, addresses];
}

function contactFromWire(value: unknown): unknown {
  if (!Array.isArray(value)) return null;
  const [id, peerId, name, addresses] = value as unknown[];
  return { id, peerId, name, addresses };
}

function recordToWire({ kind, key, value, seq, notAfter, peerId, signature }: SignedRecord): unknown[] {
  return [kindToWire(kind), key, value, seq, notAfter, peerId, signature];
}

function recordFromWire(fields: unknown): unknown {
  if (!Array.isArray(fields)) return null;
  const [kind, key, value, seq, notAfter, peerId, signature] = fields as unknown[];
  return { kind: kindFromWire(kind), key, value, seq, notAfter, peerId, signature };
}

function listFromWire(value: unknown, read: (item: unknown) => unknown): unknown {
  return Array.isArray(value) ? (value as unknown[]).map(read) : null;
}

function kindToWire(kind: RecordKind): number {
  return kind === 'value' ? 1 : 2;
}

function kindFromWire(value: unknown): RecordKind | null {
  return value === 1 ? 'value' : value === 2 ? 'provider' : null;
}
