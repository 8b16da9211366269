/** Real libp2p on loopback: time passes by itself. */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { createLibp2pTransport } from '../../src/transport/libp2p-transport.ts';
import { memberId } from '../../src/transport/peer-id.ts';
import { SECRET, testNode } from './conformance.ts';
import type { Harness, NodeOptions, TestNode } from './conformance.ts';

export class Libp2pHarness implements Harness {
  readonly #nodes: TestNode[] = [];
  readonly #keys = new Map<TestNode, Uint8Array>();

  async create(options: NodeOptions): Promise<TestNode> {
    const { name, secret = SECRET, limits = {}, address = '127.0.0.1:0', like } = options;
    const { credential = () => (secret === null ? null : { secret }), wallTime = Date.now } = options;
    const stored = like === undefined ? undefined : this.#keys.get(like);
    const privateKey: PrivateKey =
      stored === undefined ? await generateKeyPair('Ed25519') : privateKeyFromProtobuf(stored);
    const peerId = peerIdFromPrivateKey(privateKey);
    const { handlers, node } = testNode(name, { id: memberId(peerId), peerId: peerId.toString() });
    const transport = await createLibp2pTransport({
      privateKey,
      listen: address,
      credential,
      wallTime,
      handlers,
      limits,
    });
    const made = node(transport);
    this.#nodes.push(made);
    this.#keys.set(made, privateKeyToProtobuf(privateKey));
    return made;
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 15_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`not reached: ${what}`);
      await this.pass(2);
    }
  }

  pass(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.transport.close()));
  }
}
