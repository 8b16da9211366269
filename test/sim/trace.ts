/** What happened, as a number that two equal runs share, as the last lines before a failure, or as a grid for a reader. */
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { WorldEvent } from '../invariants/world.ts';
import { formatMessage } from '../raft/format.ts';
import type { Observer } from './observer.ts';

export type TraceWriter = (line: string) => void;

const RECENT_LINES = 40;

export class Trace {
  readonly recent: string[] = [];
  readonly #cluster: SimCluster;
  readonly #observer: Observer;
  readonly #write: TraceWriter | null;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  constructor(cluster: SimCluster, observer: Observer, write: TraceWriter | null) {
    this.#cluster = cluster;
    this.#observer = observer;
    this.#write = write;
  }

  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  /** A fault, a call of a client, or its end. */
  line(text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    this.#mix(Math.round(this.#cluster.now * 1000));
    this.#keep(text);
  }

  event(event: WorldEvent): void {
    const { node } = event;
    this.#mix(Math.round(this.#cluster.now * 1000));
    this.#mix(event.type.charCodeAt(0) + 256 * node.starts);
    switch (event.type) {
      case 'sent':
        this.#mix(event.message.term);
        this.#mix(event.message.type.charCodeAt(0));
        if (event.message.type === 'Heartbeat') return;
        if (event.message.type === 'HeartbeatResponse') return;
        if (this.#write !== null) this.#keep(formatMessage(event.message));
        return;
      case 'applied':
        this.#mix(event.entry.index);
        this.#mix(event.entry.data.length);
        return;
      case 'ready': {
        const { softState, hardState } = event.ready;
        if (softState !== null) this.#keep(`${node.id} is ${softState.role}, leader ${softState.leader ?? 'unknown'}`);
        if (hardState !== null) this.#mix(hardState.term);
        return;
      }
      case 'installed':
        this.#keep(`${node.id} has installed snapshot ${event.snapshot.term}/${event.snapshot.index}`);
        return;
      case 'started':
      case 'crashed':
        this.#keep(`${node.id} ${event.type}`);
    }
  }

  /** A column a node: role, term, commit and last index. */
  grid(): string {
    return this.#observer.nodes
      .map((node) => {
        const { simNode } = node;
        const name = simNode?.name ?? node.id;
        if (!node.up) return `${name} ${simNode?.state ?? ''} -`;
        const { role, term, commit, lastIndex, firstIndex } = node.status;
        const letter = simNode?.paused === true ? 'paused ' : '';
        return `${name} ${letter}${role} t${term} c${commit} a${node.applied.index} [${firstIndex}, ${lastIndex}]`;
      })
      .join(' | ');
  }

  #keep(text: string): void {
    const line = `${this.#cluster.now.toFixed(2).padStart(9)} ${text}`;
    if (this.#write !== null) {
      const named = this.#observer.named(line);
      this.#write(`${named.padEnd(100)} | ${this.#observer.named(this.grid())}`);
      this.#remember(named);
    } else this.#remember(line);
  }

  #remember(line: string): void {
    this.recent.push(line);
    if (this.recent.length > RECENT_LINES) this.recent.shift();
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ (value | 0), 0x01000193);
    this.#high = Math.imul(this.#high ^ (this.#low >>> 15), 0x85ebca6b);
  }
}
