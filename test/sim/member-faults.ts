/**
 * Members that come, go and are exchanged in the middle of the storm. What comes of a wish is not the point; what it must never do is harm. Nobody may be left behind
 * by it: in the calm, all that are members run and are ready, and who was removed has stopped and said so.
 */
import type { Random } from '../../src/testing/random.ts';
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Observer } from './observer.ts';

export const MEMBER_KINDS = [
  'member-join',
  'member-learn',
  'member-succeed',
  'member-rebirth',
  'member-remove',
  'member-promote',
  'member-demote',
  'member-exchange',
] as const;

export type MemberKind = (typeof MEMBER_KINDS)[number];

/** Why a node that wanted to join did not, for good: what it asked for was taken or gone by then. */
const NOT_LET_IN: ReadonlySet<string> = new Set(['ERR_MEMBER_EXISTS', 'ERR_NOT_FOUND', 'ERR_LAST_VOTER']);
const WISH_MS = 3000;
const MAX_NODES = 9;

export class MemberFaults {
  readonly #cluster: SimCluster;
  readonly #observer: Observer;
  readonly #log: (line: string) => void;
  #next: number;
  /** A voter's disk is gone, and its successor is not a member yet: no other voter may go meanwhile. */
  #reborn: SimNode | null = null;
  /** Wishes that may take a vote away. */
  #taking = 0;

  constructor(cluster: SimCluster, observer: Observer, log: (line: string) => void) {
    this.#cluster = cluster;
    this.#observer = observer;
    this.#log = log;
    this.#next = cluster.nodes.length + 1;
  }

  /** Null when there was nothing to do. */
  inject(kind: MemberKind, dice: Random, victim: SimNode): string | null {
    switch (kind) {
      case 'member-join':
        return this.#join({}, dice);
      case 'member-learn':
        return this.#join({ role: 'learner' }, dice);
      case 'member-succeed':
        return this.#taking > 0 || this.#reborn !== null ? null : this.#join({ replaces: victim.name }, dice);
      case 'member-rebirth':
        return this.#rebirth(victim);
      case 'member-remove':
        return this.#wish(`remove ${victim.name}`, true, dice, (node) =>
          node.node.members.remove(victim.name, { timeoutMs: WISH_MS }),
        );
      case 'member-promote':
        return this.#wish(`promote ${victim.name}`, false, dice, (node) =>
          node.node.members.promote(victim.name, { timeoutMs: WISH_MS }),
        );
      case 'member-demote':
        return this.#wish(`demote ${victim.name}`, true, dice, (node) =>
          node.node.members.demote(victim.name, { timeoutMs: WISH_MS }),
        );
      case 'member-exchange': {
        const other = dice.pick(this.#cluster.nodes);
        return this.#wish(`replace ${victim.name} by ${other.name}`, true, dice, (node) =>
          node.node.members.replace(victim.name, other.name, { timeoutMs: WISH_MS }),
        );
      }
    }
  }

  /** True when a node that stopped itself may have, because of what was done to the members; it does not come back then. */
  stopped(node: SimNode, code: string): boolean {
    const removed = code === 'ERR_MEMBER_REMOVED';
    if (!removed && !(NOT_LET_IN.has(code) && !this.#observer.sightings.hasJoined(node))) return false;
    this.#observer.sightings.saw(removed ? 'a removed member stopped' : `not let in: ${code}`);
    if (node === this.#reborn) this.#reborn = null;
    const at = this.#cluster.nodes.indexOf(node);
    if (at >= 0) this.#cluster.nodes.splice(at, 1);
    return true;
  }

  /** In the calm nobody is in the way of anybody, and who still wants to join knows whom to ask. */
  calm(): void {
    this.#reborn = null;
    for (const node of this.#cluster.nodes) {
      if (node.options.join === undefined || this.#observer.sightings.hasJoined(node)) continue;
      node.crash();
      this.direct(node);
    }
  }

  /** Before it starts: those whom it was to ask may be members no more. Whoever runs a cluster would say so. */
  direct(node: SimNode): void {
    if (node.options.join === undefined || this.#observer.sightings.hasJoined(node)) return;
    const others = this.#cluster.nodes.filter((other) => other !== node && this.#observer.sightings.hasJoined(other));
    if (others.length > 0) node.options = { ...node.options, join: others.map(({ address }) => address) };
  }

  #join(options: { role?: 'learner'; replaces?: string }, dice: Random): string | null {
    if (this.#cluster.nodes.length >= MAX_NODES || !this.#anyJoined()) return null;
    const node = this.#cluster.add(`n${this.#next++}`, options);
    this.#cluster.time.schedule(dice.float() * 100, () => {
      if (node.alive) return;
      this.direct(node);
      void node.start();
    });
    const { role = 'voter', replaces } = options;
    return `${node.name} as ${role}${replaces === undefined ? '' : ` in the place of ${replaces}`}`;
  }

  /** A voter loses its disk, and takes its own place with a new identity. Only where the others can decide without it. */
  #rebirth(victim: SimNode): string | null {
    if (this.#taking > 0 || this.#reborn !== null || victim.state !== 'running') return null;
    const leader = this.#observer.nodes.find((one) => one.up && one.status.role === 'leader');
    if (leader === undefined || leader.simNode === victim) return null;
    const { configuration, configurationCommitted } = leader.status;
    const member = this.#observer.nodes.find(({ simNode, up }) => up && simNode === victim);
    if (!configurationCommitted || configuration.votersOutgoing.length > 0 || configuration.voters.length < 3)
      return null;
    // A wish that is on its way could still take another vote away; one that another leader took, too.
    if (this.#observer.nodes.some((one) => one.up && one !== leader && one.status.role === 'leader')) return null;
    if (member === undefined || !configuration.voters.includes(member.id)) return null;
    victim.crash({ keepUnsynced: Infinity });
    const node = this.#cluster.add(victim.name, { replaces: victim.name });
    this.#reborn = node;
    void node.start();
    const look = (): void => {
      if (this.#reborn !== node) return;
      if (node.state === 'running' && node.node.cluster().members.some((one) => one.id === node.node.id))
        this.#reborn = null;
      else this.#cluster.time.schedule(100, look);
    };
    look();
    return victim.name;
  }

  #wish(what: string, takes: boolean, dice: Random, ask: (node: SimNode) => Promise<unknown>): string | null {
    const asked = dice.pick(this.#cluster.nodes);
    if (asked.state !== 'running' || (takes && this.#reborn !== null)) return null;
    if (takes) this.#taking++;
    const done = (answer: string): void => {
      if (takes) this.#taking--;
      this.#log(`${what}: ${answer}`);
    };
    asked
      .call(() => ask(asked))
      .then(
        () => {
          this.#observer.sightings.saw(`done: ${what.split(' ')[0]}`);
          done('done');
        },
        (error: unknown) => done(String((error as { code?: string }).code)),
      );
    return `${what} asked of ${asked.name}`;
  }

  #anyJoined(): boolean {
    return this.#cluster.nodes.some((node) => node.state === 'running');
  }
}
