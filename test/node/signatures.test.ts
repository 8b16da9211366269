import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { expect, test } from 'vitest';
import { Signatures } from '../../src/node/signatures.ts';
import { Random } from '../../src/testing/random.ts';
import { seededKey } from '../../src/testing/seeded-key.ts';
import { memberId } from '../../src/transport/peer-id.ts';

const random = new Random(1);

function member() {
  const privateKey = seededKey(random.bytes(32));
  const peerId = peerIdFromPrivateKey(privateKey);
  return { privateKey, peerId: peerId.toString(), id: memberId(peerId), signatures: new Signatures(privateKey) };
}

test('what one member signs, any other verifies by its peer id alone', async () => {
  const [a, b] = [member(), member()];
  const bytes = Uint8Array.of(1, 2, 3);
  const signature = a.signatures.sign(bytes);
  expect(signature).toHaveLength(64);
  expect(b.signatures.verify(a.peerId, bytes, signature)).toBe(true);
  expect(b.signatures.verify(b.peerId, bytes, signature)).toBe(false);
  expect(b.signatures.verify(a.peerId, Uint8Array.of(1, 2, 4), signature)).toBe(false);
  expect(b.signatures.verify(a.peerId, bytes, signature.subarray(1))).toBe(false);
  expect(b.signatures.verify(a.peerId, bytes, new Uint8Array(64))).toBe(false);
  // libp2p's own key says the same.
  expect(await a.privateKey.publicKey.verify(bytes, signature)).toBe(true);
  expect(Buffer.compare(await a.privateKey.sign(bytes), signature)).toBe(0);
});

test('the member id is that of the transport, and only an Ed25519 peer id in its usual form has one', async () => {
  const a = member();
  expect(a.signatures.idOf(a.peerId)).toBe(a.id);
  const secp = peerIdFromPrivateKey(await generateKeyPair('secp256k1')).toString();
  for (const text of [
    '',
    'x',
    '12D3KooW',
    secp,
    `${a.peerId} `,
    `${a.peerId}a`,
    peerIdFromPrivateKey(a.privateKey).toCID().toString(),
  ]) {
    expect(a.signatures.idOf(text), text).toBeNull();
    expect(a.signatures.verify(text, new Uint8Array(1), new Uint8Array(64)), text).toBe(false);
  }
});

test('remembers no more peers than it may, and reads those again that it forgot', () => {
  const others = Array.from({ length: 20 }, member);
  const signatures = new Signatures(others[0]!.privateKey, 5);
  for (let round = 0; round < 2; round++) {
    for (const { peerId, id } of others) {
      expect(signatures.idOf(peerId)).toBe(id);
      expect(signatures.size).toBeLessThanOrEqual(5);
    }
  }
  expect(signatures.size).toBe(5);
  for (let i = 0; i < 100; i++) signatures.idOf(`nobody ${i}`);
  expect(signatures.size).toBe(5);
});
