/**
 * The storm: a whole cluster of cores on a virtual clock, one seed for everything. Phase one (safety) runs under faults,
 * phase two (liveness) without: within a bound of ticks there must be a leader, all logs must become equal and everything
 * pending must be resolved. Every invariant is asked after every input.
 */
import { EMPTY_CONFIGURATION, encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration, NodeId } from '../../src/raft/types.ts';
import type { WorldEvent } from '../invariants/world.ts';
import { formatMessage, formatPacket, formatReady } from '../raft/format.ts';
import { Agenda } from '../../src/testing/agenda.ts';
import { Calm } from './calm.ts';
import { Cluster } from './cluster.ts';
import type { DiskImage } from './disk.ts';
import type { Host, Packet } from './host.ts';
import { Membership } from './membership.ts';
import { drawProfile, TICK_MS } from './profile.ts';
import type { Profile } from './profile.ts';
import { Random } from '../../src/testing/random.ts';
import { TraceHash } from './trace-hash.ts';

export interface SimulationReport {
  readonly seed: number;
  /** Of the whole trace: equal for equal seeds, or chance came in from somewhere. */
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly elections: number;
  readonly snapshots: number;
  /** How often each kind was injected. */
  readonly faults: Readonly<Record<string, number>>;
  /** How often what is rare came up while the membership changed. */
  readonly sightings: Readonly<Record<string, number>>;
  /** Ticks of calm until a leader, and until all was whole. */
  readonly leaderTicks: number;
  readonly calmTicks: number;
}

export class SimulationFailure extends Error {
  constructor(seed: number, now: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`seed ${seed} fails at ${now.toFixed(1)} ms: ${reason}`, { cause });
    this.name = 'SimulationFailure';
  }
}

/** What surrounds a host: its pauses and its disk. */
interface Surroundings {
  /** What arrived while it was paused; null when it runs. */
  held: (() => void)[] | null;
  pumping: boolean;
  writing: boolean;
  applying: boolean;
  stalledUntil: number;
  restarting: boolean;
  /** Milliseconds between two ticks: clocks drift. */
  readonly tickMs: number;
}

export class Simulation {
  readonly seed: number;
  readonly profile: Profile;
  readonly cluster = new Cluster();
  readonly #agenda = new Agenda();
  readonly #random: Random;
  readonly #around = new Map<NodeId, Surroundings>();
  readonly #blocked = new Set<string>();
  /** Time until which a link's earlier packets are under way, for links that keep their order. */
  readonly #busyUntil = new Map<string, number>();
  readonly #hash = new TraceHash();
  readonly #write: ((line: string) => void) | null;
  #storm = true;
  #events = 0;
  #proposals = 0;
  #counts = { acknowledged: 0, reads: 0, elections: 0, snapshots: 0 };
  readonly #faults: Record<string, number> = {};
  readonly #membership: Membership;

  /** `write` gets every line of the trace. */
  constructor(seed: number, write: ((line: string) => void) | null = null) {
    this.seed = seed;
    this.#random = new Random(seed);
    this.profile = drawProfile(this.#random.fork());
    this.#write = write;
    this.#membership = new Membership({
      cluster: this.cluster,
      random: this.#random.fork(),
      add: (id) => this.#add(id, EMPTY_CONFIGURATION),
      end: (id) => this.#end(id),
      input: (id, action) => this.#input(id, action),
      after: (delayMs, action) => this.#agenda.after(delayMs, action),
      count: (fault) => this.#count(fault),
      line: (text) => this.#line(text),
    });
    this.cluster.onEvent = (event) => this.#observe(event);
    this.cluster.transport = (packet) => this.#transmit(packet);
  }

  run(): SimulationReport {
    try {
      const { leaderTicks, calmTicks } = this.#run();
      return {
        seed: this.seed,
        hash: this.#hash.value,
        events: this.#events,
        virtualMs: this.#agenda.now,
        ...this.#counts,
        faults: this.#faults,
        sightings: this.#membership.sightings.counts,
        leaderTicks,
        calmTicks,
      };
    } catch (error) {
      throw new SimulationFailure(this.seed, this.#agenda.now, error);
    }
  }

  #run(): { leaderTicks: number; calmTicks: number } {
    const { ids, configuration, every, stormMs } = this.profile;
    this.#line(`profile ${JSON.stringify(this.profile)}`);
    for (const id of ids) this.#add(id, configuration);
    this.#often(every.proposal, () => this.#propose());
    this.#often(every.read, () => this.#read());
    this.#often(every.crash, () => this.#crash());
    this.#often(every.partition, () => this.#partition());
    this.#often(every.pause, () => this.#pause());
    this.#often(every.stall, () => this.#stall());
    this.#often(every.compaction, () => this.#compact());
    this.#often(every.transfer, () => this.#transfer());
    this.#often(every.change, () => this.#with(true, (id) => this.#membership.change(id)));
    this.#often(every.wipe, () => this.#with(false, (id) => this.#membership.wipe(id)));
    while (this.#agenda.now < stormMs) this.#step();
    return this.#calm();
  }

  /** A node that begins with `configuration` as entry 1 of its log, as first members do; with an empty one it knows nothing. */
  #add(id: NodeId, configuration: Configuration): void {
    const { options, readBack } = this.profile;
    const dice = this.#random.fork();
    const fill = (image: DiskImage): void => {
      if (configuration.voters.length === 0) return;
      image.append([{ index: 1, term: 1, kind: 'config', data: encodeConfiguration(configuration) }]);
      image.hardState = { term: 1, vote: null, commit: 1 };
      image.configurations = [...image.configurations, { index: 1, configuration }];
    };
    this.cluster.add(id, EMPTY_CONFIGURATION, { ...options, random: () => dice.float() }, fill, readBack);
    this.#around.set(id, {
      held: null,
      pumping: false,
      writing: false,
      applying: false,
      stalledUntil: 0,
      restarting: false,
      tickMs: TICK_MS * (options.leaseReads ? 1 : 0.9 + 0.2 * this.#random.float()),
    });
    this.#input(id, (host) => host.start());
    this.#ticking(id);
  }

  /** For good. */
  #end(id: NodeId): void {
    this.#resume(id);
    this.#line(`${id} is gone`);
    this.cluster.node(id).crash(0);
  }

  #step(): void {
    if (!this.#agenda.step()) throw new Error('nothing is left to happen');
    this.cluster.now = this.#agenda.now;
  }

  // -- Phase two -------------------------------------------------------------------------------------------------------

  #calm(): { leaderTicks: number; calmTicks: number } {
    this.#line('-- calm --');
    this.#storm = false;
    this.#blocked.clear();
    for (const id of this.#membership.ids) {
      const around = this.#surroundings(id);
      around.stalledUntil = 0;
      this.#resume(id);
      if (!this.cluster.node(id).up && !around.restarting) this.#input(id, (host) => host.start());
      this.#pump(id);
    }
    return new Calm({
      cluster: this.cluster,
      membership: this.#membership,
      random: this.#random,
      now: () => this.#agenda.now,
      step: () => this.#step(),
      after: (delayMs, action) => this.#agenda.after(delayMs, action),
      input: (id, action) => this.#input(id, action),
      grid: () => this.#grid(),
    }).run();
  }

  // -- Running a host --------------------------------------------------------------------------------------------------

  /** Gives an input to a host, now or when its pause ends, before or after what has gathered meanwhile. */
  #input(id: NodeId, action: (host: Host) => void, first = false): void {
    const around = this.#surroundings(id);
    const run = (): void => {
      this.cluster.act(id, action);
      if (this.cluster.node(id).up) this.#arrange(id);
    };
    if (around.held === null) run();
    else if (first) around.held.unshift(run);
    else around.held.push(run);
  }

  #surroundings(id: NodeId): Surroundings {
    const around = this.#around.get(id);
    if (around === undefined) throw new Error(`there is no node ${id}`);
    return around;
  }

  #ticking(id: NodeId): void {
    const around = this.#surroundings(id);
    this.#agenda.after(around.tickMs, () => {
      // A stalled process sees one late tick, not all that it missed.
      if (around.held === null && this.cluster.node(id).up) this.#input(id, (host) => host.tick());
      this.#ticking(id);
    });
  }

  /** After an input: see that the Ready is taken, writes end, entries are applied. */
  #arrange(id: NodeId): void {
    const around = this.#surroundings(id);
    if (around.pumping) return;
    around.pumping = true;
    const lazy = this.#storm && this.#random.chance(this.profile.lazy);
    this.#agenda.after(lazy ? this.#random.between(1, 5) : 0, () => {
      around.pumping = false;
      this.#pump(id);
    });
  }

  #pump(id: NodeId): void {
    const host = this.cluster.node(id);
    const around = this.#surroundings(id);
    if (!host.up || around.held !== null) return;
    this.cluster.act(id, () => host.takeReady());
    if (host.core.hasReady()) this.#arrange(id);
    if (!around.writing && host.disk.queue.length > 0) {
      around.writing = true;
      const { minWriteMs, maxWriteMs } = this.profile.disk;
      const wait = this.#storm ? this.#random.between(minWriteMs, maxWriteMs) : 1;
      const starts = host.starts;
      const finish = (): void => {
        if (host.starts !== starts || !host.up) return;
        if (around.stalledUntil > this.#agenda.now) {
          this.#agenda.after(around.stalledUntil - this.#agenda.now, finish);
          return;
        }
        this.#input(id, () => {
          if (!host.up || host.starts !== starts) return;
          around.writing = false;
          host.persist(this.#random.between(1, host.disk.queue.length));
        });
      };
      this.#agenda.after(wait, finish);
    }
    if (!around.applying && host.unapplied > 0) {
      around.applying = true;
      this.#agenda.after(this.#random.between(0, 2), () => {
        around.applying = false;
        if (!host.up) return;
        this.#input(id, () => {
          if (!host.up) return;
          host.apply(this.#random.between(1, host.unapplied + 1));
          if (this.#random.chance(0.2)) host.flush();
        });
      });
    }
  }

  // -- Network ---------------------------------------------------------------------------------------------------------

  #transmit(packet: Packet): void {
    const { minDelayMs, maxDelayMs, loss, duplication, late, ordered } = this.profile.network;
    const random = this.#random;
    const key = `${packet.from}>${packet.to}`;
    if (this.#storm && (this.#blocked.has(key) || random.chance(loss))) {
      this.#lose(packet);
      return;
    }
    let delay = this.#storm ? minDelayMs + random.float() * (maxDelayMs - minDelayMs) : 1 + random.float();
    if (packet.kind === 'snapshot') delay += random.between(0, this.#storm ? 200 : 20);
    else if (ordered || !this.#storm) {
      const busy = this.#busyUntil.get(key) ?? 0;
      delay = Math.max(delay, busy - this.#agenda.now);
      this.#busyUntil.set(key, this.#agenda.now + delay);
    }
    if (this.#storm && !ordered && random.chance(late)) {
      delay += random.between(50, random.pick([200, 1000]));
      this.#count('packet late');
    }
    this.#carry(packet, delay);
    if (this.#storm && packet.kind === 'message' && random.chance(duplication)) {
      this.#count('packet twice');
      this.#carry(packet, delay + random.between(0, random.pick([5, 50, 500])));
    }
  }

  #carry(packet: Packet, delay: number): void {
    this.#agenda.after(delay, () => {
      if (this.#storm && this.#blocked.has(`${packet.from}>${packet.to}`)) this.#lose(packet);
      else if (!this.cluster.node(packet.to).up) this.#lose(packet);
      else if (packet.kind === 'message') {
        this.#input(packet.to, (host) => host.up && host.step(packet.message));
      } else {
        if (this.#write !== null) this.#print(formatPacket(packet));
        this.#input(packet.to, (host) => host.up && host.receiveSnapshot(packet));
        this.#input(packet.from, () => this.cluster.streamEnded(packet, true));
      }
    });
  }

  #lose(packet: Packet): void {
    this.#count('packet lost');
    if (this.#write !== null) this.#print(`lost: ${formatPacket(packet)}`);
    if (packet.kind === 'snapshot') {
      this.#agenda.after(this.#random.between(5, 50), () => {
        this.#input(packet.from, () => this.cluster.streamEnded(packet, false));
      });
    } else if (this.#random.chance(0.2)) {
      // The transport notices some of its losses.
      this.#agenda.after(1, () => this.#input(packet.from, (host) => host.up && host.peerUnreachable(packet.to)));
    }
  }

  // -- Clients and faults ----------------------------------------------------------------------------------------------

  /** Repeats something at random intervals while the storm lasts. */
  #often(meanMs: number, action: () => void): void {
    if (meanMs === Infinity) return;
    const next = (): void => {
      this.#agenda.after(1 + this.#random.float() * 2 * meanMs, () => {
        if (!this.#storm) return;
        action();
        next();
      });
    };
    next();
  }

  /** A node that is up, mostly the leader when `leader` is set. */
  #someone(leader: boolean): NodeId | null {
    const chosen = leader && this.#random.chance(0.7) ? this.cluster.leader() : undefined;
    if (chosen !== undefined) return chosen.id;
    const id = this.#random.pick(this.#membership.ids);
    return this.cluster.node(id).up ? id : null;
  }

  #with(leader: boolean, action: (id: NodeId) => void): void {
    const id = this.#someone(leader);
    if (id !== null) action(id);
  }

  #propose(): void {
    const id = this.#someone(true);
    if (id === null) return;
    const batch = this.#random.pick([1, 1, 1, 3, 10]);
    const data = Array.from({ length: batch }, () => {
      this.#proposals += 1;
      return new TextEncoder().encode(`${this.#proposals}${'.'.repeat(this.#random.pick([0, 0, 10, 80]))}`);
    });
    this.#input(id, (host) => host.up && void host.propose(data), this.#random.chance(0.5));
  }

  #read(): void {
    const id = this.#someone(false);
    // A paused leader that wakes up may be asked before it hears what has happened: the hardest moment for a read.
    if (id !== null) this.#input(id, (host) => host.up && void host.readIndex(), this.#random.chance(0.5));
  }

  #crash(): void {
    const id = this.#someone(true);
    if (id === null) return;
    const host = this.cluster.node(id);
    const around = this.#surroundings(id);
    if (around.restarting) return;
    this.#resume(id);
    this.#count('crash');
    host.crash(this.#random.between(0, host.disk.vulnerable));
    Object.assign(around, { writing: false, stalledUntil: 0, restarting: true });
    this.#hint(id);
    this.#agenda.after(this.#random.between(1, this.#random.pick([10, 300, 1000])), () => {
      around.restarting = false;
      if (!this.#membership.gone.has(id)) this.#input(id, (dead) => dead.start());
    });
  }

  /** Some of the others see the connection refused; a hint may even come when the process is back already. */
  #hint(id: NodeId): void {
    for (const other of this.#membership.ids) {
      if (other === id || !this.#random.chance(0.5)) continue;
      this.#agenda.after(this.#random.between(1, 30), () => this.#input(other, (peer) => peer.up && peer.peerLost(id)));
    }
  }

  #partition(): void {
    const { ids } = this.#membership;
    const some = ids.filter(() => this.#random.chance(0.5));
    const side = new Set(this.#random.chance(0.4) ? [this.#random.pick(ids)] : some);
    const oneWay = this.#random.chance(0.4);
    const cut: string[] = [];
    for (const a of ids) {
      for (const b of ids) {
        if (side.has(a) && !side.has(b)) cut.push(`${a}>${b}`, ...(oneWay ? [] : [`${b}>${a}`]));
      }
    }
    for (const key of cut) this.#blocked.add(key);
    this.#count('partition');
    this.#line(`partition ${cut.join(' ')}`);
    this.#agenda.after(this.#random.between(20, this.#random.pick([100, 500, 1500])), () => {
      for (const key of cut) this.#blocked.delete(key);
      this.#line(`healed ${cut.join(' ')}`);
    });
  }

  #pause(): void {
    const id = this.#someone(true);
    if (id === null || this.#surroundings(id).held !== null) return;
    this.#surroundings(id).held = [];
    this.#count('pause');
    this.#line(`${id} pauses`);
    // Somebody may take the silence for a crash.
    if (this.#random.chance(0.3)) this.#hint(id);
    this.#agenda.after(this.#random.between(10, this.#random.pick([50, 500])), () => this.#resume(id));
  }

  #resume(id: NodeId): void {
    const around = this.#surroundings(id);
    const held = around.held;
    if (held === null) return;
    around.held = null;
    this.#line(`${id} resumes`);
    // What arrived meanwhile comes first, then the late tick of the schedule.
    for (const run of held) {
      if (!this.cluster.node(id).up) break;
      run();
      // It does not all happen in one turn: what the first of these brings about goes out before the next is looked at.
      if (this.#random.chance(0.3)) this.#pump(id);
    }
    this.#pump(id);
  }

  #stall(): void {
    const id = this.#someone(true);
    if (id === null) return;
    this.#surroundings(id).stalledUntil = this.#agenda.now + this.#random.between(10, this.#random.pick([50, 500]));
    this.#count('disk-stall');
    this.#line(`the disk of ${id} stalls`);
  }

  #compact(): void {
    const id = this.#someone(false);
    if (id === null) return;
    this.#input(id, (host) => {
      if (!host.up) return;
      this.#count('compaction');
      host.flush();
      host.compact(host.disk.durable.applied.index - this.#random.pick([0, 0, 1, 5, 20]));
    });
  }

  #transfer(): void {
    const id = this.#someone(true);
    if (id === null) return;
    this.#count('transfer');
    this.#input(id, (host) => host.up && void host.transfer(this.#random.pick([null, ...this.#membership.ids])));
  }

  // -- Trace -----------------------------------------------------------------------------------------------------------

  #observe(event: WorldEvent): void {
    if (event.type === 'ready' && event.ready.softState?.role === 'leader') this.#counts.elections += 1;
    else if (event.type === 'acknowledged') this.#counts.acknowledged += 1;
    else if (event.type === 'installed') this.#counts.snapshots += 1;
    else if (event.type === 'readReleased') this.#counts.reads += 1;
    this.#membership.observe(event);
    this.#events += 1;
    this.#hash.event(this.#agenda.now, event);
    if (this.#write !== null) for (const line of describe(event)) this.#print(line);
  }

  #line(text: string): void {
    this.#events += 1;
    this.#hash.text(this.#agenda.now, text);
    if (this.#write !== null) this.#print(text);
  }

  #print(text: string): void {
    this.#write?.(`${this.#grid()} ${this.#agenda.now.toFixed(2)} ${text}`);
  }

  #count(fault: string): void {
    this.#faults[fault] = (this.#faults[fault] ?? 0) + 1;
  }

  /** All nodes at a glance: role, term, commit and last index of each. */
  #grid(): string {
    const cell = (host: Host): string => {
      if (!host.up) return 'down';
      const { role, term, commit, lastIndex } = host.status;
      return `${role === 'preCandidate' ? 'P' : role.slice(0, 1).toUpperCase()}${term}:${commit}/${lastIndex}`;
    };
    return [...this.cluster.hosts.values()].map(cell).join(' ');
  }
}

function describe(event: WorldEvent): string[] {
  const { id } = event.node;
  switch (event.type) {
    case 'ready':
      return formatReady(id, event.ready, false);
    case 'sent':
      return [formatMessage(event.message)];
    case 'applied':
      return [`${id} applies ${event.entry.term}/${event.entry.index}`];
    case 'acknowledged':
      return [`${id} acknowledges ${event.term}/${event.index}`];
    case 'installed':
      return [`${id} installed ${event.snapshot.term}/${event.snapshot.index}`];
    case 'readReleased':
      return [`${id} releases read ${event.token} at ${event.index}`];
    case 'crashed':
      return [`${id} crashes`];
    case 'accepted':
      return [`${id} accepts ${event.count} at ${event.term}/${event.firstIndex}`];
    default:
      return [`${id} ${event.type}`];
  }
}
