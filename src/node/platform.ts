/**
 * What a node stands on: time, chance, disk, network and identity. The machine's own are in `real-platform.ts`; the simulator brings
 * others, and runs everything above them unchanged.
 */
import type { PrivateKey } from '@libp2p/interface';
import type { createRaft } from '../raft/raft.ts';
import type { Store } from '../storage/types.ts';
import type { Credential, Transport, TransportHandlers } from '../transport/types.ts';
import type { Environment } from './env.ts';
import type { Replica } from './replica.ts';
import type { Services } from './services.ts';
import type { Logger } from './types.ts';

export interface Platform {
  readonly env: Environment;
  /** Process id, shown in /v1/cluster. */
  readonly pid: number;
  openStore(options: { readonly directory: string; log(message: string): void }): Promise<Store>;
  createTransport(options: {
    readonly privateKey: PrivateKey;
    readonly listen: string;
    readonly credential: () => Credential;
    readonly wallTime: () => number;
    readonly logger: Logger;
    readonly handlers: TransportHandlers;
  }): Promise<Transport>;
  /** A new Ed25519 key, for a node's first start. */
  createKey(): Promise<PrivateKey>;
  /** The Raft core; the simulator puts one around it that looks on. */
  readonly createCore: typeof createRaft;
  /** The node has joined its cluster and is about to run: for those who look on. */
  readonly joined?: (parts: { readonly replica: Replica; readonly services: Services }) => void;
}
