/**
 * Several hosts and what lies between them: a queue for each directed link, whose packets move when somebody says so.
 * Every invariant is asked after every input. Scenario scripts, the traps and the simulation all stand on this.
 */
import type { Configuration, Entry, NodeId, RaftOptions } from '../../src/raft/types.ts';
import { allInvariants } from '../invariants/index.ts';
import type { Invariant, NodeView, World, WorldEvent } from '../invariants/world.ts';
import type { DiskImage, ReadBack } from './disk.ts';
import { Host } from './host.ts';
import type { Packet } from './host.ts';

export type HostOptions = Omit<RaftOptions, 'bootEpoch' | 'id'>;

export const DEFAULT_OPTIONS: HostOptions = {
  group: 1,
  electionTicks: 10,
  heartbeatTicks: 2,
  maxAppendBytes: 1024 * 1024,
  maxInflightMessages: 256,
  maxInflightBytes: 64 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxApplyBytes: 1024 * 1024,
  maxCachedBytes: 1024 * 1024,
  leaseReads: false,
  tickMs: 10,
  crashHintTicks: 5,
  // Late in the range [electionTicks, 2·electionTicks), so that a script decides who campaigns first.
  random: () => 0.95,
};

export function configuration(voters: readonly NodeId[], more: Partial<Configuration> = {}): Configuration {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, ...more };
}

export class Cluster implements World {
  readonly hosts = new Map<NodeId, Host>();
  readonly committed: (Entry | undefined)[] = [];
  highestCommit = 0;
  /** Packets under way, oldest first, by `from>to`. */
  readonly links = new Map<string, Packet[]>();
  /** Told of everything, before the invariants look. */
  onEvent: (event: WorldEvent) => void = () => {};
  /** Where packets go. Default: to the end of their link's queue. */
  transport: (packet: Packet) => void = (packet) => {
    this.link(packet.from, packet.to).push(packet);
  };
  now = 0;
  readonly invariants: readonly Invariant[];

  constructor(invariants: readonly Invariant[] = allInvariants()) {
    this.invariants = invariants;
  }

  get nodes(): readonly NodeView[] {
    return [...this.hosts.values()];
  }

  node(id: NodeId): Host {
    const host = this.hosts.get(id);
    if (host === undefined) throw new Error(`there is no node ${id}`);
    return host;
  }

  link(from: NodeId, to: NodeId): Packet[] {
    const key = `${from}>${to}`;
    let queue = this.links.get(key);
    if (queue === undefined) {
      queue = [];
      this.links.set(key, queue);
    }
    return queue;
  }

  add(
    id: NodeId,
    initial: Configuration,
    options: Partial<HostOptions> = {},
    fill: (image: DiskImage) => void = () => {},
    readBack: ReadBack = 'staged',
  ): Host {
    const host = new Host(
      id,
      { ...DEFAULT_OPTIONS, ...options },
      {
        send: (packet) => this.transport(packet),
        event: (event) => this.#observe(event),
        now: () => this.now,
      },
      readBack,
    );
    host.disk.prepare((image) => {
      image.configurations = [{ index: 0, configuration: initial }];
      fill(image);
    });
    this.hosts.set(id, host);
    return host;
  }

  /** Runs an input of a node, then asks every invariant about it. */
  act<T>(id: NodeId, action: (host: Host) => T): T {
    const host = this.node(id);
    const result = action(host);
    this.check(host);
    return result;
  }

  check(host: Host): void {
    if (!host.up) return;
    this.highestCommit = Math.max(this.highestCommit, host.status.commit);
    for (const invariant of this.invariants) invariant.check?.(host, this);
  }

  checkConverged(): void {
    for (const invariant of this.invariants) invariant.checkConverged?.(this);
  }

  /** Gives a packet to its receiver, or drops it when that is down. Answers a snapshot's sender as its stream would. */
  deliver(packet: Packet): void {
    const receiver = this.node(packet.to);
    if (packet.kind === 'message') {
      if (receiver.up) this.act(packet.to, (host) => host.step(packet.message));
      return;
    }
    if (receiver.up) this.act(packet.to, (host) => host.receiveSnapshot(packet));
    this.streamEnded(packet, receiver.up);
  }

  /** Loses a packet; the sender of a snapshot notices, as its stream breaks. */
  drop(packet: Packet): void {
    if (packet.kind === 'snapshot') this.streamEnded(packet, false);
  }

  streamEnded(packet: Packet & { kind: 'snapshot' }, ok: boolean): void {
    const sender = this.node(packet.from);
    if (!sender.up || sender.starts !== packet.starts) return;
    this.act(packet.from, (host) => host.snapshotSent(packet.to, packet.meta.index, ok));
  }

  /** Takes one Ready of a node, ends all its writes and applies. True when anything happened. */
  process(id: NodeId): boolean {
    return this.act(id, (host) => {
      const ready = host.takeReady();
      const wrote = host.persist(Infinity);
      return host.apply() > 0 || wrote || ready !== null;
    });
  }

  /**
   * Processes and delivers everywhere until nothing moves. `only` limits it to some nodes (and the links between them).
   * Throws when it never ends: a core that chatters without a tick is broken.
   */
  settle(only: (id: NodeId) => boolean = () => true): void {
    for (let round = 0; round < 10_000; round++) {
      let moved = false;
      for (const host of this.hosts.values()) {
        while (host.up && only(host.id) && this.process(host.id)) moved = true;
      }
      for (const [key, queue] of this.links) {
        const [from = '', to = ''] = key.split('>');
        if (!only(from) || !only(to)) continue;
        for (const packet of queue.splice(0)) {
          moved = true;
          this.deliver(packet);
        }
      }
      if (!moved) return;
    }
    throw new Error('the cluster never comes to rest');
  }

  /** Ticks some nodes, one tick each, settling after every tick unless told not to. */
  tick(ids: Iterable<NodeId> = this.hosts.keys(), count = 1, settle = true): void {
    const chosen = [...ids];
    for (let i = 0; i < count; i++) {
      this.now += 10;
      for (const id of chosen) if (this.node(id).up) this.act(id, (host) => host.tick());
      if (settle) this.settle();
    }
  }

  /** The node that leads in the highest term, if any. */
  leader(): Host | undefined {
    let best: Host | undefined;
    for (const host of this.hosts.values()) {
      if (!host.up || host.status.role !== 'leader') continue;
      if (best === undefined || host.status.term > best.status.term) best = host;
    }
    return best;
  }

  #observe(event: WorldEvent): void {
    if (event.type === 'applied') this.committed[event.entry.index] ??= event.entry;
    this.onEvent(event);
    for (const invariant of this.invariants) invariant.observe?.(event, this);
  }
}
