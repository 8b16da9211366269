/** What the lab needs of a network beside what faults may do to it. */
import type { LabNetwork, LabNode } from '../types.ts';

/** Where a node is on the network. All addresses are HOST:PORT. */
export interface Place {
  /** What the others dial: its own in `--initial-cluster`. */
  readonly advertised: string;
  /** `--listen`, where it differs. */
  readonly listen: string;
  readonly http: string;
  /** Words before the node's own that put it there. */
  readonly wrap: readonly string[];
}

/** What a kind of network can do to a link beside cutting it. Null: it can; else the reason why not. */
export interface NetworkAbilities {
  readonly loss: string | null;
  readonly delay: string | null;
  readonly bandwidth: string | null;
}

export interface HostNetwork extends LabNetwork {
  readonly abilities: NetworkAbilities;
  /** One for each node, in order. */
  readonly places: readonly Place[];
  /** Once, before any node starts: from now on blocks and shapes may be asked for. */
  attach(nodes: readonly LabNode[]): void;
  /** The process of a node has just been started; `pid` is known. */
  started(node: LabNode): void;
  /** The process of a node has ended. */
  ended(node: LabNode): void;
  close(): Promise<void>;
  /** The same for the exit of the process, which waits for nothing. */
  closeNow(): void;
}
