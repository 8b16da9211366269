import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { describe, expect, test } from 'vitest';
import { openIdentity } from '../../src/node/identity.ts';
import { realPlatform } from '../../src/node/real-platform.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import { isU64 } from '../../src/transport/hello.ts';

const { createKey } = realPlatform;

describe('an identity', () => {
  test('is made at the first start, kept over power loss, and counts starts', async () => {
    let store = await openMemoryStore();
    const first = await openIdentity(store, createKey);
    expect(first.bootEpoch).toBe(1);
    expect(first.peerId).toBe(peerIdFromPrivateKey(first.privateKey).toString());
    expect(isU64(first.id)).toBe(true);
    for (let epoch = 2; epoch < 5; epoch++) {
      store = await store.crash();
      const again = await openIdentity(store, createKey);
      expect(again).toMatchObject({ id: first.id, peerId: first.peerId, bootEpoch: epoch });
    }
    const other = await openIdentity(await openMemoryStore(), createKey);
    expect(other.id).not.toBe(first.id);
  });

  test('is not there before it is on disk', async () => {
    const store = await openMemoryStore();
    store.disk.failNextWrite(new Error('ENOSPC'));
    await expect(openIdentity(store, createKey)).rejects.toMatchObject({ code: 'ERR_STORE_POISONED' });
  });

  test('is not made anew when what is stored is damaged', async () => {
    for (const [name, value] of [
      ['identity/privateKey', new Uint8Array([1, 2, 3])],
      ['identity/privateKey', 'a key'],
      ['identity/bootEpoch', 'three'],
      ['identity/bootEpoch', -1],
    ] as const) {
      const store = await openMemoryStore();
      await openIdentity(store, createKey);
      store.node.set(name, value);
      await expect(openIdentity(store, createKey)).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    }
  });
});
