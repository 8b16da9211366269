/** What the parts of the fault lab know of each other: nodes, network, faults, workloads. */
import type { Model, ModelName, Operation } from '../../src/checker/index.ts';

/** Chance from the seed of the run. */
export interface Chance {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [from, to]. */
  between(from: number, to: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** A real node process with a data directory and a peer address of its own. */
export interface LabNode {
  readonly name: string;
  /** Where its LevelDB is; may be inside a mount that a fault controls. */
  readonly dataDir: string;
  /** Base URL of the HTTP API. Faults between peers do not touch it. */
  readonly url: string;
  readonly alive: boolean;
  readonly paused: boolean;
  /** Of the node process itself (not of a wrapper). Throws when it does not run. */
  readonly pid: number;
  /** Environment of its next starts; a shim sets LD_PRELOAD here. */
  readonly env: Record<string, string>;
  start(): void;
  /** Resolves when the started node serves; rejects when it ended or took too long. */
  ready(): Promise<void>;
  /** Resolves when it is gone. Default SIGKILL. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  pause(): void;
  resume(): void;
  /** How the last run of the process ended; null while it runs. */
  readonly lastExit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | null;
  /**
   * From its next start on it is a new node of its old name and address, which joins by the others; its data directory is to be emptied by whoever asks for that. `replaces`: it
   * takes the place of the member of its name.
   */
  becomeNew(options: { readonly replaces: boolean }): void;
  /** All that it logged, over all its starts. */
  logs(): string;
}

/** Directed links between the peers. Both kinds behave alike: what is blocked hangs, and flows on after healing. */
export interface LabNetwork {
  readonly kind: 'namespaces' | 'proxy';
  block(from: LabNode, to: LabNode): Promise<void>;
  unblock(from: LabNode, to: LabNode): Promise<void>;
  /** Loss, delay, bandwidth of a link; the reason why not, when this kind of network cannot do it. */
  shape(from: LabNode, to: LabNode, shape: LinkShape | null): Promise<string | null>;
  healAll(): Promise<void>;
}

export interface LinkShape {
  /** Chance that a packet is lost (namespaces) or held back as a retransmission would (proxy). */
  readonly loss?: number;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
}

export interface Lab {
  readonly directory: string;
  readonly nodes: readonly LabNode[];
  readonly network: LabNetwork;
  readonly chance: Chance;
  /** Aborted when the run is over or fails. */
  readonly signal: AbortSignal;
  /** The leader that a majority agrees on, null when there is none now. */
  leader(): Promise<LabNode | null>;
  /** A line for the report and the console. */
  log(message: string): void;
}

/** A fault that is at work. */
export interface Fault {
  /** For the report, e.g. `n1 n2 | n3 n4 n5` or `n3 killed`. */
  readonly what: string;
  /** Ends it and brings back what it took; resolves when done. */
  heal(): Promise<void>;
}

export interface Nemesis {
  readonly name: string;
  /** One line for `--help` and docs. */
  readonly about: string;
  /** Null when this machine can inject it, else the reason for `skipped: reason`. Changes nothing. */
  probe(): Promise<string | null>;
  /** Before the nodes start for the first time: mounts, shims, environment. Undone by `dispose`. */
  prepare?(lab: Lab): Promise<void>;
  dispose?(lab: Lab): Promise<void>;
  /** Injects one fault chosen by `lab.chance`; null when there is nothing to do now. */
  inject(lab: Lab): Promise<Fault | null>;
}

/** One kind of client. A workload is one small file. */
export interface Workload {
  readonly name: string;
  readonly about: string;
  /** Model of the checker that its history is held against, by name or one of its own. */
  readonly model: ModelName | Model;
  /** At most this many operations on one key: the checker's search stays small. */
  readonly operationsPerKey: number;
  /** Keys that are in use at the same time. Default 5. */
  readonly keysAtOnce?: number;
  /** The next operation of client `client` on `key`. */
  next(chance: Chance, client: number, key: string): Invocation;
  /** What is read of every key once all is healed. */
  final(key: string): Invocation;
  /** Before its first operation. */
  open?(nodes: readonly LabNode[]): void;
  /** Runs it over HTTP against a node. Throws for an answer that is against the contract. */
  perform(invocation: Invocation, target: LabNode, signal: AbortSignal): Promise<Outcome>;
  /** What is worth telling of the whole history: a line for the report. */
  figures?(operations: readonly Operation[]): string;
  /** When the load is over. */
  close?(): Promise<void>;
}

/** Clients whose doings are no row of single operations: they hold a lock, keep a lease alive, watch. */
export interface ActingWorkload {
  readonly name: string;
  readonly about: string;
  readonly model: ModelName | Model;
  /** How often `KeyPool.take` gives a key before it is left. */
  readonly operationsPerKey: number;
  /** Default 5. */
  readonly keysAtOnce?: number;
  /** Before the first client acts. */
  open?(scene: Scene): Promise<void>;
  /** The life of one client: ends when `scene.stopping` is aborted and what was begun has come to its end. */
  act(scene: Scene, actor: number): Promise<void>;
  figures?(operations: readonly Operation[]): string;
  /** When the load is over, however it ended. */
  close?(): Promise<void>;
}

/** What an acting client finds. */
export interface Scene {
  readonly nodes: readonly LabNode[];
  readonly chance: Chance;
  readonly clients: number;
  /** The load is to end; by then all faults are healed and the cluster is whole, unless `giveUp` is aborted too. */
  readonly stopping: AbortSignal;
  /** The run has failed: nothing more is waited for. */
  readonly giveUp: AbortSignal;
  /** Microseconds, the clock of the histories. */
  nowUs(): number;
  /** Resolves when the next thing is due by the rate; false when the load is to end. */
  pace(): Promise<boolean>;
  /** A key, which counts as used once more; `unknown` is for the caller to count. */
  takeKey(): { readonly name: string; unknown: number };
  /** A name for who has one operation open at a time; a new one after one without an answer. */
  newClient(): number;
  /** In the order of their ends. `ending`: how it counts, by default as the operation says. */
  record(operation: Operation, error?: string, ending?: Outcome['type']): void;
}

export type Invocation = Pick<Operation, 'op' | 'key' | 'input'>;

export type Outcome =
  | { readonly type: 'ok'; readonly output: unknown }
  /** It certainly did not happen. */
  | { readonly type: 'fail'; readonly error: string }
  /** It may have happened, or may still happen. */
  | { readonly type: 'unknown'; readonly error: string };
