/**
 * Who this node is: an Ed25519 key made at its first start and kept in its data directory, the ids that follow from it, and a boot
 * epoch that grows with every start. A data directory that was wiped is another node.
 */
import { privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import { memberId } from '../transport/peer-id.ts';

export interface Identity {
  /** Member id: first 8 bytes of the SHA-256 of the peer id's multihash, as a decimal number. */
  readonly id: NodeId;
  /** libp2p peer id, base58. */
  readonly peerId: string;
  readonly privateKey: PrivateKey;
  /** 1 at the first start. */
  readonly bootEpoch: number;
}

const PRIVATE_KEY = 'identity/privateKey';
const BOOT_EPOCH = 'identity/bootEpoch';

/**
 * Reads the identity, or makes it at the first start with a key from `createKey`, and counts this start. Resolves when the new boot epoch is on disk: nothing may be
 * sent before, or a restart could use the same epoch twice. Rejects with ERR_CORRUPT when what is stored is no identity, or with the
 * store's error.
 */
export async function openIdentity(store: Store, createKey: () => Promise<PrivateKey>): Promise<Identity> {
  const privateKey = await readKey(store, createKey);
  const stored = store.node.get(BOOT_EPOCH) ?? 0;
  if (typeof stored !== 'number' || !Number.isSafeInteger(stored) || stored < 0) {
    throw new KvorumError('ERR_CORRUPT', 'the boot epoch in the data directory is not a number');
  }
  const bootEpoch = stored + 1;
  store.node.set(BOOT_EPOCH, bootEpoch);
  await commit(store);
  const peerId = peerIdFromPrivateKey(privateKey);
  return { id: memberId(peerId), peerId: peerId.toString(), privateKey, bootEpoch };
}

async function readKey(store: Store, createKey: () => Promise<PrivateKey>): Promise<PrivateKey> {
  const stored = store.node.get(PRIVATE_KEY);
  if (stored === undefined) {
    const privateKey = await createKey();
    store.node.set(PRIVATE_KEY, privateKeyToProtobuf(privateKey));
    return privateKey;
  }
  try {
    if (stored instanceof Uint8Array) return privateKeyFromProtobuf(stored);
  } catch (cause) {
    throw new KvorumError('ERR_CORRUPT', 'the private key in the data directory is damaged', { cause });
  }
  throw new KvorumError('ERR_CORRUPT', 'the private key in the data directory is not a key');
}

/** A synced commit as a promise. */
export function commit(store: Store): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(true, (error) => (error === null ? resolve() : reject(error)));
  });
}
