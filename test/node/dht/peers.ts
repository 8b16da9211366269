/** Peers that have nothing but the DHT, on virtual time and network: the driver and its links, as members and agents have them. */
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { recordBytes } from '../../../src/dht/index.ts';
import type { DhtMessage, DhtTuning, RecordKind, SignedRecord } from '../../../src/dht/index.ts';
import { DhtDriver } from '../../../src/node/dht/driver.ts';
import { encodeEnvelope } from '../../../src/node/dht/envelope.ts';
import { encodeDht } from '../../../src/node/dht/frames.ts';
import { Hosting } from '../../../src/node/dht/hosting.ts';
import { MovedPeers } from '../../../src/node/dht/moved-peers.ts';
import { keyOf } from '../../../src/node/dht/names.ts';
import { DhtService } from '../../../src/node/dht/service.ts';
import { LinkPool } from '../../../src/node/links.ts';
import { Signatures } from '../../../src/node/signatures.ts';
import { Random } from '../../../src/testing/random.ts';
import { seededKey } from '../../../src/testing/seeded-key.ts';
import { VirtualTime, type VirtualProcess } from '../../../src/testing/virtual-time.ts';
import { MemoryNetwork } from '../../../src/transport/memory-transport.ts';
import { memberId } from '../../../src/transport/peer-id.ts';
import type { Hello, Transport } from '../../../src/transport/types.ts';

const SECRET = 'a secret that all peers share';
export const CLUSTER = '4711';
const HOUR_MS = 3_600_000;

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export class Peers {
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly all: TestPeer[] = [];

  constructor(seed: number) {
    this.random = new Random(seed);
    this.network = new MemoryNetwork({
      schedule: (delayMs, task) => this.time.schedule(delayMs, task),
      delayMs: () => 1,
    });
  }

  /** A peer that is not started. */
  add(name: string): TestPeer {
    const peer = new TestPeer(this, name, seededKey(this.random.bytes(32)));
    this.all.push(peer);
    return peer;
  }

  /** So many that know the first of them only, and run until each has found its place. */
  async meet(count: number): Promise<TestPeer[]> {
    const peers = Array.from({ length: count }, (_, i) => this.add(`p${i + 1}`));
    for (const peer of peers) peer.start(peer === peers[0] ? [] : [peers[0]!]);
    await this.until(() => peers.every(({ driver }) => driver.stats().joined), 'all have joined');
    return peers;
  }

  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    try {
      await this.time.run(condition, limitMs);
    } catch (cause) {
      throw new Error(`${what}: ${String(cause)}`, { cause });
    }
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.time.settle(promise, 120_000);
  }

  close(): void {
    for (const peer of this.all) peer.crash();
  }
}

export class TestPeer {
  readonly name: string;
  readonly key: PrivateKey;
  readonly id: string;
  readonly peerId: string;
  address: string;
  driver!: DhtDriver;
  dht!: DhtService;
  hosting!: Hosting;
  moved!: MovedPeers;
  links!: LinkPool;
  transport!: Transport;
  process: VirtualProcess | null = null;
  readonly #peers: Peers;

  constructor(peers: Peers, name: string, key: PrivateKey) {
    this.#peers = peers;
    this.name = name;
    this.key = key;
    this.address = `${name}:1`;
    const peerId = peerIdFromPrivateKey(key);
    this.peerId = peerId.toString();
    this.id = memberId(peerId);
  }

  hello(): Hello {
    const { id, name, peerId, address } = this;
    return { clusterId: CLUSTER, id, name, peerId, bootEpoch: 1, address, http: '', pid: 1, protocol: 1, extra: {} };
  }

  start(contacts: readonly TestPeer[], tuning: Partial<DhtTuning> = {}): void {
    const { time, random, network } = this.#peers;
    const env = time.process(() => random.float());
    this.process = env;
    const transport = network.createTransport({
      address: this.address,
      credential: () => ({ secret: SECRET }),
      wallTime: () => time.now,
      process: env,
      handlers: {
        hello: () => this.hello(),
        admit: () => ({ ok: true }),
        frame: (from, channel, frame) => {
          if (channel === 'dht') this.driver.frame(from, frame);
        },
        peer: (event) => {
          if (event.type === 'up') this.links.up(event.peer);
          if (event.type === 'down') this.links.down(event.peer.id);
        },
      },
    });
    this.transport = transport;
    this.links = new LinkPool({
      env,
      transport,
      isKept: () => false,
      unreached: (id, tried) => this.moved.look(id, tried),
    });
    const { links } = this;
    this.driver = new DhtDriver({
      env,
      identity: { id: this.id, peerId: this.peerId, privateKey: this.key, bootEpoch: 1 },
      clusterId: CLUSTER,
      links,
      peer: (id) => transport.peer(id),
      tuning,
    });
    const { driver } = this;
    this.hosting = new Hosting({ env, driver, logger: SILENT });
    const { hosting } = this;
    this.dht = new DhtService((action) => action({ driver, hosting }));
    this.moved = new MovedPeers({ env, driver, links, logger: SILENT, isAgent: () => false, mayLook: () => true });
    for (const peer of contacts) this.knows(peer);
  }

  /** Is told of another one, where that is now. */
  knows({ peerId, name, address }: TestPeer): void {
    this.driver.addContact({ peerId, name, addresses: [address] });
  }

  /** What this peer could sign; `change` comes after the signature when it is `forged`. */
  record(name: string, body: Uint8Array | string, change: Partial<SignedRecord> = {}): SignedRecord {
    const kind: RecordKind = name.startsWith('group/') || name.startsWith('service/') ? 'provider' : 'value';
    const wallMs = this.process!.wallTime();
    const unsigned = {
      ...{ kind, key: keyOf(name), value: encodeEnvelope({ name, body: Buffer.from(body) }) },
      ...{ seq: wallMs, notAfter: wallMs + HOUR_MS, peerId: this.peerId },
      ...change,
    };
    return { signature: new Signatures(this.key).sign(recordBytes(CLUSTER, unsigned)), ...unsigned };
  }

  /** Sends what no driver would; needs a link. */
  send(to: TestPeer, message: DhtMessage): void {
    if (!this.transport.send(to.id, 'dht', encodeDht(message))) throw new Error(`no link to ${to.name}`);
  }

  /** As by SIGKILL. */
  crash(): void {
    if (this.process === null) return;
    this.process.stop();
    this.process = null;
    this.#peers.network.crash(this.address);
  }
}
