/**
 * What an invariant can see: the nodes from outside (status, disk, what they handed out), and what happens, event by event.
 * Nothing here reads the inside of a core, so an invariant holds for whatever implements `RaftCore`.
 */
import type {
  Configuration,
  Entry,
  IndexedConfiguration,
  LogReader,
  Message,
  NodeId,
  RaftOptions,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../src/raft/types.ts';
import type { HardState } from '../../src/raft/types.ts';

export interface LogView extends LogReader {
  readonly hardState: HardState;
  /** Those that are still needed, oldest first. */
  readonly configurations: readonly IndexedConfiguration[];
  entry(index: number): Entry | undefined;
  readonly applied: { readonly index: number; readonly term: number; readonly hash: number };
}

export interface NodeView {
  readonly id: NodeId;
  readonly up: boolean;
  /** Counts the starts; together with `id` it names one process. */
  readonly starts: number;
  readonly options: RaftOptions;
  /** As of the last input. Throws for a node that is down. */
  readonly status: RaftStatus;
  /** The log as of the last Ready taken, whether persisted or not. */
  readonly log: LogView;
  /** What a power cut at this moment would leave at least. */
  readonly durable: LogView;
  readonly applied: { readonly index: number; readonly term: number; readonly hash: number };
}

export interface World {
  readonly nodes: readonly NodeView[];
  node(id: NodeId): NodeView;
  /** Entry by index (0 is unused): what was first applied there, by anyone, ever. */
  readonly committed: readonly (Entry | undefined)[];
  /** Highest commit index that any node has ever reported. */
  readonly highestCommit: number;
}

export type WorldEvent =
  | { readonly type: 'started'; readonly node: NodeView }
  | { readonly type: 'crashed'; readonly node: NodeView }
  | { readonly type: 'ready'; readonly node: NodeView; readonly ready: Ready }
  /** A message leaves its node (after the persist it waited for). */
  | { readonly type: 'sent'; readonly node: NodeView; readonly message: Message }
  | { readonly type: 'applied'; readonly node: NodeView; readonly entry: Entry }
  | { readonly type: 'installed'; readonly node: NodeView; readonly snapshot: SnapshotMeta }
  | {
      readonly type: 'accepted';
      readonly node: NodeView;
      readonly firstIndex: number;
      readonly count: number;
      readonly term: number;
    }
  /** The client is told that its write succeeded. */
  | { readonly type: 'acknowledged'; readonly node: NodeView; readonly index: number; readonly term: number }
  | { readonly type: 'readAsked'; readonly node: NodeView; readonly token: number }
  | { readonly type: 'readReleased'; readonly node: NodeView; readonly token: number; readonly index: number }
  /** The client is told to ask again. */
  | { readonly type: 'readRefused'; readonly node: NodeView; readonly token: number };

export interface Invariant {
  readonly name: string;
  /** Called as things happen. */
  observe?(event: WorldEvent, world: World): void;
  /** Called after every input of a node that is up. */
  check?(node: NodeView, world: World): void;
  /** Called when the faults are over and every node has caught up. */
  checkConverged?(world: World): void;
}

export class InvariantViolation extends Error {
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.name = 'InvariantViolation';
    this.invariant = invariant;
  }
}

/** Who has to have everything when the faults are over: the members as the node sees them that has got furthest. */
export function membersNow(world: World): NodeView[] {
  let furthest: NodeView | undefined;
  for (const node of world.nodes) {
    if (node.up && (furthest === undefined || node.status.commit > furthest.status.commit)) furthest = node;
  }
  if (furthest === undefined) return [];
  const { voters, votersOutgoing, learners, learnersNext } = furthest.status.configuration;
  const ids = new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
  return world.nodes.filter((node) => node.up && ids.has(node.id));
}

/** By which of its configurations a node may have counted for the entry at `index`: that in force there, and all later ones. */
export function countedBy(node: NodeView, index: number): Configuration[] {
  const { configurations } = node.log;
  const first = Math.max(
    0,
    configurations.findLastIndex((one) => one.index <= index),
  );
  return [...configurations.slice(first).map(({ configuration }) => configuration), node.status.configuration];
}

export function fail(invariant: string, message: string): never {
  throw new InvariantViolation(invariant, message);
}

/** A majority of each of the two halves of a configuration (thesis §4.3). */
export function isQuorum(
  configuration: { readonly voters: readonly NodeId[]; readonly votersOutgoing: readonly NodeId[] },
  has: (id: NodeId) => boolean,
): boolean {
  const majority = (ids: readonly NodeId[]): boolean => ids.length === 0 || ids.filter(has).length * 2 > ids.length;
  return majority(configuration.voters) && majority(configuration.votersOutgoing);
}
