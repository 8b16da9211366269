/** Injects the planned faults into a simulated cluster, and takes them back: what each kind does. */
import type { Random } from '../../src/testing/random.ts';
import { Random as Dice } from '../../src/testing/random.ts';
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { MemberFaults, MEMBER_KINDS, type MemberKind } from './member-faults.ts';
import type { Observer } from './observer.ts';
import { MOMENTS, type Moment } from './sightings.ts';
import * as shapes from './partitions.ts';
import { Partitions, type Link } from './partitions.ts';
import type { FaultKind, Plan, PlannedFault } from './plan.ts';

/** How the network and the disks are at the moment; read by the cluster for every frame and write. */
export interface Weather {
  loss: number;
  extraDelayMs: number;
  readonly writeFactor: Map<string, number>;
}

/** Moments that are seldom enough for a fault to strike at the first. */
const RARE: ReadonlySet<Moment> = new Set(
  MOMENTS.filter((moment) => /^snapshot|^binding|^adopting|^truncating|^handing-over/.test(moment)),
);

/** A fault that waits for its moment. */
interface Waiting {
  readonly fault: PlannedFault;
  readonly dice: Dice;
  /** How many of these moments are let pass. */
  skip: number;
}

export class Faults {
  readonly counts = new Map<string, number>();
  readonly weather: Weather = { loss: 0, extraDelayMs: 0, writeFactor: new Map() };
  /** Nodes with a byte flipped on their disk: they may stop for good, or may not start. */
  readonly damaged = new Set<SimNode>();
  readonly #cluster: SimCluster;
  readonly #observer: Observer;
  readonly #plan: Plan;
  readonly #partitions: Partitions;
  readonly #members: MemberFaults;
  readonly #log: (line: string) => void;
  /** What ends the faults that are at work. */
  readonly #healing = new Set<() => void>();
  /** Nodes that wait for their restart: a timer will start them. */
  readonly #resting = new Set<SimNode>();
  /** Wiped nodes, with what brings their own disk back. */
  readonly #wiped = new Map<SimNode, () => void>();
  readonly #waiting = new Map<Moment, Waiting[]>();
  /** Nodes whose disk takes no writes until then. */
  readonly #full = new Map<SimNode, number>();
  #calm = false;

  constructor(cluster: SimCluster, observer: Observer, plan: Plan, log: (line: string) => void) {
    this.#cluster = cluster;
    this.#observer = observer;
    this.#plan = plan;
    this.#partitions = new Partitions(cluster);
    this.#members = new MemberFaults(cluster, observer, log);
    this.#log = log;
    this.weather.loss = plan.network.loss;
    observer.sightings.onMoment = (moment, node, other) => this.#moment(moment, node, other);
  }

  schedule(): void {
    for (const fault of this.#plan.faults) {
      this.#cluster.time.schedule(fault.atMs, () => {
        if (this.#calm) return;
        const dice = new Dice(fault.dice);
        if (fault.moment === null) this.#inject(fault, dice, this.#someone(dice));
        else
          this.#wait(fault.moment, {
            fault,
            dice,
            skip: dice.pick([0, 0, 0, 1, ...(RARE.has(fault.moment) ? [] : [4, 20])]),
          });
      });
    }
  }

  #wait(moment: Moment, waiting: Waiting): void {
    const list = this.#waiting.get(moment);
    if (list === undefined) this.#waiting.set(moment, [waiting]);
    else list.push(waiting);
  }

  #moment(moment: Moment, node: SimNode, other: SimNode | null): void {
    const first = this.#waiting.get(moment)?.[0];
    if (first === undefined || this.#calm || first.skip-- > 0) return;
    this.#waiting.get(moment)?.shift();
    const { fault, dice } = first;
    const victim = dice.chance(0.7) ? node : dice.chance(0.5) ? (other ?? node) : this.#someone(dice);
    // Never in the middle of it: at the earliest at the end of the turn, when writes are under way and messages have left.
    this.#cluster.time.schedule(dice.pick([0, 0, 3 * dice.float(), 50 * dice.float()]), () => {
      if (!this.#calm) this.#inject(fault, dice, victim);
    });
  }

  /** A node that stopped itself: allowed only for a reason that a fault gave. Its process is started again after a while. */
  stoppedItself(node: SimNode, dice: Random): void {
    const { failure } = node;
    if (failure === null) return;
    const code = (failure as { code?: string }).code ?? '';
    if (this.#churns && this.#members.stopped(node, code)) {
      this.#log(`${node.name} is no member: ${code}`);
      return;
    }
    const wiped = this.#wiped.has(node);
    const expected =
      code === 'ERR_STORE_POISONED' ||
      (code === 'ERR_CORRUPT' && this.damaged.has(node)) ||
      (code === 'ERR_MEMBER_REPLACED' && wiped) ||
      (code === 'ERR_BOOTSTRAP_CONFLICT' && wiped);
    if (!expected) throw failure;
    this.#log(`${node.name} stopped itself: ${code}`);
    if (code !== 'ERR_STORE_POISONED') return;
    if ((this.#full.get(node) ?? 0) > this.#cluster.now) this.#failWrites(node);
    this.startLater(node, dice.between(10, 1500));
  }

  /** All faults end; every node that can run is started. */
  calm(): void {
    this.#calm = true;
    this.#members.calm();
    this.#full.clear();
    for (const heal of [...this.#healing]) heal();
    this.#healing.clear();
    this.weather.loss = 0;
    this.weather.extraDelayMs = 0;
    this.#cluster.heal();
    for (const [node, restore] of this.#wiped) {
      node.crash();
      restore();
    }
    this.#wiped.clear();
    for (const node of this.#cluster.nodes) {
      node.resume();
      node.disk.release();
      // A write error that was prepared and never came would come in the calm.
      node.disk.failNextWrite(null);
      if (!node.alive && !this.lost(node)) void node.start();
    }
    this.#resting.clear();
  }

  /** It cannot run again: its disk is damaged, and it has said so. */
  lost(node: SimNode): boolean {
    return this.damaged.has(node) && node.state === 'failed' && codeOf(node.failure) === 'ERR_CORRUPT';
  }

  #inject({ kind, moment }: PlannedFault, dice: Dice, victim: SimNode): void {
    const done = this.#dispatch(kind, dice, victim);
    if (done === null) return;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    if (moment !== null) this.counts.set(`at ${moment}`, (this.counts.get(`at ${moment}`) ?? 0) + 1);
    this.#log(`fault ${kind} ${done}${moment === null ? '' : ` (at ${moment})`}`);
  }

  /** What was done, null when there was nothing to do it to. */
  #dispatch(kind: FaultKind, dice: Random, victim: SimNode): string | null {
    const { nodes } = this.#cluster;
    if (isMemberKind(kind)) return this.#members.inject(kind, dice, victim);
    switch (kind) {
      case 'crash':
        return this.#crash(victim, dice.pick([0, 0, 0, 1, 2, 5, Infinity]), dice);
      case 'kill':
        return this.#crash(victim, Infinity, dice);
      case 'power-out':
        for (const node of nodes) this.#crash(node, dice.pick([0, 0, 1, 3]), dice);
        return 'all';
      case 'close':
        return this.#close(victim, dice);
      case 'pause':
        return this.#pause(victim, dice.float() * dice.pick([50, 500, 3000, 10_000]));
      case 'sleep': {
        // Long enough that the others elect another one, who is written to.
        const ms = this.#plan.timing.electionTimeoutMs * (1.5 + 3 * dice.float());
        return this.#cluster.leader === null ? null : this.#pause(this.#cluster.leader, ms);
      }
      case 'starve':
        return this.#starve(victim, dice);
      case 'wipe':
        return this.#wipe(victim, dice);
      case 'disk-stall': {
        const { disk } = victim;
        if (!victim.alive) return null;
        disk.hold();
        this.#later(dice.float() * dice.pick([100, 1000, 4000]), () => disk.release());
        return victim.name;
      }
      case 'disk-slow':
        this.weather.writeFactor.set(victim.name, dice.pick([10, 100]));
        this.#later(dice.float() * 5000, () => this.weather.writeFactor.delete(victim.name));
        return victim.name;
      case 'disk-eio': {
        if (!victim.alive) return null;
        // A sync that failed says nothing about what is on the platter.
        const landed = dice.chance(0.5);
        victim.disk.failNextWrite(new Error('EIO: i/o error, fsync'), { landed });
        return `${victim.name}${landed ? ', though it is written' : ''}`;
      }
      case 'disk-full': {
        if (!victim.alive) return null;
        const ms = dice.float() * dice.pick([0, 0, 3000]);
        this.#full.set(victim, this.#cluster.now + ms);
        this.#failWrites(victim);
        return `${victim.name} for ${Math.round(ms)} ms`;
      }
      case 'disk-flip':
        return this.#flip(victim, dice);
      case 'isolate':
        return this.#partition(shapes.isolate(nodes, victim), victim.name, dice);
      case 'halves':
        return this.#partition(shapes.halves(nodes, dice), '', dice);
      case 'ring':
        return this.#partition(shapes.ring(nodes, dice), '', dice);
      case 'bridge':
        return this.#partition(shapes.bridge(nodes, dice), '', dice);
      case 'pair':
        return this.#partition(shapes.pair(nodes, dice), '', dice);
      case 'one-way':
        return this.#partition(shapes.oneWay(nodes, victim, dice), victim.name, dice);
      case 'flap':
        return this.#flap(victim, dice);
      case 'reset':
        return this.#reset(victim, dice);
      case 'loss':
        this.weather.loss = dice.pick([0.05, 0.2, 0.5]);
        this.#later(dice.float() * 3000, () => {
          this.weather.loss = this.#plan.network.loss;
        });
        return String(this.weather.loss);
      case 'delay':
        this.weather.extraDelayMs = dice.pick([20, 100, 700]);
        this.#later(dice.float() * 3000, () => {
          this.weather.extraDelayMs = 0;
        });
        return `${this.weather.extraDelayMs} ms`;
      case 'clock-jump': {
        const ms = dice.between(-3_600_000, 3_600_000);
        victim.jumpClock(ms);
        return `${victim.name} ${ms} ms`;
      }
      case 'transfer':
        return this.#transfer(victim, dice);
    }
  }

  /** The leader more often than others: most of what can go wrong goes wrong there. */
  #someone(dice: Random): SimNode {
    const leader = dice.chance(0.4) ? this.#cluster.leader : null;
    const other = dice.pick(this.#cluster.nodes);
    return leader ?? other;
  }

  #crash(node: SimNode, keepUnsynced: number, dice: Random): string | null {
    const downMs = dice.float() * dice.pick([50, 500, 3000, 15_000]);
    if (!node.alive) return null;
    node.crash({ keepUnsynced });
    this.startLater(node, downMs);
    return `${node.name}, ${keepUnsynced} unsynced batches kept`;
  }

  #close(node: SimNode, dice: Random): string | null {
    if (node.state !== 'running' || node.paused) return null;
    const downMs = dice.float() * 1000;
    // A node that crashes while it closes is started by its crash.
    void node.close().then(() => {
      if (node.state === 'down') this.startLater(node, downMs);
    });
    return node.name;
  }

  /** Starts it after a while, unless it is up by then, or waits for an earlier start already. */
  startLater(node: SimNode, afterMs: number): void {
    if (this.#resting.has(node)) return;
    this.#resting.add(node);
    this.#cluster.time.schedule(afterMs, () => {
      if (!this.#resting.delete(node) || node.alive) return;
      if (this.lost(node)) return;
      this.#members.direct(node);
      void node.start();
    });
  }

  #pause(node: SimNode, ms: number): string | null {
    if (!node.alive || node.paused) return null;
    node.pause();
    const { starts } = node;
    this.#later(ms, () => {
      if (node.starts === starts) node.resume();
    });
    return `${node.name} for ${Math.round(ms)} ms`;
  }

  /** Its process gets the processor in slices only: what arrives meanwhile is taken in at once, in one turn or few. */
  #starve(node: SimNode, dice: Random): string | null {
    if (!node.alive || node.paused) return null;
    const { starts } = node;
    const waitMs = dice.pick([2, 10, 60]);
    const runMs = dice.pick([0.1, 1, 10]);
    const end = this.#cluster.now + dice.float() * 3000;
    const stop = (): void => {
      if (this.#calm || this.#cluster.now >= end || !node.alive || node.starts !== starts || node.paused) return;
      node.pause();
      this.#later(waitMs * dice.float(), () => {
        if (node.starts !== starts) return;
        node.resume();
        this.#cluster.time.schedule(runMs, stop);
      });
    };
    stop();
    return node.name;
  }

  #failWrites(node: SimNode): void {
    node.disk.failNextWrite(new Error('ENOSPC: no space left on device, write'));
  }

  /** A node comes back with an empty disk under its old name, is refused, and later gets its own disk back. */
  #wipe(node: SimNode, dice: Random): string | null {
    if (this.#wiped.size + this.damaged.size >= this.#minority || this.#wiped.has(node) || this.damaged.has(node)) {
      return null;
    }
    // Before all have joined there is nothing to forget: a node that is empty is a node that begins.
    if (node.state !== 'running' || !this.#formed) return null;
    node.crash();
    const own = node.disk;
    const remember = this.#observer.forgetDisk(node);
    const restore = (): void => {
      node.disk = own;
      remember();
    };
    node.wipe();
    this.#wiped.set(node, restore);
    void node.start();
    this.#later(dice.float() * 6000, () => {
      if (!this.#wiped.delete(node)) return;
      if (node.state === 'running') throw new Error(`${node.name} was wiped and is taken for itself`);
      node.crash();
      restore();
      void node.start();
    });
    return node.name;
  }

  #flip(node: SimNode, dice: Random): string | null {
    if (this.#wiped.size + this.damaged.size >= this.#minority || this.#wiped.has(node) || this.damaged.has(node)) {
      return null;
    }
    if (node.state !== 'running' || !this.#formed) return null;
    node.crash({ keepUnsynced: Infinity });
    const key = dice.pick(node.disk.keys());
    this.damaged.add(node);
    node.disk.damage(key, (value) => {
      const at = dice.between(0, value.length - 1);
      value[at] = (value[at] ?? 0) ^ (1 << dice.between(0, 7));
      return value;
    });
    this.startLater(node, dice.float() * 300);
    return node.name;
  }

  get #churns(): boolean {
    return this.#plan.faults.some(({ kind }) => isMemberKind(kind));
  }

  get #formed(): boolean {
    return this.#cluster.nodes.every((node) => this.#observer.sightings.hasJoined(node));
  }

  get #minority(): number {
    return Math.floor((this.#cluster.nodes.length - 1) / 2);
  }

  #partition(links: readonly Link[], what: string, dice: Random): string | null {
    // From what nobody notices to what makes links time out.
    const ms = dice.float() * dice.pick([300, 2000, 10_000, 25_000]);
    if (links.length === 0) return null;
    this.#later(ms, this.#partitions.cut(links));
    return `${what} for ${Math.round(ms)} ms`;
  }

  #flap(node: SimNode, dice: Random): string | null {
    const links = shapes.isolate(this.#cluster.nodes, node);
    if (links.length === 0) return null;
    const periodMs = dice.pick([30, 200, 900]);
    const times = dice.between(3, 12);
    for (let i = 0; i < times; i++) {
      this.#cluster.time.schedule(2 * i * periodMs, () => {
        if (!this.#calm) this.#later(periodMs, this.#partitions.cut(links));
      });
    }
    return `${node.name}, ${times} times ${periodMs} ms`;
  }

  /** The connections of a node, or to one other, break, and what is on its way in them is lost. */
  #reset(node: SimNode, dice: Random): string | null {
    const others = this.#cluster.nodes.filter((other) => other !== node);
    if (others.length === 0) return null;
    const ends = dice.chance(0.5) ? others : [dice.pick(others)];
    for (const other of ends) this.#cluster.network.reset(node.address, other.address);
    return `${node.name} and ${ends.map(({ name }) => name).join(', ')}`;
  }

  #transfer(node: SimNode, dice: Random): string | null {
    const to = dice.chance(0.5) ? undefined : dice.pick(this.#cluster.nodes).name;
    if (node.state !== 'running') return null;
    // Whether it succeeds is not the point; what it must never do is harm.
    node.call((running) => running.transferLeadership(to, { timeoutMs: 2000 })).catch(() => {});
    return `to ${to ?? 'anybody'} asked of ${node.name}`;
  }

  /** Ends a fault after a while, or when the calm comes. */
  #later(ms: number, heal: () => void): void {
    const once = (): void => {
      if (this.#healing.delete(once)) heal();
    };
    this.#healing.add(once);
    this.#cluster.time.schedule(ms, once);
  }
}

function isMemberKind(kind: FaultKind): kind is MemberKind {
  return (MEMBER_KINDS as readonly string[]).includes(kind);
}

function codeOf(error: Error | null): string {
  return (error as { code?: string } | null)?.code ?? '';
}
