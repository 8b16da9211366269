/** Ed25519 keys made from a seed, at once: the library's own way goes through a thread, which no virtual clock waits for. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';

/** PKCS #8 for Ed25519, up to the seed (RFC 8410 §7). */
const PKCS8_PREFIX = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
/** Bytes of the public key, at the end of its SPKI encoding. */
const PUBLIC_BYTES = 32;

/** `seed` has 32 bytes. */
export function seededKey(seed: Uint8Array): PrivateKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return privateKeyFromRaw(Buffer.concat([seed, spki.subarray(-PUBLIC_BYTES)]));
}
