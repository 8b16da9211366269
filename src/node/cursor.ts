/** List cursors: opaque to users, they pin a revision and carry the place and the total of the first page. */
import { KvorumError } from '../errors.ts';
import type { ByteKey } from '../kv/types.ts';

export interface Cursor {
  readonly revision: number;
  /** Last key given. */
  readonly after: ByteKey;
  readonly start: ByteKey;
  readonly end: ByteKey | null;
  /** Keys in the whole range at that revision. */
  readonly count: number;
}

const VERSION = 1;

export function encodeCursor({ revision, after, start, end, count }: Cursor): string {
  return Buffer.from(JSON.stringify([VERSION, revision, count, after, start, end]), 'utf8').toString('base64url');
}

/** Throws ERR_INVALID_ARGUMENT for anything that `encodeCursor` did not make. */
export function decodeCursor(text: string): Cursor {
  const bad = (): KvorumError =>
    new KvorumError('ERR_INVALID_ARGUMENT', 'the cursor is not one that this API gave out');
  let fields: unknown;
  try {
    fields = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    // Not JSON: the same answer as for any other nonsense.
    throw bad();
  }
  if (!Array.isArray(fields) || fields.length !== 6 || fields[0] !== VERSION) throw bad();
  const [, revision, count, after, start, end] = fields as unknown[];
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  const isKey = (value: unknown): value is string => typeof value === 'string' && /^[\u0000-\u00ff]*$/u.test(value);
  if (!isCount(revision) || !isCount(count) || !isKey(after) || !isKey(start) || !(end === null || isKey(end))) {
    throw bad();
  }
  return { revision, count, after, start, end };
}
