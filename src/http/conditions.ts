/** If-Match and If-None-Match. An entity tag is a quoted modRevision, and strong: `"7"`. */
import type { IncomingHttpHeaders } from 'node:http';

import { KvorumError } from '../errors.ts';
import type { Condition } from '../kv/types.ts';

const ETAG = /^"(0|[1-9]\d{0,15})"$/u;

export function etagOf(modRevision: number): string {
  return `"${modRevision}"`;
}

/**
 * The condition of a PUT or DELETE, undefined for none. Throws ERR_INVALID_ARGUMENT for what cannot be meant: a write is
 * never made under another condition than its sender wrote, so weak tags, lists and tags of other systems are refused
 * rather than failed.
 */
export function conditionOf(headers: IncomingHttpHeaders): Condition | undefined {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (match === undefined && noneMatch === undefined) return undefined;
  if (match !== undefined && noneMatch !== undefined) throw invalid('If-Match and If-None-Match exclude each other');
  if (noneMatch !== undefined) {
    if (noneMatch === '*') return { type: 'absent' };
    throw invalid('If-None-Match on a write must be *');
  }
  if (match === '*') return { type: 'exists' };
  return { type: 'modRevision', revision: revisionOfTag(match ?? '') };
}

/** If-Match of a read: undefined, or whether `modRevision` (null: no such key) satisfies it. */
export function satisfiesMatch(header: string, modRevision: number | null): boolean {
  const wanted = header === '*' ? null : revisionOfTag(header);
  return modRevision !== null && (wanted === null || wanted === modRevision);
}

/** If-None-Match of a read: true when the client has this version already. Lists and weak tags are fine (RFC 9110 §13.1.2). */
export function hasVersion(header: string, modRevision: number): boolean {
  const tag = etagOf(modRevision);
  if (header === tag || header === '*') return true;
  return header.split(',').some((item) => item.trim().replace(/^W\//u, '') === tag);
}

function revisionOfTag(header: string): number {
  const match = ETAG.exec(header);
  const revision = match === null ? Number.NaN : Number(match[1]);
  if (!Number.isSafeInteger(revision)) {
    throw invalid('If-Match must be * or one strong entity tag as a GET or PUT gave it, such as "7" with its quotes');
  }
  return revision;
}

function invalid(message: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', message);
}
