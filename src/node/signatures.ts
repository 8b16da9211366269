/**
 * Signatures of gossip and of records of the DHT, and the member ids that follow from peer ids. Ed25519, synchronous, by node:crypto: the public key stands in the peer id itself, so nothing has to be
 * asked for.
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { invariant } from '../errors.ts';
import type { MemberId, PeerId } from '../gossip/index.ts';
import { memberId } from '../transport/peer-id.ts';

/** PKCS #8 and SPKI for Ed25519, up to the key (RFC 8410 §4 and §7). */
const PKCS8_PREFIX = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
const SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0);
const SEED_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** Peers whose key and id are remembered; some 1 KiB each. */
const MAX_PEERS = 4096;

interface Known {
  readonly id: MemberId;
  readonly publicKey: Uint8Array;
  /** Made when it is needed first. */
  key: KeyObject | null;
}

export class Signatures {
  readonly #key: KeyObject;
  readonly #maxPeers: number;
  /** The one used longest ago first. */
  readonly #peers = new Map<PeerId, Known>();

  constructor(privateKey: PrivateKey, maxPeers = MAX_PEERS) {
    invariant(privateKey.type === 'Ed25519', 'The identity of a node is an Ed25519 key');
    const key = Buffer.concat([PKCS8_PREFIX, privateKey.raw.subarray(0, SEED_BYTES)]);
    this.#key = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
    this.#maxPeers = maxPeers;
  }

  /** Peers remembered. */
  get size(): number {
    return this.#peers.size;
  }

  sign(bytes: Uint8Array): Uint8Array {
    // A copy: what node:crypto gives may be a view of a larger pool.
    return Uint8Array.from(sign(null, bytes, this.#key));
  }

  verify(peerId: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean {
    const known = this.#known(peerId);
    if (known === null || signature.length !== SIGNATURE_BYTES) return false;
    known.key ??= publicKeyOf(known.publicKey);
    return verify(null, bytes, known.key, signature);
  }

  /** Null for what is not the peer id of an Ed25519 key. */
  idOf(peerId: PeerId): MemberId | null {
    return this.#known(peerId)?.id ?? null;
  }

  #known(peerId: PeerId): Known | null {
    let known = this.#peers.get(peerId);
    if (known === undefined) {
      const read = readPeerId(peerId);
      // What is no peer id is not remembered: there is no end of those.
      if (read === null) return null;
      known = read;
    } else this.#peers.delete(peerId);
    this.#peers.set(peerId, known);
    if (this.#peers.size > this.#maxPeers) {
      const [oldest] = this.#peers.keys();
      if (oldest !== undefined) this.#peers.delete(oldest);
    }
    return known;
  }
}

function readPeerId(text: PeerId): Known | null {
  let peerId;
  try {
    peerId = peerIdFromString(text);
  } catch {
    // Somebody else wrote it: it may be anything.
    return null;
  }
  // One key, one way to write it: else one member could come under several names.
  if (peerId.type !== 'Ed25519' || peerId.toString() !== text) return null;
  return { id: memberId(peerId), publicKey: peerId.publicKey.raw, key: null };
}

function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
}
