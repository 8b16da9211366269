/** Names and ids in request targets: one segment, percent-encoded UTF-8, decoded once. */
import { Buffer } from 'node:buffer';

import { KvorumError } from '../errors.ts';
import { invalidField, isId } from './body.ts';
import { decodePercent } from './percent.ts';

export const MAX_NAME_BYTES = 512;

const TOO_LONG = `is longer than ${MAX_NAME_BYTES} bytes`;

/**
 * The name that a segment spells. Throws ERR_INVALID_ARGUMENT.
 *
 * @example
 * nameOfSegment('orders%2F42'); // 'orders/42'
 */
export function nameOfSegment(segment: string): string {
  if (segment === '') throw invalid('is empty');
  if (segment.includes('#')) throw invalid('has a bare "#": send it as %23');
  const name = decodePercent(segment);
  if (name === null) throw invalid('is not percent-encoded UTF-8');
  // Whoever tidies paths up on the way would make another resource of it.
  if (name === '.' || name === '..') throw invalid('must not be "." or ".."');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalid(TOO_LONG);
  return name;
}

/** Of a name in a body. Throws ERR_INVALID_ARGUMENT for one that is empty or too long. */
export function checkName(name: string, field: string): void {
  if (name === '') throw invalidField(field, 'is empty');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalidField(field, TOO_LONG);
}

/** The lease id that a segment spells. Throws ERR_INVALID_ARGUMENT. */
export function idOfSegment(segment: string): string {
  if (isId(segment)) return segment;
  throw new KvorumError('ERR_INVALID_ARGUMENT', 'the lease id in the path must be decimal digits');
}

function invalid(reason: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `the name in the path ${reason}`);
}
