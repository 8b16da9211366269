/**
 * The admission handshake, without I/O: each side proves that it knows the cluster secret, then both exchange a Hello and tell each
 * other their verdict on it.
 *
 *     dialer                                   listener
 *       | -- challenge {nonceD} -------------------> |
 *       | <------------------- challenge {nonceL} -- |
 *       | -- proof HMAC(secret, 'dialer' …) -------> |   checked; else: refuse ERR_WRONG_SECRET
 *       | <----- proof HMAC(secret, 'listener' …) -- |   checked; else: refuse ERR_WRONG_SECRET
 *       | -- hello --------------------------------> |   judged
 *       | <----------------------- hello, verdict -- |   judged
 *       | -- verdict ------------------------------> |
 *
 * A proof covers the role, both nonces and both peer ids as noise authenticated them: it cannot be sent back to its maker (another
 * role), replayed (other nonces) or passed on by somebody in the middle (other peer ids). The secret never travels. The dialer
 * proves first, because it chose whom to call, while a listener is called by anybody: who does not know the secret gets
 * nothing from a listener to guess it by.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { MAX_CONTROL_BYTES } from './limits.ts';
import { parseHello, parseRefusal } from './hello.ts';
import type { Hello, Verdict } from './types.ts';

export interface AdmissionOptions {
  readonly role: 'dialer' | 'listener';
  /** Null: a node without a secret is a cluster of one and admits nobody. */
  readonly secret: string | null;
  /** Peer ids as noise authenticated them. */
  readonly ownPeerId: string;
  readonly remotePeerId: string;
  /** Member id that belongs to `remotePeerId`. */
  readonly remoteId: string;
  hello(): Hello;
  admit(hello: Hello): Verdict;
}

export type AdmissionOutcome =
  | { readonly type: 'admitted'; readonly hello: Hello }
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
const CONTEXT = 'kvorum/admission/1';
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
  #remoteNonce: Buffer | null = null;
  #expects: 'challenge' | 'proof' | 'hello' | 'verdict' | 'nothing' = 'challenge';
  /** The other side knows the secret. */
  #proved = false;
  /** Listener: its verdict, told already; it waits for the dialer's. */
  #pending: { hello: Hello; verdict: Verdict } | null = null;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** First messages of the dialer; nothing for the listener. */
  start(): AdmissionStep {
    if (this.#options.role === 'listener') return { send: [], outcome: null };
    if (this.#options.secret === null) return this.#refuse('ERR_WRONG_SECRET', NO_SECRET, null);
    return { send: [encodeControl({ t: 'challenge', nonce: this.#nonce.toString('base64') })], outcome: null };
  }

  receive(bytes: Uint8Array): AdmissionStep {
    const message = decodeControl(bytes);
    if (message?.['t'] === 'verdict' && message['ok'] === false && this.#expects !== 'nothing') {
      const refusal = { type: 'refused', by: 'them', ...parseRefusal(message) } as const;
      // Whoever has not proved the secret has no say in anything but the secret.
      if (!this.#proved && refusal.code !== 'ERR_WRONG_SECRET') return this.#malformed('verdict of a stranger');
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
    return judged(this.#pending.hello, this.#pending.verdict);
  }

  #challenge(message: Record<string, unknown>): AdmissionStep {
    const nonce = bytesOf(message['nonce']);
    if (nonce?.byteLength !== NONCE_BYTES) return this.#malformed('nonce');
    if (this.#options.secret === null) return this.#refuse('ERR_WRONG_SECRET', NO_SECRET, null);
    this.#remoteNonce = nonce;
    this.#expects = 'proof';
    if (this.#options.role === 'listener') {
      return { send: [encodeControl({ t: 'challenge', nonce: this.#nonce.toString('base64') })], outcome: null };
    }
    return { send: [this.#ownProof()], outcome: null };
  }

  #proof(message: Record<string, unknown>): AdmissionStep {
    const mac = bytesOf(message['mac']);
    const expected = this.#mac(this.#options.role === 'listener' ? 'dialer' : 'listener');
    if (mac?.byteLength !== expected.byteLength) return this.#malformed('proof');
    if (!timingSafeEqual(mac, expected)) return this.#refuse('ERR_WRONG_SECRET', WRONG_SECRET, null);
    this.#proved = true;
    this.#expects = 'hello';
    if (this.#options.role === 'listener') return { send: [this.#ownProof()], outcome: null };
    return { send: [this.#bounded({ t: 'hello', hello: this.#options.hello() })], outcome: null };
  }

  #hello(message: Record<string, unknown>): AdmissionStep {
    const hello = parseHello(message['hello']);
    if (hello === undefined) return this.#malformed('hello');
    if (hello.peerId !== this.#options.remotePeerId) return this.#malformed('peer id of another');
    if (hello.id !== this.#options.remoteId) return this.#malformed('member id of another');
    const verdict = this.#options.admit(hello);
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
    return { send, outcome: judged(hello, verdict) };
  }

  #verdict(message: Record<string, unknown>): AdmissionStep {
    this.#expects = 'nothing';
    if (message['ok'] !== true || this.#pending === null) return this.#malformed('verdict');
    return { send: [], outcome: judged(this.#pending.hello, this.#pending.verdict) };
  }

  #ownProof(): Uint8Array {
    return encodeControl({ t: 'proof', mac: this.#mac(this.#options.role).toString('base64') });
  }

  #mac(role: 'dialer' | 'listener'): Buffer {
    const { secret, ownPeerId, remotePeerId } = this.#options;
    const own = { nonce: this.#nonce, peerId: ownPeerId };
    const remote = { nonce: this.#remoteNonce ?? Buffer.alloc(0), peerId: remotePeerId };
    const [dialer, listener] = this.#options.role === 'dialer' ? [own, remote] : [remote, own];
    const hmac = createHmac('sha256', secret ?? '');
    // Each part with its length in front, so that no two different lists of parts give the same bytes.
    for (const part of [CONTEXT, role, dialer.nonce, listener.nonce, dialer.peerId, listener.peerId]) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.byteLength);
      hmac.update(length).update(bytes);
    }
    return hmac.digest();
  }

  /** Our own Hello is made by the shell; one that is too large would only show as a malformed peer on the other side. */
  #bounded(message: Message): Uint8Array {
    const bytes = encodeControl(message);
    if (bytes.byteLength > MAX_CONTROL_BYTES) throw new RangeError(`own Hello is too large: ${bytes.byteLength} bytes`);
    return bytes;
  }

  #refuse(code: string, message: string, hello: Hello | null): AdmissionStep {
    this.#expects = 'nothing';
    const send = [encodeControl({ t: 'verdict', ok: false, code, message })];
    return { send, outcome: { type: 'refused', by: 'us', code, message, hello } };
  }

  #malformed(reason: string): AdmissionStep {
    this.#expects = 'nothing';
    return { send: [], outcome: { type: 'malformed', reason } };
  }
}

function judged(hello: Hello, verdict: Verdict): AdmissionOutcome {
  if (verdict.ok) return { type: 'admitted', hello };
  return { type: 'refused', by: 'us', code: verdict.code, message: verdict.message, hello };
}

function bytesOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' && value.length <= 100 ? Buffer.from(value, 'base64') : undefined;
}

export const WRONG_SECRET = 'the two nodes do not have the same cluster secret: start both with the same secret';
export const NO_SECRET =
  'a node without a cluster secret is a cluster of one and has no peers: start it with the secret of its cluster';
