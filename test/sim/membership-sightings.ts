/** What is rare and matters while the membership changes, counted: a state that is never reached proves nothing. */
import { isVoter, members } from '../../src/raft/configuration.ts';
import { isJoint } from '../../src/raft/change.ts';
import type { Configuration, IndexedConfiguration, Message, NodeId, Ready } from '../../src/raft/types.ts';
import type { WorldEvent } from '../invariants/world.ts';
import type { Host } from './host.ts';

/** What a run over many seeds has to reach; by name, since a report lists them. */
export const RARE = [
  'elected in a joint configuration',
  'elected before the joint entry is known to be committed',
  'elected while C_new is not known to be committed',
  'a leader outside of its configuration',
  'a leader outside of its configuration hands over',
  'stood by the configuration before',
  'elected by the configuration before',
  'a configuration is cut off',
  'a joint configuration is cut off',
  'C_new is cut off',
  'a promoted learner votes before it knows',
  'a new member is sent a snapshot',
  'demoted by a snapshot',
  'removed by a snapshot',
  'joint by a snapshot',
  'a removed node is told',
  'refused: changePending',
  'refused: termNotCommitted',
  'refused: transferring',
  'refused: uncommittedBytes',
  'refused: unknownMember',
  'refused: noVoters',
  'unchanged',
] as const;

type Rare = (typeof RARE)[number];

export class MembershipSightings {
  readonly counts: Record<string, number> = {};
  /** By node, as of its last Ready. */
  readonly #known = new Map<NodeId, readonly IndexedConfiguration[]>();
  /** Terms in which a leader was seen outside of its configuration. */
  readonly #outside = new Set<string>();
  readonly #told = new Set<NodeId>();

  saw(what: Rare | `refused: ${string}`): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  event(event: WorldEvent, configurationOf: (id: NodeId) => Configuration | null): void {
    const host = event.node as Host;
    switch (event.type) {
      case 'started':
        this.#known.set(host.id, host.log.configurations);
        return;
      case 'ready':
        this.#ready(host, event.ready);
        return;
      case 'sent':
        this.#sent(host, event.message, configurationOf);
        return;
      default:
    }
  }

  #ready(host: Host, ready: Ready): void {
    const { id, status } = host;
    const before = this.#known.get(id) ?? [];
    const { configurations } = host.log;
    this.#known.set(id, configurations);
    const { configuration, configurationCommitted, role, term } = status;
    const wasMember = before.some((one) => members(one.configuration).includes(id));
    if (wasMember && configurationCommitted && !members(configuration).includes(id) && !this.#told.has(id)) {
      this.#told.add(id);
      this.saw('a removed node is told');
    }
    if (ready.snapshot !== null) this.#installed(id, before.at(-1)?.configuration, ready.snapshot.configuration);
    else this.#cutOff(before, configurations);
    if (role === 'leader' && !isVoter(configuration, id) && !this.#outside.has(`${id}:${term}`)) {
      this.#outside.add(`${id}:${term}`);
      this.saw('a leader outside of its configuration');
    }
    if (ready.softState?.role === 'preCandidate' && !isVoter(configuration, id)) {
      this.saw('stood by the configuration before');
    }
    if (ready.softState?.role !== 'leader') return;
    if (!isVoter(configuration, id)) this.saw('elected by the configuration before');
    if (isJoint(configuration)) {
      this.saw('elected in a joint configuration');
      if (!configurationCommitted) this.saw('elected before the joint entry is known to be committed');
    } else if (!configurationCommitted && isJoint(configurations.at(-2)?.configuration ?? configuration)) {
      this.saw('elected while C_new is not known to be committed');
    }
  }

  #cutOff(before: readonly IndexedConfiguration[], now: readonly IndexedConfiguration[]): void {
    const last = before.at(-1);
    const still = now.find(({ index }) => index === last?.index);
    if (last === undefined || still?.configuration === last.configuration) return;
    // Compaction drops old ones, never the newest.
    this.saw('a configuration is cut off');
    if (isJoint(last.configuration)) this.saw('a joint configuration is cut off');
    else if (isJoint(before.at(-2)?.configuration ?? last.configuration)) this.saw('C_new is cut off');
  }

  #installed(id: NodeId, before: Configuration | undefined, now: Configuration): void {
    if (isJoint(now)) this.saw('joint by a snapshot');
    if (before === undefined || before.voters.length === 0) this.saw('a new member is sent a snapshot');
    else if (isVoter(before, id) && now.learners.includes(id)) this.saw('demoted by a snapshot');
    else if (isVoter(before, id) && !isVoter(now, id) && !now.learnersNext.includes(id))
      this.saw('removed by a snapshot');
  }

  #sent({ id, status }: Host, message: Message, configurationOf: (id: NodeId) => Configuration | null): void {
    if (message.type === 'VoteResponse' && message.granted && !message.preVote) {
      const theirs = configurationOf(message.to);
      if (theirs !== null && isVoter(theirs, id) && status.configuration.learners.includes(id)) {
        this.saw('a promoted learner votes before it knows');
      }
    } else if (message.type === 'TimeoutNow') {
      if (!isVoter(status.configuration, id)) this.saw('a leader outside of its configuration hands over');
    }
  }
}
