/** What happened, as a number that two equal runs share, as the last lines before a failure, or as a grid for a reader. */
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { WorldEvent } from '../invariants/world.ts';
import { formatMessage } from '../raft/format.ts';
import type { Observer } from './observer.ts';
import { TraceHash } from './trace-hash.ts';

export type TraceWriter = (line: string) => void;

const RECENT_LINES = 40;

export class Trace {
  readonly recent: string[] = [];
  readonly #cluster: SimCluster;
  readonly #observer: Observer;
  readonly #write: TraceWriter | null;
  readonly #hash = new TraceHash();

  constructor(cluster: SimCluster, observer: Observer, write: TraceWriter | null) {
    this.#cluster = cluster;
    this.#observer = observer;
    this.#write = write;
  }

  get hash(): string {
    return this.#hash.value;
  }

  /** A fault, a call of a client, or its end. */
  line(text: string): void {
    this.#hash.text(this.#cluster.now, text);
    this.#keep(text);
  }

  event(event: WorldEvent): void {
    const { node } = event;
    this.#hash.event(this.#cluster.now, event);
    switch (event.type) {
      case 'sent': {
        const { message } = event;
        const quiet = message.type === 'Heartbeat' || message.type === 'HeartbeatResponse';
        if (this.#write !== null && !quiet) this.#keep(formatMessage(message));
        return;
      }
      case 'ready': {
        const { softState } = event.ready;
        if (softState !== null) this.#keep(`${node.id} is ${softState.role}, leader ${softState.leader ?? 'unknown'}`);
        return;
      }
      case 'installed':
        this.#keep(`${node.id} has installed snapshot ${event.snapshot.term}/${event.snapshot.index}`);
        return;
      case 'started':
      case 'crashed':
        this.#keep(`${node.id} ${event.type}`);
        return;
      default:
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
}
