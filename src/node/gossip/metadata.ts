/** What a node says of itself in words of its owner (`--metadata zone=b`): a few short strings by name. */
import { KvorumError } from '../../errors.ts';
import { LIMITS } from '../../gossip/index.ts';

export type Metadata = Readonly<Record<string, string>>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
const MAX_VALUE_CHARACTERS = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Throws ERR_CONFIG with what is wrong. */
export function encodeMetadata(metadata: Metadata): Uint8Array {
  const names = Object.keys(metadata);
  if (names.length === 0) return new Uint8Array(0);
  for (const name of names) {
    if (!NAME.test(name)) {
      throw bad(`a name in metadata is 1 to 63 letters, digits, '.', '_', '/' or '-', not ${JSON.stringify(name)}`);
    }
    const value: unknown = metadata[name];
    if (typeof value !== 'string' || value.length > MAX_VALUE_CHARACTERS) {
      throw bad(`metadata.${name} must be a string of at most ${MAX_VALUE_CHARACTERS} characters`);
    }
  }
  const bytes = encoder.encode(JSON.stringify(metadata));
  if (bytes.length > LIMITS.metadataBytes) {
    throw bad(`metadata takes ${bytes.length} bytes, at most ${LIMITS.metadataBytes} are passed on`);
  }
  return bytes;
}

/** Null for none, and for what is not of this form: a later version may say more. */
export function decodeMetadata(bytes: Uint8Array): Metadata | null {
  if (bytes.length === 0) return null;
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    // Written by somebody else, and of use to people only.
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const entries = Object.entries(value) as [string, unknown][];
  const isText = (entry: [string, unknown]): entry is [string, string] =>
    NAME.test(entry[0]) && typeof entry[1] === 'string' && entry[1].length <= MAX_VALUE_CHARACTERS;
  return entries.every(isText) ? Object.fromEntries(entries) : null;
}

function bad(message: string): KvorumError {
  return new KvorumError('ERR_CONFIG', message);
}
