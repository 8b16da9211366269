/** Who may write what in the DHT: asked of every record, before its signature is looked at, by everybody who is to keep or to believe it. */
import { Buffer } from 'node:buffer';
import type { SignedRecord } from '../../dht/index.ts';
import { decodeCard } from './card.ts';
import { decodeEnvelope } from './envelope.ts';
import { keyOf, kindOf, parseName } from './names.ts';

/** Why a record is not accepted. */
export type Objection =
  /** Its value has no name, or is of another version. */
  | 'bad-envelope'
  /** No name of any kind that is known here. */
  | 'unknown-name'
  /** Its key is not the hash of its name. */
  | 'wrong-key'
  /** A value where providers are, or the other way round. */
  | 'wrong-kind'
  /** It speaks for another node than the one that signed it. */
  | 'not-its-own'
  /** What it says of a node is not what a node says of itself. */
  | 'bad-card'
  /** Its seq is further ahead than any clock: it could not be replaced for long. */
  | 'seq-ahead';

export const OBJECTIONS: readonly Objection[] = [
  'bad-envelope',
  'unknown-name',
  'wrong-key',
  'wrong-kind',
  'not-its-own',
  'bad-card',
  'seq-ahead',
];

/** `seq` is a wall clock, and those of two nodes may differ by so much at most. */
export const MAX_SEQ_AHEAD_MS = 86_400_000;

export interface RuleSources {
  /** Null for what is no peer id. */
  readonly idOf: (peerId: string) => string | null;
  readonly wallMs: () => number;
}

/** Null: it may be kept, if it is signed. */
export function objection(record: SignedRecord, { idOf, wallMs }: RuleSources): Objection | null {
  const envelope = decodeEnvelope(record.value);
  if (envelope === null) return 'bad-envelope';
  const name = parseName(envelope.name);
  if (name === null) return 'unknown-name';
  if (Buffer.compare(record.key, keyOf(envelope.name)) !== 0) return 'wrong-key';
  if (record.kind !== kindOf(name)) return 'wrong-kind';
  if (record.seq > wallMs() + MAX_SEQ_AHEAD_MS) return 'seq-ahead';
  const signer = idOf(record.peerId);
  if (signer === null) return 'not-its-own';
  if (name.space === 'node' && name.id !== signer) return 'not-its-own';
  // Empty: it provides no more.
  const isCard = name.space === 'node' || (name.space === 'group' && envelope.body.length > 0);
  if (!isCard) return null;
  const card = decodeCard(envelope.body);
  if (card === null) return 'bad-card';
  if (card.id !== signer) return 'not-its-own';
  // Who has no replica provides none.
  return name.space === 'group' && card.role === 'agent' ? 'bad-card' : null;
}
