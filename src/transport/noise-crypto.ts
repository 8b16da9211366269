/**
 * Noise's cryptography, as libp2p brings it, with one difference: OpenSSL gets a key object, made once a key, and not the key's bytes
 * each time. Node wraps bytes in a key object for every message, which took 14 of the 22 µs that a message of 3 KB cost
 * (Node 24.21); so OpenSSL pays off from a few hundred bytes on, too.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { ICryptoInterface } from '@libp2p/noise';
import { asCrypto, defaultCrypto, nodeCrypto } from '@libp2p/noise/crypto';

/** Below it libp2p's WebAssembly is faster: 4 µs for 300 bytes, 10 µs for 1,000, where OpenSSL takes 6.5 µs for both. */
const OPENSSL_FROM_BYTES = 500;

const keys = new WeakMap<Uint8Array, KeyObject>();

/** A session has two keys, and noise hands over the same array with every message. */
function keyObject(key: Uint8Array): Uint8Array {
  let object = keys.get(key);
  if (object === undefined) {
    object = createSecretKey(key);
    keys.set(key, object);
  }
  // libp2p passes it on to createCipheriv, which takes either; its type knows bytes only.
  return object as unknown as Uint8Array;
}

export const noiseCrypto: ICryptoInterface = {
  ...defaultCrypto,
  chaCha20Poly1305Encrypt(plaintext, nonce, ad, key) {
    if (plaintext.byteLength < OPENSSL_FROM_BYTES) return asCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, key);
    return nodeCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, keyObject(key));
  },
  chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, dst) {
    if (ciphertext.byteLength < OPENSSL_FROM_BYTES) {
      return asCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, dst);
    }
    return nodeCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, keyObject(key), dst);
  },
};
