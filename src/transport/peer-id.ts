/** From a libp2p peer id to the member id that Raft speaks of. */
import { createHash } from 'node:crypto';
import type { PeerId } from '@libp2p/interface';
import type { NodeId } from '../raft/types.ts';

/**
 * First 8 bytes of the SHA-256 of the peer id's multihash, as an unsigned decimal number. Two of a million members collide with a
 * probability of 3·10⁻⁸; whoever would forge one has to find a key among 2^64.
 */
export function memberId(peerId: PeerId): NodeId {
  return firstU64(peerId.toMultihash().bytes);
}

/** First 8 bytes of the SHA-256 of `bytes`, as an unsigned decimal number. */
export function firstU64(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest().readBigUInt64BE(0).toString();
}
