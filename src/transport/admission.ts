/**
 * The admission handshake, without I/O: each side proves that it knows the cluster secret, or bears a join token made with it, then both exchange a Hello and tell
 * each other their verdict on it.
 *
 *     dialer                                   listener
 *       | -- challenge {nonceD, numberD} ----------> |
 *       | <---------- challenge {nonceL, numberL} -- |
 *       | -- proof HMAC(key, 'dialer' …) ----------> |   checked; else: refuse ERR_WRONG_SECRET or ERR_BAD_TOKEN
 *       | <-------- proof HMAC(key, 'listener' …) -- |   checked; else: refuse ERR_WRONG_SECRET or ERR_BAD_TOKEN
 *       | -- hello --------------------------------> |   judged
 *       | <----------------------- hello, verdict -- |   judged
 *       | -- verdict ------------------------------> |
 *
 * A proof covers the role, both nonces and both peer ids as noise authenticated them: it cannot be sent back to its maker (another
 * role), replayed (other nonces) or passed on by somebody in the middle (other peer ids). The key never travels. The dialer
 * proves first, because it chose whom to call, while a listener is called by anybody: who does not know the secret gets
 * nothing from a listener to guess it by.
 *
 * **The key** is the cluster's secret when both have it. A side that has a join token instead adds the token's claims to its challenge, whether it dials or listens:
 * `challenge {nonce, claims}`. Its key is that of the token; the other side, which has the secret, makes the same one of the claims (`join-token.ts`), so it is as mutual as with the
 * secret. Only once the bearer has proved that the claims are genuine are they judged: cluster and expiry before anything else is said to it, the role when its Hello asks for one.
 * A token against a token is refused.
 *
 * **The number** is a side's own count of its handshakes. That of the side with the smaller peer id is the one of the connection: of several, both sides know by it which counts.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { base64url, bytesOfBase64url, judgeClaims, judgeRole } from './join-token.ts';
import { MAX_CLAIMS_BYTES, MAX_CONTROL_BYTES } from './limits.ts';
import { parseHello, parseRefusal } from './hello.ts';
import { NO_SECRET, proof, proofBasis } from './proof.ts';
import type { ProofBasis } from './proof.ts';
import type { Credential, Hello, PeerCredential, Verdict } from './types.ts';

export interface AdmissionOptions {
  readonly role: 'dialer' | 'listener';
  /** Of this node, now: it stays the same for this handshake. */
  readonly credential: Credential;
  /** Which of the handshakes of this node it is: an integer that grows, also from one start of the node to the next as far as its clock does. */
  readonly number: number;
  /** Peer ids as noise authenticated them. */
  readonly ownPeerId: string;
  readonly remotePeerId: string;
  /** Member id that belongs to `remotePeerId`. */
  readonly remoteId: string;
  /** Milliseconds since the epoch, for the expiry of join tokens. */
  readonly wallTime: () => number;
  hello(): Hello;
  admit(hello: Hello, credential: PeerCredential): Verdict;
}

export type AdmissionOutcome =
  /** `credential`: of the peer. `bearsToken`: this side proved with a join token. `number`: what the side with the smaller peer id calls it. */
  | {
      readonly type: 'admitted';
      readonly hello: Hello;
      readonly credential: PeerCredential;
      readonly bearsToken: boolean;
      readonly number: number;
    }
  /** `by`: who refused. `hello`: who was refused, when it came so far. */
  | {
      readonly type: 'refused';
      readonly by: 'us' | 'them';
      readonly code: string;
      readonly message: string;
      readonly hello: Hello | null;
    }
  | { readonly type: 'malformed'; readonly reason: string };

export interface AdmissionStep {
  /** Messages to send, in order; also after the end, so that the other side learns of it. */
  readonly send: readonly Uint8Array[];
  readonly outcome: AdmissionOutcome | null;
}

interface Message {
  readonly t: 'challenge' | 'proof' | 'hello' | 'verdict';
  readonly [field: string]: unknown;
}

const NONCE_BYTES = 32;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeControl(message: object): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** The JSON object in a message, or undefined. */
export function decodeControl(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(decoder.decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined; // not JSON, not UTF-8: the caller closes the link as malformed
  }
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #nonce = randomBytes(NONCE_BYTES);
  #remoteNonce: Uint8Array = new Uint8Array(0);
  #remoteNumber = 0;
  /** Known once the challenge of the other side is. */
  #basis: ProofBasis | null = null;
  #expects: 'challenge' | 'proof' | 'hello' | 'verdict' | 'nothing' = 'challenge';
  /** The other side knows the key. */
  #proved = false;
  /** Listener: its verdict, told already; it waits for the dialer's. */
  #pending: { hello: Hello; verdict: Verdict } | null = null;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** First messages of the dialer; nothing for the listener. */
  start(): AdmissionStep {
    if (this.#options.role === 'listener') return { send: [], outcome: null };
    if (this.#options.credential === null) return this.#refuse(NO_SECRET);
    return { send: [this.#ownChallenge()], outcome: null };
  }

  receive(bytes: Uint8Array): AdmissionStep {
    const message = decodeControl(bytes);
    if (message?.['t'] === 'verdict' && message['ok'] === false && this.#expects !== 'nothing') {
      const refusal = { type: 'refused', by: 'them', ...parseRefusal(message) } as const;
      // Whoever has not proved anything has no say in anything but that.
      if (!this.#proved && !this.#saidByStrangers(refusal.code)) return this.#malformed('verdict of a stranger');
      this.#expects = 'nothing';
      return { send: [], outcome: { ...refusal, hello: this.#pending?.hello ?? null } };
    }
    if (message?.['t'] !== this.#expects) return this.#malformed(`expected ${this.#expects}`);
    switch (this.#expects) {
      case 'challenge':
        return this.#challenge(message);
      case 'proof':
        return this.#proof(message);
      case 'hello':
        return this.#hello(message);
      case 'verdict':
        return this.#verdict(message);
      default:
        return this.#malformed('nothing more was expected');
    }
  }

  /** The stream ended before the handshake did: a refusal of ours that the peer had heard before it left, or null. */
  ended(): AdmissionOutcome | null {
    if (this.#pending === null || this.#pending.verdict.ok) return null;
    return this.#judged(this.#pending.hello, this.#pending.verdict);
  }

  #challenge(message: Record<string, unknown>): AdmissionStep {
    const nonce = bytesOf(message['nonce']);
    if (nonce?.byteLength !== NONCE_BYTES) return this.#malformed('nonce');
    const { number } = message;
    if (!isNumber(number)) return this.#malformed('number');
    const claims = claimsOf(message['claims']);
    if (claims === undefined) return this.#malformed('claims');
    const basis = proofBasis(this.#options.credential, claims);
    if ('code' in basis) return this.#refuse(basis);
    this.#basis = basis;
    this.#remoteNonce = nonce;
    this.#remoteNumber = number;
    this.#expects = 'proof';
    return { send: [this.#options.role === 'listener' ? this.#ownChallenge() : this.#ownProof(basis)], outcome: null };
  }

  #proof(message: Record<string, unknown>): AdmissionStep {
    const basis = this.#basis;
    const mac = bytesOf(message['mac']);
    if (basis === null) return this.#malformed('proof before a challenge');
    const expected = this.#mac(basis, this.#options.role === 'listener' ? 'dialer' : 'listener');
    if (mac?.byteLength !== expected.byteLength) return this.#malformed('proof');
    if (!timingSafeEqual(mac, expected)) return this.#refuse(basis.otherwise);
    this.#proved = true;
    if (basis.bearer !== null) {
      const { clusterId } = this.#options.hello();
      const reason = judgeClaims(basis.bearer, { wallMs: this.#options.wallTime(), clusterId });
      if (reason !== null) return this.#refuse({ code: 'ERR_BAD_TOKEN', message: reason });
    }
    this.#expects = 'hello';
    if (this.#options.role === 'listener') return { send: [this.#ownProof(basis)], outcome: null };
    return { send: [this.#bounded({ t: 'hello', hello: this.#options.hello() })], outcome: null };
  }

  #hello(message: Record<string, unknown>): AdmissionStep {
    const hello = parseHello(message['hello']);
    if (hello === undefined) return this.#malformed('hello');
    if (hello.peerId !== this.#options.remotePeerId) return this.#malformed('peer id of another');
    if (hello.id !== this.#options.remoteId) return this.#malformed('member id of another');
    const verdict = this.#judge(hello);
    if (this.#options.role === 'listener') {
      this.#expects = 'verdict';
      this.#pending = { hello, verdict };
      return {
        send: [this.#bounded({ t: 'hello', hello: this.#options.hello(), verdict })],
        outcome: null,
      };
    }
    // The dialer has the listener's verdict together with its Hello, and answers with its own in any case.
    this.#expects = 'nothing';
    const send = [encodeControl({ t: 'verdict', ...verdict })];
    const theirs = message['verdict'];
    if (typeof theirs !== 'object' || theirs === null || !('ok' in theirs)) return this.#malformed('verdict');
    if (theirs.ok !== true) {
      return { send, outcome: { type: 'refused', by: 'them', ...parseRefusal(theirs), hello } };
    }
    return { send, outcome: this.#judged(hello, verdict) };
  }

  #verdict(message: Record<string, unknown>): AdmissionStep {
    this.#expects = 'nothing';
    if (message['ok'] !== true || this.#pending === null) return this.#malformed('verdict');
    return { send: [], outcome: this.#judged(this.#pending.hello, this.#pending.verdict) };
  }

  #judge(hello: Hello): Verdict {
    const bearer = this.#basis?.bearer ?? null;
    const reason = bearer === null ? null : judgeRole(bearer, hello);
    if (reason !== null) return { ok: false, code: 'ERR_BAD_TOKEN', message: reason };
    return this.#options.admit(hello, this.#credential);
  }

  #judged(hello: Hello, verdict: Verdict): AdmissionOutcome {
    if (verdict.ok) {
      const { number: own, ownPeerId, remotePeerId } = this.#options;
      const number = ownPeerId < remotePeerId ? own : this.#remoteNumber;
      return { type: 'admitted', hello, credential: this.#credential, bearsToken: this.#bearsToken, number };
    }
    return { type: 'refused', by: 'us', code: verdict.code, message: verdict.message, hello };
  }

  get #bearsToken(): boolean {
    const { credential } = this.#options;
    return credential !== null && 'token' in credential;
  }

  /** What the other side has proved with, once it has. */
  get #credential(): PeerCredential {
    const bearer = this.#basis?.bearer ?? null;
    return bearer === null ? SECRET : { type: 'token', role: bearer.role, expiresMs: bearer.expiresMs };
  }

  /** Refusals of the proof itself; of a token only where there is one. */
  #saidByStrangers(code: string): boolean {
    if (code === 'ERR_WRONG_SECRET') return true;
    // Both bear one.
    if (code === 'ERR_UNAVAILABLE') return this.#bearsToken;
    return code === 'ERR_BAD_TOKEN' && (this.#bearsToken || (this.#basis?.bearer ?? null) !== null);
  }

  #ownChallenge(): Uint8Array {
    const { credential, number } = this.#options;
    const nonce = this.#nonce.toString('base64');
    if (credential === null || 'secret' in credential) return encodeControl({ t: 'challenge', nonce, number });
    return encodeControl({ t: 'challenge', nonce, number, claims: base64url(credential.token.claimsBytes) });
  }

  #ownProof(basis: ProofBasis): Uint8Array {
    return encodeControl({ t: 'proof', mac: Buffer.from(this.#mac(basis, this.#options.role)).toString('base64') });
  }

  #mac(basis: ProofBasis, role: 'dialer' | 'listener'): Uint8Array {
    const { ownPeerId, remotePeerId } = this.#options;
    const own = { nonce: this.#nonce, peerId: ownPeerId };
    const remote = { nonce: this.#remoteNonce, peerId: remotePeerId };
    const [dialer, listener] = this.#options.role === 'dialer' ? [own, remote] : [remote, own];
    return proof(basis, role, { dialer, listener });
  }

  /** Our own Hello is made by the shell; one that is too large would only show as a malformed peer on the other side. */
  #bounded(message: Message): Uint8Array {
    const bytes = encodeControl(message);
    if (bytes.byteLength > MAX_CONTROL_BYTES) throw new RangeError(`own Hello is too large: ${bytes.byteLength} bytes`);
    return bytes;
  }

  /** Before there is a Hello to judge. */
  #refuse({ code, message }: { readonly code: string; readonly message: string }): AdmissionStep {
    this.#expects = 'nothing';
    const send = [encodeControl({ t: 'verdict', ok: false, code, message })];
    return { send, outcome: { type: 'refused', by: 'us', code, message, hello: null } };
  }

  #malformed(reason: string): AdmissionStep {
    this.#expects = 'nothing';
    return { send: [], outcome: { type: 'malformed', reason } };
  }
}

const SECRET: PeerCredential = { type: 'secret' };

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function bytesOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' && value.length <= 100 ? Buffer.from(value, 'base64') : undefined;
}

/** Null: the peer has the secret, and so no claims. */
function claimsOf(value: unknown): Uint8Array | null | undefined {
  if (value === undefined) return null;
  return typeof value === 'string' && value.length <= 2 * MAX_CLAIMS_BYTES ? bytesOfBase64url(value) : undefined;
}
