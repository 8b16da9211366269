/**
 * Phase two: no faults any more. Within a bound of ticks there must be a leader that everybody follows; a write, a read everywhere and
 * some changes of the membership must go through; all logs must become equal; and from then on nobody disturbs the leader.
 */
import { EMPTY_CONFIGURATION } from '../../src/raft/configuration.ts';
import type { NodeId } from '../../src/raft/types.ts';
import type { Random } from '../../src/testing/random.ts';
import { formatConfiguration } from '../raft/format.ts';
import type { Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import type { Membership } from './membership.ts';
import { TICK_MS } from './profile.ts';

/** Ticks of calm within which the cluster has to be whole again: some split votes, some back-tracking, some snapshots. */
const CALM_TICKS = 1500;
const LEADER_TICKS = 400;
/** By then everything that was sent in the storm has arrived: the latest packet, and its double. */
const LATE_TICKS = 160;
/** Some election time-outs of whoever was removed. */
const UNDISTURBED_TICKS = 60;

/** What the simulation lends it. */
export interface CalmEnvironment {
  readonly cluster: Cluster;
  readonly membership: Membership;
  readonly random: Random;
  now(): number;
  /** Lets the next thing happen. */
  step(): void;
  after(delayMs: number, action: () => void): void;
  input(id: NodeId, action: (host: Host) => void): void;
  /** All nodes at a glance. */
  grid(): string;
}

function follows({ status }: Host, leader: Host): boolean {
  return status.leader === leader.id && status.term === leader.status.term;
}

/** Nothing of a change is left over, and the leader counts. */
function isSettled({ id, status }: Host): boolean {
  const { configuration, configurationCommitted } = status;
  const open = configuration.votersOutgoing.length > 0 && configuration.autoLeave;
  const counts = configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
  return configurationCommitted && !open && counts && status.progress.every(({ removed }) => !removed);
}

/** Whether a node has everything up to `last` and owes nobody an answer. */
function rests(host: Host, last: number): boolean {
  const { lastIndex, commit, persistedIndex, uncommittedBytes } = host.status;
  const positions = [lastIndex, commit, persistedIndex, host.applied.index];
  return positions.every((index) => index === last) && host.waiting.size === 0 && uncommittedBytes === 0;
}

export class Calm {
  readonly #environment: CalmEnvironment;
  readonly #start: number;
  #written = false;
  #changesLeft: number;
  readonly #unread = new Set<NodeId>();

  constructor(environment: CalmEnvironment) {
    this.#environment = environment;
    this.#start = environment.now();
    this.#changesLeft = environment.random.between(0, 2);
  }

  /** Ticks until a leader, and until all was whole. */
  run(): { leaderTicks: number; calmTicks: number } {
    const { cluster } = this.#environment;
    this.#until(LEADER_TICKS, 'a leader that everybody follows', () => {
      const leader = cluster.leader();
      return leader !== undefined && this.#members.every((host) => host.up && follows(host, leader));
    });
    const leaderTicks = this.#ticks;
    this.#write();
    this.#change();
    for (const { id } of this.#members) {
      this.#unread.add(id);
      this.#read(id);
    }
    this.#until(CALM_TICKS, 'everything resolved and equal', () => this.#isWhole());
    cluster.checkConverged();
    const [first, ...others] = this.#members;
    for (const host of others) {
      if (host.applied.hash !== first?.applied.hash) throw new Error(`${host.id} ends with another state`);
    }
    const calmTicks = this.#ticks;
    this.#checkUndisturbed();
    return { leaderTicks, calmTicks };
  }

  get #ticks(): number {
    return Math.ceil((this.#environment.now() - this.#start) / TICK_MS);
  }

  /** Those that the leader counts on; who was removed, or never was a member, is left to itself. */
  get #members(): Host[] {
    const { cluster, membership } = this.#environment;
    const leader = cluster.leader();
    if (leader === undefined) return [];
    return membership.living(leader.status.configuration).map((id) => cluster.node(id));
  }

  #until(limit: number, what: string, reached: () => boolean): void {
    while (!reached()) {
      this.#environment.step();
      if (this.#ticks > limit) throw new Error(`${what}: not within ${limit} ticks of calm; ${this.#missing()}`);
    }
  }

  #isWhole(): boolean {
    const leader = this.#environment.cluster.leader();
    if (leader === undefined) return false;
    const members = this.#members;
    // A member that was removed meanwhile need not read.
    for (const id of this.#unread) if (!members.some((host) => host.id === id)) this.#unread.delete(id);
    if (!this.#written || this.#unread.size > 0 || this.#changesLeft > 0 || !isSettled(leader)) return false;
    return members.every((host) => follows(host, leader) && rests(host, leader.status.lastIndex));
  }

  /** A write through whoever leads now, asked again as a client would. */
  #write(): void {
    const { cluster, input, after } = this.#environment;
    if (this.#written) return;
    const leader = cluster.leader();
    if (leader !== undefined) {
      input(leader.id, (host) => {
        host.propose([new TextEncoder().encode('the last word')], (outcome) => {
          this.#written ||= outcome === 'acknowledged';
        });
      });
    }
    after(20 * TICK_MS, () => this.#write());
  }

  #change(): void {
    const { cluster, membership, after } = this.#environment;
    const leader = cluster.leader();
    const { votersOutgoing, autoLeave } = leader?.status.configuration ?? EMPTY_CONFIGURATION;
    // Nobody leaves a joint configuration that is not said to be left.
    if (votersOutgoing.length > 0 && !autoLeave) this.#changesLeft = 0;
    if (this.#changesLeft === 0) return;
    if (leader !== undefined) membership.change(leader.id, () => this.#changesLeft--);
    after(10 * TICK_MS, () => this.#change());
  }

  #read(id: NodeId): void {
    const { input, after } = this.#environment;
    if (!this.#unread.has(id)) return;
    input(id, (host) => host.up && void host.readIndex((index) => index !== null && this.#unread.delete(id)));
    after(30 * TICK_MS, () => this.#read(id));
  }

  /** Who was removed and runs on without knowing it disturbs nobody (pre-vote, check-quorum: thesis §4.2.3). */
  #checkUndisturbed(): void {
    const { cluster, step } = this.#environment;
    while (this.#ticks < LATE_TICKS) step();
    const leader = cluster.leader();
    if (leader === undefined) throw new Error('there is no leader any more');
    const { term } = leader.status;
    const end = this.#ticks + UNDISTURBED_TICKS;
    while (this.#ticks < end) step();
    const { role, term: now } = leader.status;
    if (role !== 'leader' || now !== term) throw new Error(`${leader.id}, leader of term ${term}, was disturbed`);
  }

  #missing(): string {
    const { cluster, grid } = this.#environment;
    const running = [...cluster.hosts.values()].filter((host) => host.up);
    const lines = running.map((host) => {
      const { waiting, reads, applied } = host;
      const { uncommittedBytes, persistedIndex, configuration } = host.status;
      return `${host.id}: ${waiting.size} writes and ${reads.size} reads pending, ${uncommittedBytes} B uncommitted, persisted ${persistedIndex}, applied ${applied.index}, ${formatConfiguration(configuration)}`;
    });
    return `${grid()}\n${lines.join('\n')}`;
  }
}
