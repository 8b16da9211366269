/**
 * Join tokens: tickets with which a node that does not have the cluster's secret is let in, for a while.
 *
 *     kvt1.<base64url of the claims>.<base64url of the key>
 *
 *     claims  {"v":1,"cluster":"<cluster id>","exp":<wall clock, ms>,"role":"voter"|"learner"|"agent"|null,"nonce":"<16 bytes, base64url>"}
 *     key     HMAC-SHA256(secret, "kvorum/join-token/1" ‖ claims)
 *
 * The claims are no secret: their bearer shows them to whomever it speaks to. The key is the bearer's own, and never travels: it proves that it knows it (`admission.ts`), and
 * whoever has the cluster's secret makes the same key of the claims that it was shown. Nothing has to be kept about a token, and nobody can change a claim, because the key would be
 * another. So one that was given away by mistake is good until it expires, or until the cluster's secret is changed.
 *
 * A bearer knows by the same proof that it talks to a node with the secret, or to another bearer of the *same* token, since both have the key: give every node a token of its
 * own.
 *
 * The bytes of claims are the ones above and no others: same order, no spaces, no further fields. What a later version needs to say comes under a later `v`.
 */
import { createHmac } from 'node:crypto';
import { KvorumError } from '../errors.ts';
import { isU64 } from './hello.ts';
import { MAX_CLAIMS_BYTES } from './limits.ts';
import type { Hello, JoinClaims, JoinRole, JoinToken } from './types.ts';

const VERSION = 1;
const PREFIX = `kvt${VERSION}`;
const CONTEXT = 'kvorum/join-token/1';
const NONCE_BYTES = 16;
const KEY_BYTES = 32;
const ROLES: readonly unknown[] = ['voter', 'learner', 'agent', null];
/** The last moment that has a date. */
const MAX_WALL_MS = 8.64e15;

/**
 * A token is taken for this long after it expired: the clocks of two machines that are kept by NTP differ by less, and so a token that has just been shown to be good is not refused
 * by a member whose clock runs ahead. A clock that is wrong by more refuses tokens early, or late.
 */
export const TOKEN_CLOCK_TOLERANCE_MS = 5000;

/** Longest token: three parts, the claims and the key in base64url. */
const MAX_TEXT_LENGTH = PREFIX.length + 2 + Math.ceil(((MAX_CLAIMS_BYTES + KEY_BYTES) * 4) / 3) + 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export interface NewJoinToken {
  readonly secret: string;
  /** Decimal. */
  readonly clusterId: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly expiresMs: number;
  /** Null: any. */
  readonly role: JoinRole | null;
  /** 16 random bytes, so that no two tokens have the same key. */
  readonly nonce: Uint8Array;
}

/** The text of a new token. Throws ERR_INVALID_ARGUMENT for claims that no token can have. */
export function createJoinToken({ secret, clusterId, expiresMs, role, nonce }: NewJoinToken): string {
  const claims: JoinClaims = { clusterId, expiresMs, role, nonce: base64url(nonce) };
  const bytes = encodeClaims(claims);
  const parsed = parseClaims(bytes);
  if (typeof parsed === 'string')
    throw new KvorumError('ERR_INVALID_ARGUMENT', `no join token can say this: ${parsed}`);
  return `${PREFIX}.${base64url(bytes)}.${base64url(joinTokenKey(secret, bytes))}`;
}

/** What is in the text of a token. Throws ERR_BAD_TOKEN; whether it is genuine and still good, only a member can tell. */
export function parseJoinToken(text: string): JoinToken {
  const trimmed = text.trim();
  if (/^kvt\d{1,9}\./.test(trimmed) && !trimmed.startsWith(`${PREFIX}.`)) throw bad(OTHER_VERSION);
  if (trimmed.length > MAX_TEXT_LENGTH) {
    throw bad(`the join token is too long: ${trimmed.length} characters, at most ${MAX_TEXT_LENGTH} are possible`);
  }
  const [prefix, claimsText, keyText, ...rest] = trimmed.split('.');
  if (prefix !== PREFIX || claimsText === undefined || keyText === undefined || rest.length > 0) {
    throw bad(`this is not a join token: ${PREFIX}.CLAIMS.KEY is expected, as it was printed when it was made`);
  }
  const claimsBytes = bytesOfBase64url(claimsText);
  const key = bytesOfBase64url(keyText);
  if (claimsBytes === undefined || key === undefined) throw bad(`${CUT_SHORT}: it is not base64url`);
  if (key.byteLength !== KEY_BYTES)
    throw bad(`${CUT_SHORT}: its key has ${key.byteLength} bytes instead of ${KEY_BYTES}`);
  const claims = parseClaims(claimsBytes);
  if (typeof claims === 'string') throw bad(claims);
  return { claims, claimsBytes, key };
}

/** What a bearer of these claims proves with. */
export function joinTokenKey(secret: string, claimsBytes: Uint8Array): Uint8Array {
  return createHmac('sha256', secret).update(CONTEXT).update(claimsBytes).digest();
}

/** The claims in these bytes, or what is wrong with them: the same words for whatever a stranger sends. */
export function parseClaims(bytes: Uint8Array): JoinClaims | string {
  if (bytes.byteLength > MAX_CLAIMS_BYTES) return 'the claims of the join token are too long';
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return MALFORMED; // neither UTF-8 nor JSON
  }
  if (typeof value !== 'object' || value === null) return MALFORMED;
  const { v, cluster, exp, role, nonce }: { [claim in 'v' | 'cluster' | 'exp' | 'role' | 'nonce']?: unknown } = value;
  if (v !== VERSION) return typeof v === 'number' ? OTHER_VERSION : MALFORMED;
  if (!isU64(cluster) || !isWallTime(exp) || !isRole(role) || typeof nonce !== 'string') return MALFORMED;
  if (bytesOfBase64url(nonce)?.byteLength !== NONCE_BYTES) return MALFORMED;
  const claims: JoinClaims = { clusterId: cluster, expiresMs: exp, role, nonce };
  return Buffer.compare(encodeClaims(claims), bytes) === 0 ? claims : MALFORMED;
}

export interface ClaimsContext {
  /** Of the member that judges, now. */
  readonly wallMs: number;
  /** Null: it does not know it yet. */
  readonly clusterId: string | null;
}

/** Why genuine claims let nobody in, or null. The same words each time, so that the same refusal is reported once. */
export function judgeClaims(claims: JoinClaims, { wallMs, clusterId }: ClaimsContext): string | null {
  if (clusterId !== null && claims.clusterId !== clusterId) {
    return `the join token is for cluster ${claims.clusterId}, this is cluster ${clusterId}: have one made by a member of this one`;
  }
  // Written so that a clock that is no number lets nobody in.
  if (wallMs <= claims.expiresMs + TOKEN_CLOCK_TOLERANCE_MS) return null;
  const expired = new Date(claims.expiresMs).toISOString();
  return `the join token expired at ${expired}, by the clock of the member: have a new one made`;
}

/** Why the bearer of these claims may not be what its Hello asks to be, or null. */
export function judgeRole(claims: JoinClaims, hello: Hello): string | null {
  const asked = roleAsked(hello);
  if (claims.role === null || claims.role === asked) return null;
  return `the join token is for the role ${claims.role}, and ${hello.name} asks for ${asked}`;
}

/** `Hello.extra.role`: what the node wants to be. One that does not say asks for what is the default of NodeOptions: voter. */
function roleAsked(hello: Hello): string {
  const asked = hello.extra['role'];
  if (asked === undefined) return 'voter';
  return isRole(asked) && asked !== null ? asked : 'another';
}

function encodeClaims({ clusterId, expiresMs, role, nonce }: JoinClaims): Uint8Array {
  return encoder.encode(JSON.stringify({ v: VERSION, cluster: clusterId, exp: expiresMs, role, nonce }));
}

function isWallTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_WALL_MS;
}

function isRole(value: unknown): value is JoinRole | null {
  return ROLES.includes(value);
}

export function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/** Undefined for anything but the one text that these bytes have. */
export function bytesOfBase64url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

const MALFORMED = 'the claims of the join token are malformed: it was cut short or altered';
const CUT_SHORT = 'the join token was cut short or altered';
const OTHER_VERSION =
  'the join token is of another version of Kvorum than this node: have one made by a member with the version of this node';

function bad(message: string): KvorumError {
  return new KvorumError('ERR_BAD_TOKEN', message);
}
