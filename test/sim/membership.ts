/**
 * The membership in a storm: which change is asked for, and which nodes may be lost for good.
 *
 * What an operator could do wrong is not what is looked for: nobody takes a majority away for ever. A node is wiped or
 * stopped only when every set of voters that anybody may still count by keeps a majority without it, and a change that would break that is
 * not asked for.
 */
import { isJoint } from '../../src/raft/change.ts';
import { members } from '../../src/raft/configuration.ts';
import type { Configuration, ConfigurationChange, MemberChange, NodeId } from '../../src/raft/types.ts';
import type { Random } from '../../src/testing/random.ts';
import type { WorldEvent } from '../invariants/world.ts';
import type { Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import { MembershipSightings } from './membership-sightings.ts';

const MAX_VOTERS = 7;
const MAX_LEARNERS = 3;
/** New nodes in one run. */
const MAX_NEWCOMERS = 12;

function isAlive(voters: readonly NodeId[], gone: ReadonlySet<NodeId>): boolean {
  return voters.filter((id) => !gone.has(id)).length * 2 > voters.length || voters.length === 0;
}

/** Whether the cluster can do without this node from now on, whichever of the configurations around turns out to count. */
export function canDoWithout(id: NodeId, hosts: Iterable<Host>, gone: ReadonlySet<NodeId>): boolean {
  const without = new Set([...gone, id]);
  for (const host of hosts) {
    if (gone.has(host.id)) continue;
    const known = host.log.configurations.map(({ configuration }) => configuration);
    if (host.up) known.push(host.status.configuration);
    for (const { voters, votersOutgoing } of known) {
      if (!isAlive(voters, without) || !isAlive(votersOutgoing, without)) return false;
    }
  }
  return true;
}

export interface Candidates {
  /** Who is asked. */
  readonly self: NodeId;
  /** Running nodes that are no members. */
  readonly outside: readonly NodeId[];
  /** Of the members: not running now. */
  readonly down: readonly NodeId[];
  /** Lost for good. */
  readonly gone: ReadonlySet<NodeId>;
  /** A new node with an empty disk; null when there have been enough. */
  newcomer(): NodeId | null;
}

/** A change to ask for; null when the dice name one that makes no sense. */
export function drawChange(
  random: Random,
  current: Configuration,
  { self, outside, down, gone, newcomer }: Candidates,
): ConfigurationChange | null {
  const { voters, learners } = current;
  const context = random.chance(0.3) ? { context: random.between(0, 9) } : {};
  const lost = [...voters, ...learners].filter((id) => gone.has(id));
  const somebody = (): NodeId | null =>
    outside.length > 0 && random.chance(0.3) ? random.pick(outside) : (newcomer() ?? null);
  const one = (from: readonly NodeId[]): NodeId | null => (from.length === 0 ? null : random.pick(from));
  /** Whom one would rather do without: the leader itself, or one that is down. */
  const voter = (): NodeId | null => {
    if (random.chance(0.4)) return voters.includes(self) ? self : one(voters);
    return one(random.chance(0.5) && down.length > 0 ? down.filter((id) => voters.includes(id)) : voters);
  };
  const to = (part: MemberChange['to'], ...ids: readonly (NodeId | null)[]): MemberChange[] =>
    ids.filter((id) => id !== null).map((id) => ({ id, to: part }));

  function draw(): MemberChange[] {
    if (lost.length > 0 && random.chance(0.8)) {
      // A wiped node comes back under a new id, and the old one goes.
      return [...to('removed', ...lost), ...to(random.pick(['voter', 'learner']), somebody())];
    }
    switch (random.between(0, 9)) {
      case 0:
        return learners.length < MAX_LEARNERS ? to('learner', somebody()) : [];
      case 1:
        return voters.length < MAX_VOTERS ? to('voter', somebody()) : [];
      case 2:
        return voters.length < MAX_VOTERS ? to('voter', one(learners)) : [];
      case 3:
        return to('learner', voter());
      case 4:
        return to('removed', voter());
      case 5:
        return to('removed', one(learners));
      case 6:
        return [...to('removed', voter()), ...to('voter', one(learners) ?? somebody())];
      case 7:
        return [...to('learner', voter()), ...to('voter', one(learners))];
      case 8:
        // Anybody becomes anything.
        return [...voters, ...learners]
          .filter(() => random.chance(0.6))
          .map((id) => ({ id, to: random.pick(['voter', 'voter', 'learner', 'removed'] as const) }));
      default:
        return random.chance(0.5) ? [] : to('removed', 'nobody');
    }
  }

  const changes = draw();
  const after = new Map<NodeId, MemberChange['to']>(voters.map((id) => [id, 'voter']));
  for (const { id, to: part } of changes) after.set(id, part);
  const target = [...after].filter(([, part]) => part === 'voter').map(([id]) => id);
  return isAlive(target, gone) && isAlive(voters, gone) ? { changes, ...context } : null;
}

/** What the simulation lends it. */
export interface MembershipEnvironment {
  readonly cluster: Cluster;
  readonly random: Random;
  /** Adds a node that knows nothing, and starts it. */
  add(id: NodeId): void;
  /** Ends a node for good. */
  end(id: NodeId): void;
  input(id: NodeId, action: (host: Host) => void): void;
  after(delayMs: number, action: () => void): void;
  count(fault: string): void;
  line(text: string): void;
}

export class Membership {
  /** Wiped, or removed and stopped: they never come back under their id. */
  readonly gone = new Set<NodeId>();
  readonly sightings = new MembershipSightings();
  readonly #environment: MembershipEnvironment;
  #newcomers = 0;

  constructor(environment: MembershipEnvironment) {
    this.#environment = environment;
  }

  /** Those that run, or will run again. */
  get ids(): NodeId[] {
    return [...this.#environment.cluster.hosts.keys()].filter((id) => !this.gone.has(id));
  }

  /** The members of a configuration that are not lost for good. */
  living(configuration: Configuration): NodeId[] {
    return members(configuration).filter((id) => !this.gone.has(id));
  }

  observe(event: WorldEvent): void {
    const { cluster, random } = this.#environment;
    this.sightings.event(event, (id) =>
      cluster.hosts.get(id)?.up === true ? cluster.node(id).status.configuration : null,
    );
    const learns = (event.type === 'applied' && event.entry.kind === 'config') || event.type === 'installed';
    // As a shell would: a node that finds itself removed says so and stops. Others are left running, to see what they do.
    if (learns && random.chance(0.6)) this.#leave(event.node.id, 20);
  }

  #leave(id: NodeId, tries: number): void {
    const { cluster, random, after, end, count } = this.#environment;
    after(random.between(1, 100), () => {
      const host = cluster.node(id);
      if (!host.up || this.gone.has(id)) return;
      const { configuration, configurationCommitted, role } = host.status;
      if (configuration.voters.length === 0 || members(configuration).includes(id) || !configurationCommitted) return;
      // A leader that removed itself has somebody to hand over to first.
      if (role === 'leader' || !canDoWithout(id, cluster.hosts.values(), this.gone)) {
        if (tries > 0) this.#leave(id, tries - 1);
        return;
      }
      count('removed node stops');
      this.gone.add(id);
      end(id);
    });
  }

  change(id: NodeId, accepted: () => void = () => {}): void {
    this.#environment.input(id, (host) => {
      if (!host.up) return;
      const { cluster, random, count, line } = this.#environment;
      const { configuration, role } = host.status;
      const inside = members(configuration);
      const unused = this.ids.filter((other) => !inside.includes(other) && cluster.node(other).up);
      const change = drawChange(random, configuration, {
        self: id,
        outside: unused,
        down: inside.filter((other) => !this.gone.has(other) && !cluster.node(other).up),
        gone: this.gone,
        newcomer: () => (role === 'leader' && !isJoint(configuration) ? this.#newcomer() : null),
      });
      if (change === null) return;
      const result = host.proposeConfig(change);
      line(`${id} is asked for ${JSON.stringify(change)}: ${JSON.stringify(result)}`);
      if (result.status === 'accepted') {
        count(result.joint ? 'joint change' : 'plain change');
        accepted();
        // Who misses it will need a snapshot.
        if (random.chance(0.4))
          for (const delayMs of [50, 150, 250]) this.#environment.after(delayMs, () => this.#compact());
      } else if (result.status === 'refused') this.sightings.saw(`refused: ${result.reason}`);
      else if (result.status === 'unchanged') this.sightings.saw('unchanged');
    });
  }

  #compact(): void {
    for (const id of this.ids) {
      this.#environment.input(id, (host) => {
        if (!host.up) return;
        host.flush();
        host.compact(host.disk.durable.applied.index);
      });
    }
  }

  /** One that was made for a change that came to nothing is used first. */
  #newcomer(): NodeId | null {
    const { cluster, add } = this.#environment;
    const waiting = this.ids.find(
      (id) => cluster.node(id).up && cluster.node(id).status.configuration.voters.length === 0,
    );
    if (waiting !== undefined) return waiting;
    if (this.#newcomers >= MAX_NEWCOMERS) return null;
    this.#newcomers += 1;
    const id = `n${this.#newcomers}`;
    add(id);
    return id;
  }

  /** A disk is lost, and the node with it. */
  wipe(id: NodeId): void {
    const { cluster, end, count } = this.#environment;
    if (!canDoWithout(id, cluster.hosts.values(), this.gone)) return;
    count('wipe');
    this.gone.add(id);
    end(id);
  }
}
