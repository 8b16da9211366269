/** Peers without a replica on virtual time and network: the driver, its links and its disk, as agents have them. */
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { PrivateKey } from '@libp2p/interface';
import type { GossipSettings, MemberEventKind, MemberRole, MemberState } from '../../../src/gossip/index.ts';
import { GossipDriver } from '../../../src/node/gossip/driver.ts';
import { encodeMetadata } from '../../../src/node/gossip/metadata.ts';
import type { Identity } from '../../../src/node/identity.ts';
import { LinkPool } from '../../../src/node/links.ts';
import { openMemoryStore, type MemoryStore } from '../../../src/storage/memory-store.ts';
import { Random } from '../../../src/testing/random.ts';
import { seededKey } from '../../../src/testing/seeded-key.ts';
import { VirtualTime, type VirtualProcess } from '../../../src/testing/virtual-time.ts';
import { MemoryNetwork } from '../../../src/transport/memory-transport.ts';
import { memberId } from '../../../src/transport/peer-id.ts';
import type { Channel, Hello, Transport } from '../../../src/transport/types.ts';

const SECRET = 'a secret that all peers share';
const CLUSTER = '4711';

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export class Peers {
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly settings: Partial<GossipSettings>;
  readonly all: TestPeer[] = [];

  constructor(seed: number, settings: Partial<GossipSettings> = {}) {
    this.random = new Random(seed);
    this.settings = settings;
    this.network = new MemoryNetwork({ schedule: (delayMs, task) => this.time.schedule(delayMs, task) });
  }

  /** A peer that is not started. */
  add(name: string): TestPeer {
    const peer = new TestPeer(this, name, seededKey(this.random.bytes(32)));
    this.all.push(peer);
    return peer;
  }

  /** So many that know the first of them only, and run until all know all. */
  async meet(count: number): Promise<TestPeer[]> {
    const peers = Array.from({ length: count }, (_, i) => this.add(`p${i + 1}`));
    for (const peer of peers) await peer.start(peer === peers[0] ? [] : [peers[0]!]);
    await this.until(() => peers.every((peer) => peer.count('alive') === count), 'all know all', 60_000);
    return peers;
  }

  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    try {
      await this.time.run(condition, limitMs);
    } catch (cause) {
      throw new Error(`${what}: ${String(cause)}`, { cause });
    }
  }

  close(): void {
    for (const peer of this.all) if (peer.running) peer.crash();
  }
}

export class TestPeer {
  readonly name: string;
  readonly address: string;
  readonly key: PrivateKey;
  readonly id: string;
  readonly peerId: string;
  store!: MemoryStore;
  gossip!: GossipDriver;
  transport!: Transport;
  links!: LinkPool;
  process!: VirtualProcess;
  running = false;
  epoch = 0;
  role: MemberRole = 'agent';
  metadata: Readonly<Record<string, string>> = {};
  maxLinks = 512;
  /** What it was told of others. */
  readonly events: { readonly event: MemberEventKind; readonly name: string; readonly atMs: number }[] = [];
  readonly #peers: Peers;

  constructor(peers: Peers, name: string, key: PrivateKey) {
    this.#peers = peers;
    this.name = name;
    this.address = `${name}:1`;
    this.key = key;
    const peerId = peerIdFromPrivateKey(key);
    this.peerId = peerId.toString();
    this.id = memberId(peerId);
  }

  get identity(): Identity {
    return { id: this.id, peerId: this.peerId, privateKey: this.key, bootEpoch: this.epoch };
  }

  hello(): Hello {
    const { id, name, peerId, epoch: bootEpoch, address } = this;
    const extra = { role: this.role };
    return { clusterId: CLUSTER, id, name, peerId, bootEpoch, address, http: '', pid: 1, protocol: 1, extra };
  }

  /** `links`: without gossip, a peer that says what the test says. */
  async start(contacts: readonly TestPeer[], { mute = false }: { mute?: boolean } = {}): Promise<void> {
    const { time, random, network, settings } = this.#peers;
    this.epoch++;
    this.running = true;
    this.process = time.process(() => random.float());
    this.store =
      this.store === undefined
        ? await openMemoryStore({ schedule: (task) => void time.schedule(0.3, task) })
        : await this.store.crash({ keepUnsynced: Infinity });
    this.transport = network.createTransport({
      address: this.address,
      credential: () => ({ secret: SECRET }),
      wallTime: () => time.now,
      process: this.process,
      handlers: {
        hello: () => this.hello(),
        admit: () => ({ ok: true }),
        frame: (from, channel, frame) => this.frame(from, channel, frame),
        peer: (event) => {
          if (event.type === 'up') this.links.up(event.peer);
          if (event.type === 'down') this.links.down(event.peer.id);
        },
      },
    });
    const { transport } = this;
    this.links = new LinkPool({ env: this.process, transport, isKept: () => false, maxLinks: this.maxLinks });
    const names = new Map(this.#peers.all.map(({ id, name }) => [id, name]));
    this.gossip = new GossipDriver({
      env: this.process,
      identity: this.identity,
      clusterId: CLUSTER,
      name: this.name,
      role: () => this.role,
      addresses: () => [this.address],
      http: () => '',
      metadata: encodeMetadata(this.metadata),
      links: this.links,
      peerIdOf: (id) => transport.peer(id)?.hello.peerId,
      store: this.store,
      staged: () => this.store.commit(false, () => undefined),
      logger: SILENT,
      changed: ({ event, id }) => this.events.push({ event, name: names.get(id) ?? id, atMs: time.now }),
      settings,
    });
    if (!mute) this.gossip.start(contacts.map(({ peerId, address }) => ({ peerId, addresses: [address] })));
  }

  frame(from: string, channel: Channel, frame: Uint8Array): void {
    if (channel === 'ping' || channel === 'gossip') this.gossip.frame(from, frame);
  }

  state(of: TestPeer): MemberState | undefined {
    return this.gossip.member(of.id)?.state;
  }

  count(state: MemberState): number {
    return this.gossip.members().filter((member) => member.state === state).length;
  }

  /** What it was told of one other, in order. */
  told(of: TestPeer): MemberEventKind[] {
    return this.events.filter(({ name }) => name === of.name).map(({ event }) => event);
  }

  /** As by SIGKILL. */
  crash(): void {
    this.running = false;
    this.process.stop();
    this.#peers.network.crash(this.address);
  }

  async close(): Promise<void> {
    await this.gossip.leave();
    this.gossip.close();
    this.links.close();
    await this.transport.close();
    this.process.stop();
    this.running = false;
  }
}
