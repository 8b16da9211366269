/** In place of Ed25519: as long, cheap, and wrong for any other bytes or signer. */
import type { PeerId } from '../../../src/gossip/types.ts';

const SIGNATURE_BYTES = 64;

export function signatureOf(peerId: PeerId, bytes: Uint8Array): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES);
  new DataView(signature.buffer).setUint32(0, checksum(peerId, bytes));
  return signature;
}

export function verifySignature(peerId: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  const [a = 0, b = 0, c = 0, d = 0] = signature;
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 === checksum(peerId, bytes);
}

function checksum(peerId: PeerId, bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < peerId.length; i++) hash = Math.imul(hash ^ peerId.charCodeAt(i), 0x01000193);
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash >>> 0;
}
