/**
 * What the two sides of a handshake prove with, which each works out from what it has and what the other one shows, and the proofs themselves.
 *
 * The key is the cluster's secret, or that of a join token. A proof of the one is never one of the other: they have contexts of their own, beside keys of their own.
 */
import { createHmac } from 'node:crypto';
import { joinTokenKey, parseClaims } from './join-token.ts';
import type { Credential, JoinClaims } from './types.ts';

export interface ProofBasis {
  readonly context: string;
  readonly key: string | Uint8Array;
  /** The other side bears a token with these claims; not proved yet. */
  readonly bearer: JoinClaims | null;
  /** What a proof that is made with another key is refused with. */
  readonly otherwise: CredentialRefusal;
}

export interface CredentialRefusal {
  readonly code: 'ERR_WRONG_SECRET' | 'ERR_BAD_TOKEN' | 'ERR_UNAVAILABLE';
  readonly message: string;
}

const SECRET_CONTEXT = 'kvorum/admission/1';
const TOKEN_CONTEXT = 'kvorum/admission/token/1';

/** `claims`: of the token that the other side bears; null: it has the secret. */
export function proofBasis(own: Credential, claims: Uint8Array | null): ProofBasis | CredentialRefusal {
  if (own === null) return NO_SECRET;
  if ('token' in own) {
    if (claims !== null) return TWO_TOKENS;
    return { context: TOKEN_CONTEXT, key: own.token.key, bearer: null, otherwise: NOT_THE_CLUSTER };
  }
  if (claims === null) {
    return { context: SECRET_CONTEXT, key: own.secret, bearer: null, otherwise: WRONG_SECRET };
  }
  const bearer = parseClaims(claims);
  if (typeof bearer === 'string') return { code: 'ERR_BAD_TOKEN', message: bearer };
  return { context: TOKEN_CONTEXT, key: joinTokenKey(own.secret, claims), bearer, otherwise: NOT_GENUINE };
}

/** One side, as noise authenticated it. */
export interface Prover {
  readonly nonce: Uint8Array;
  readonly peerId: string;
}

/** The proof that the side in `role` makes. */
export function proof(
  { context, key }: ProofBasis,
  role: 'dialer' | 'listener',
  { dialer, listener }: { readonly dialer: Prover; readonly listener: Prover },
): Uint8Array {
  const hmac = createHmac('sha256', key);
  // Each part with its length in front, so that no two different lists of parts give the same bytes.
  for (const part of [context, role, dialer.nonce, listener.nonce, dialer.peerId, listener.peerId]) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    hmac.update(length).update(bytes);
  }
  return hmac.digest();
}

const WRONG_SECRET: CredentialRefusal = {
  code: 'ERR_WRONG_SECRET',
  message: 'the two nodes do not have the same cluster secret: start both with the same secret',
};
export const NO_SECRET: CredentialRefusal = {
  code: 'ERR_WRONG_SECRET',
  message:
    'a node without a cluster secret is a cluster of one and has no peers: start it with the secret of its cluster',
};
const NOT_GENUINE: CredentialRefusal = {
  code: 'ERR_BAD_TOKEN',
  message:
    'the join token was not made with the secret of this cluster, or was altered: have one made by a member of this cluster',
};
const NOT_THE_CLUSTER: CredentialRefusal = {
  code: 'ERR_BAD_TOKEN',
  message:
    'the peer does not have the secret that the join token of this node was made with: check its address, and whose the token is',
};
/** Nothing is wrong with either of them: each goes on to ask others. */
const TWO_TOKENS: CredentialRefusal = {
  code: 'ERR_UNAVAILABLE',
  message: 'both nodes have only a join token, and neither can let the other in: join by the address of a member',
};
