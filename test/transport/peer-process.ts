/** A peer in a process of its own, to be killed: prints its address, admits everybody with the secret, echoes frames. */
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { createLibp2pTransport } from '../../src/transport/libp2p-transport.ts';
import { memberId } from '../../src/transport/peer-id.ts';
import type { Transport } from '../../src/transport/types.ts';

const secret = process.argv[2] ?? '';
const privateKey = await generateKeyPair('Ed25519');
const peerId = peerIdFromPrivateKey(privateKey);
let transport: Transport | null = null;
transport = await createLibp2pTransport({
  privateKey,
  listen: '127.0.0.1:0',
  credential: () => ({ secret }),
  wallTime: Date.now,
  handlers: {
    hello: () => ({
      clusterId: null,
      id: memberId(peerId),
      name: 'child',
      peerId: peerId.toString(),
      bootEpoch: 1,
      address: transport?.address ?? '',
      http: '',
      pid: process.pid,
      protocol: 1,
      extra: {},
    }),
    admit: () => ({ ok: true }),
    frame: (from, channel, frame) => void transport?.send(from, channel, [frame]),
    peer: () => undefined,
  },
});
process.stdout.write(`${transport.address}\n`);
process.stdin.on('end', () => void transport.close()).resume();
