/**
 * What is registered: one instance of a service is one key under a reserved prefix, with a JSON value, on a lease. So whatever keys can do instances can:
 * they are watched, written once, and gone when their lease is.
 */
import { KvorumError } from '../../errors.ts';
import { textOf, utf8 } from '../bytes.ts';

/** Reserved. Below it: NAME/INSTANCE, in which `%` is written %25 and `/` is written %2F. */
export const SERVICES_PREFIX = '_kvorum/services/';

/** Bytes of the name of a service, and of the id of an instance. */
export const MAX_NAME_BYTES = 512;
export const MAX_ADDRESS_BYTES = 512;
export const MAX_VERSION_BYTES = 128;
export const MAX_NOTE_BYTES = 512;
/** Of the metadata, as JSON. */
export const MAX_METADATA_BYTES = 4096;
export const MAX_WEIGHT = 1000;
/** Of one service: who reads it has them all in memory. */
export const MAX_INSTANCES = 10_000;

/** From best to worst. */
export const STATUSES = ['passing', 'warning', 'critical'] as const;

/** `passing` gets work, `warning` is told apart and gets none (it starts, or drains), `critical` is ill. */
export type InstanceStatus = (typeof STATUSES)[number];

/** What an instance says of itself. */
export interface InstanceRecord {
  /** Where it is reached: HOST:PORT, or a URL. Up to 512 bytes. */
  readonly address: string;
  /** Up to 128 bytes, null for none. */
  readonly version: string | null;
  /** Its part of the work: 1 to 1000, a whole number. */
  readonly weight: number;
  /** A JSON object of up to 4 KiB. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: InstanceStatus;
  /** Why it has that status. Up to 512 bytes, null for nothing. */
  readonly note: string | null;
  /** Id of the node or agent in whose process it runs, null for none: how that is by gossip tells of the instance before its lease does. */
  readonly node: string | null;
}

export interface ServiceInstance extends InstanceRecord {
  /** Of the service. */
  readonly name: string;
  /** Its id, of which there is one in a service. */
  readonly instance: string;
  /** With which it goes; null when somebody wrote it by hand, without one. */
  readonly lease: string | null;
  /** Since when there is one of this id; another one that takes its place without a gap has the same, and another lease. */
  readonly createRevision: number;
  /** Of what it said last. */
  readonly modRevision: number;
}

/** What a service is at one revision. */
export interface ServiceView {
  readonly name: string;
  readonly revision: number;
  /** In the order of their ids, as bytes. */
  readonly instances: readonly ServiceInstance[];
}

/** As keys are stored, the key as text. */
export interface StoredInstance {
  readonly key: string;
  readonly value: Uint8Array;
  readonly lease: string | null;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** What the keys of all instances of a service begin with. */
export function servicePrefix(name: string): string {
  return `${SERVICES_PREFIX}${segment(name)}/`;
}

export function instanceKey(name: string, instance: string): string {
  return servicePrefix(name) + segment(instance);
}

/** The keys of services after `name`, in the order of their keys. */
export function servicesAfter(name: string | null): string {
  // '0' is what comes after '/'.
  return name === null ? SERVICES_PREFIX : `${SERVICES_PREFIX}${segment(name)}0`;
}

/** Where the keys of services end. */
export const SERVICES_END = `${SERVICES_PREFIX.slice(0, -1)}0`;

/** Null for a key that is no instance's: somebody wrote it by hand. */
export function namesOfKey(key: string): { readonly name: string; readonly instance: string } | null {
  if (!key.startsWith(SERVICES_PREFIX)) return null;
  const [name, instance, ...rest] = key.slice(SERVICES_PREFIX.length).split('/').map(unsegment);
  if (!name || !instance || rest.length > 0) return null;
  return instanceKey(name, instance) === key ? { name, instance } : null;
}

export function encodeRecord({ address, version, weight, metadata, status, note, node }: InstanceRecord): string {
  return JSON.stringify({ address, version, weight, metadata, status, note, node });
}

/** Null for what cannot be read: nobody shall be kept from the others by a key that somebody wrote by hand. */
export function instanceOf({ key, value, lease, createRevision, modRevision }: StoredInstance): ServiceInstance | null {
  const names = namesOfKey(key);
  const text = names === null ? null : textOf(value);
  if (names === null || text === null) return null;
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    // SyntaxError: the one thing that it tells.
    return null;
  }
  if (typeof read !== 'object' || read === null) return null;
  const given = read as Partial<InstanceRecord>;
  const { address, version = null, weight = 1, metadata = {}, status, note = null, node = null } = given;
  const record = { address, version, weight, metadata, status, note, node } as InstanceRecord;
  return recordFault(record) === null ? { ...names, ...record, lease, createRevision, modRevision } : null;
}

/** Throws ERR_INVALID_ARGUMENT (`details.option`). */
export function checkRecord(record: InstanceRecord): void {
  const fault = recordFault(record);
  if (fault !== null) throw invalid(fault[0], fault[1]);
}

/** Throws ERR_INVALID_ARGUMENT (`details.option`) for what is empty, longer than 512 bytes, or cannot stand in a path. */
export function checkName(option: 'name' | 'instance', text: string): void {
  const fault = textFault(text, MAX_NAME_BYTES, 1) ?? (text === '.' || text === '..' ? 'cannot stand in a path' : null);
  if (fault !== null) throw invalid(option, fault);
}

export function checkStatus(status: InstanceStatus, note: string | null): void {
  const fault = statusFault(status, note);
  if (fault !== null) throw invalid(fault[0], fault[1]);
}

export function invalid(option: string, reason: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `${option} ${reason}`, { details: { option } });
}

type Fault = readonly [option: string, reason: string];

const DECIMAL_ID = /^\d{1,20}$/u;

function recordFault({ address, version, weight, metadata, status, note, node }: InstanceRecord): Fault | null {
  const wrong = textFault(address, MAX_ADDRESS_BYTES, 1);
  if (wrong !== null) return ['address', wrong];
  const unversioned = version === null ? null : textFault(version, MAX_VERSION_BYTES, 1);
  if (unversioned !== null) return ['version', unversioned];
  if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) {
    return ['weight', `must be a whole number from 1 to ${MAX_WEIGHT}`];
  }
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    return ['metadata', 'must be an object'];
  }
  if (node !== null && (typeof node !== 'string' || !DECIMAL_ID.test(node))) {
    return ['node', 'must be the id of a node: decimal digits, as text'];
  }
  const unreadable = metadataFault(metadata);
  return unreadable === null ? statusFault(status, note) : ['metadata', unreadable];
}

function metadataFault(metadata: object): string | null {
  try {
    return textFault(JSON.stringify(metadata), MAX_METADATA_BYTES, 0);
  } catch {
    // A circle, or a number that JSON has no word for.
    return 'cannot be written as JSON';
  }
}

function statusFault(status: InstanceStatus, note: string | null): Fault | null {
  if (!STATUSES.includes(status)) return ['status', `must be ${STATUSES.join(' or ')}`];
  const wrong = note === null ? null : textFault(note, MAX_NOTE_BYTES, 0);
  return wrong === null ? null : ['note', wrong];
}

function textFault(text: unknown, maxBytes: number, minLength: 0 | 1): string | null {
  if (typeof text !== 'string') return 'must be text';
  if (text.length < minLength) return 'is empty';
  if (/\p{Surrogate}/u.test(text)) return 'has a lone surrogate, which UTF-8 cannot write';
  return text.length > maxBytes || utf8(text).length > maxBytes ? `is longer than ${maxBytes} bytes` : null;
}

function segment(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('/', '%2F');
}

function unsegment(text: string): string {
  return text.replaceAll('%2F', '/').replaceAll('%25', '%');
}
