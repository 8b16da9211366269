/**
 * What is rare and matters, as it happens: counted, since a state that is never reached proves nothing, and told to whoever waits for it, since
 * a fault at the right moment finds more than a thousand at any time.
 */
import type { WorldEvent } from '../invariants/world.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Message } from '../../src/raft/types.ts';
import type { ObservedNode, Observer } from './observer.ts';

/** Moments that a fault may wait for. */
export const MOMENTS = [
  /** A process has opened its disk, and nobody has heard of it yet. */
  'opening',
  /** A first member binds itself to the members that it sees, or adopts the map: staged, not on disk. */
  'binding',
  'adopting',
  'candidate',
  /** A vote is on its way to the disk; it has left. */
  'voting',
  'voted',
  'elected',
  /** The leader has taken a proposal; an entry was applied for the first time; a client has been told of a write. */
  'accepted',
  'committed',
  'acknowledged',
  'forwarded',
  'read-asked',
  /** A part of the log is cut off; is forgotten, since the state has it. */
  'truncating',
  'compacting',
  'flushing',
  /** The sender opens its state; the receiver begins, has one chunk, stages the switch, has read all in. */
  'snapshot-opened',
  'snapshot-begun',
  'snapshot-chunk',
  'snapshot-switching',
  'snapshot-installed',
  /** The leader tells its successor to stand. */
  'handing-over',
] as const;

export type Moment = (typeof MOMENTS)[number];

/** How far a node is with a snapshot that it receives. */
type Receiving = 'begun' | 'between chunks' | 'switching';

export class Sightings {
  readonly counts = new Map<string, number>();
  /** Told of every moment, with the node that it happens to and the other one that takes part, if there is one. */
  onMoment: (moment: Moment, node: SimNode, other: SimNode | null) => void = () => {};
  elections = 0;
  /** Of applied state that is not flushed, as the nodes are told. */
  maxOverlayBytes = Infinity;
  readonly #receiving = new Map<SimNode, Receiving>();
  readonly #readsOpen = new Map<SimNode, Set<number>>();
  readonly #leading = new Set<SimNode>();
  /** Since their last start. */
  readonly #joined = new Set<SimNode>();
  /** Ever. */
  readonly #members = new Set<SimNode>();
  #highestApplied = 0;

  saw(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  moment(moment: Moment, node: SimNode, other: SimNode | null = null): void {
    this.saw(moment);
    this.onMoment(moment, node, other);
  }

  /** It has been a member at some time. */
  hasJoined(node: SimNode): boolean {
    return this.#members.has(node);
  }

  // Told by the observer.

  opened(node: SimNode): void {
    this.#joined.delete(node);
    this.moment('opening', node);
  }

  receiving(node: SimNode, step: Receiving | null): void {
    if (step === null) this.#receiving.delete(node);
    else this.#receiving.set(node, step);
  }

  ended(node: SimNode): void {
    const step = this.#receiving.get(node);
    this.#receiving.delete(node);
    this.#readsOpen.delete(node);
    this.#leading.delete(node);
    const poisoned = (node.failure as { code?: string } | null)?.code === 'ERR_STORE_POISONED';
    if (step !== undefined) this.saw(`${poisoned ? 'disk failed' : 'ended'} while a snapshot is ${step}`);
    if (!this.#members.has(node)) this.saw('ended before its cluster was formed');
    else if (!this.#joined.has(node)) this.saw('ended while it was starting');
    if (poisoned) this.saw('disk failed');
  }

  event(event: WorldEvent, observer: Observer): void {
    const node = event.node as ObservedNode;
    const { simNode } = node;
    if (simNode === null) return;
    switch (event.type) {
      case 'started':
        this.#joined.add(simNode);
        this.#members.add(simNode);
        return;
      case 'ready':
        return this.#ready(event, node, simNode, observer);
      case 'sent':
        return this.#sent(event.message, simNode, observer);
      case 'applied':
        if (event.entry.index <= this.#highestApplied) return;
        this.#highestApplied = event.entry.index;
        return this.moment('committed', simNode);
      case 'installed':
        this.#receiving.delete(simNode);
        if ((this.#readsOpen.get(simNode)?.size ?? 0) > 0) this.saw('reads wait across a snapshot');
        return this.moment('snapshot-installed', simNode);
      case 'accepted':
        return this.moment('accepted', simNode);
      case 'readAsked': {
        let open = this.#readsOpen.get(simNode);
        if (open === undefined) this.#readsOpen.set(simNode, (open = new Set()));
        open.add(event.token);
        if (deposed(node, observer)) this.saw('read asked of a deposed leader');
        return this.moment('read-asked', simNode);
      }
      case 'readReleased':
        // Right all the same, when it was confirmed before.
        if (deposed(node, observer)) this.saw('read released by a deposed leader');
        this.#readsOpen.get(simNode)?.delete(event.token);
        return;
      case 'readRefused':
        this.#readsOpen.get(simNode)?.delete(event.token);
        return;
      case 'acknowledged':
      case 'crashed':
    }
  }

  #ready(
    { ready }: Extract<WorldEvent, { type: 'ready' }>,
    node: ObservedNode,
    simNode: SimNode,
    observer: Observer,
  ): void {
    const { softState, hardState, snapshotRequests } = ready;
    if (hardState !== null && hardState.vote !== null && hardState.vote !== node.lastVote) {
      this.moment(hardState.vote === node.id ? 'candidate' : 'voting', simNode, nodeOf(observer, hardState.vote));
    }
    if (snapshotRequests.length > 0) this.saw('a follower needs what is compacted');
    if (softState === null) return;
    if (softState.role === 'leader') {
      this.elections++;
      if (node.log.lastIndex() > observer.highestCommit + 1) this.saw('elected with a tail of others');
      if (this.#leading.size > 0) this.saw('two leaders at once');
      this.#leading.add(simNode);
      this.moment('elected', simNode);
    } else if (this.#leading.delete(simNode)) this.saw('stepped down');
  }

  #sent(message: Message, simNode: SimNode, observer: Observer): void {
    switch (message.type) {
      case 'VoteResponse':
        if (message.preVote) this.saw(message.granted ? 'pre-vote granted' : 'pre-vote refused');
        else if (message.granted) this.moment('voted', simNode, nodeOf(observer, message.to));
        else this.saw('vote refused');
        return;
      case 'TimeoutNow':
        return this.moment('handing-over', simNode, nodeOf(observer, message.to));
      case 'ReadIndexResponse':
        if (message.index === null) this.saw('read of a follower refused');
        return;
      case 'AppendResponse':
        if (message.rejected) this.saw('append refused');
        return;
      default:
    }
  }
}

/** It believes to lead, and another one leads in a later term. */
function deposed({ status }: ObservedNode, observer: Observer): boolean {
  if (status.role !== 'leader') return false;
  return observer.nodes.some((other) => other.up && other.status.role === 'leader' && other.status.term > status.term);
}

function nodeOf(observer: Observer, id: string): SimNode | null {
  return observer.node(id).simNode;
}
