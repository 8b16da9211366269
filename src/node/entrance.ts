/**
 * How a node comes to belong to a cluster: it does already, by its data; it forms one with the other first members; it is one by itself; or it joins one that runs.
 */
import type { NodeId } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import type { Channel, Hello, PeerEvent, Transport } from '../transport/types.ts';
import { Bootstrap, bootstrapAlone } from './bootstrap.ts';
import type { ClusterMap } from './cluster-map.ts';
import type { Credentials } from './credentials.ts';
import type { Environment } from './env.ts';
import { stageFirstEntry } from './first-entry.ts';
import type { Identity } from './identity.ts';
import { Joining } from './joining.ts';
import type { ResolvedOptions } from './options.ts';

export interface EntranceOptions {
  readonly options: ResolvedOptions;
  readonly store: Store;
  readonly group: number;
  readonly identity: Identity;
  readonly env: Environment;
  readonly credentials: Credentials;
}

export class Entrance {
  readonly bootstrap: Bootstrap;
  /** Set on a node that is to join a running cluster. */
  readonly joining: Joining | null;
  readonly #options: EntranceOptions;
  readonly #tell: (message: string) => void;

  /** Throws ERR_CONFIG. */
  constructor(options: EntranceOptions) {
    this.#options = options;
    const { store, group, identity, env, credentials } = options;
    const { initialCluster, join, logger, name, replaces, role } = options.options;
    this.#tell = (message) => logger.info({ node: name }, message);
    this.bootstrap = new Bootstrap({
      store,
      identity,
      name,
      initialCluster,
      log: this.#tell,
      stage: (map) => stageFirstEntry(store.group(group), map),
      schedule: (delayMs, task) => env.after(delayMs, task),
    });
    // A node that belongs to a cluster already is a member that starts again, whatever it was started with.
    if (join === null || this.bootstrap.map !== null) {
      this.joining = null;
      return;
    }
    credentials.assertAny();
    const { bootEpoch } = identity;
    this.joining = new Joining({ store, env, name, bootEpoch, addresses: join, role, replaces, log: this.#tell });
  }

  /** The map of the cluster that this node belongs to from now on. Rejects as `Bootstrap.run` and `Joining.run`, or with the signal's reason. */
  async enter(transport: Transport): Promise<ClusterMap> {
    const { initialCluster, signal } = this.#options.options;
    const { bootstrap, joining } = this;
    if (bootstrap.map !== null) return bootstrap.map;
    if (joining !== null) {
      const map = await joining.run(transport, { signal });
      bootstrap.settled(map);
      keepLinksOf(transport, map.clusterId);
      return map;
    }
    if (Object.keys(initialCluster).length > 1) return bootstrap.run(transport, { signal });
    const map = await this.#alone(transport.address);
    bootstrap.settled(map);
    return map;
  }

  /** True when the frame was about this. */
  frame(from: NodeId, channel: Channel, frame: Uint8Array): boolean {
    return this.bootstrap.frame(from, channel, frame) || this.joining?.frame(from, channel, frame) === true;
  }

  dialled(address: string, id: NodeId | null): void {
    this.joining?.dialled(address, id);
  }

  peer(event: PeerEvent): void {
    this.bootstrap.peer(event);
    this.joining?.peer(event);
  }

  #alone(address: string): Promise<ClusterMap> {
    const { store, group, identity, options } = this.#options;
    const { advertise, name } = options;
    return bootstrapAlone({
      store,
      identity,
      name,
      initialCluster: { [name]: advertise ?? address },
      log: this.#tell,
      stage: (map) => stageFirstEntry(store.group(group), map),
    });
  }
}

/**
 * What a node that was let in keeps of its links. What a ticket opened is good for asking only: from now on links are made by the secret. And among those that it asked may have been some of
 * another cluster.
 */
export function keepLinksOf(transport: Transport, clusterId: string): void {
  for (const { id, hello } of [...transport.peers()]) {
    if (isOfAnother(hello, clusterId)) dropStranger(transport, id, hello, clusterId);
    else transport.hangUpTokenLinks(id);
  }
}

/** A peer that was let in while this node belonged to no cluster yet, and speaks for another than the one that it belongs to now. */
export function isOfAnother({ clusterId: theirs }: Hello, clusterId: string | null): boolean {
  return clusterId !== null && theirs !== null && theirs !== clusterId;
}

export function dropStranger(
  transport: Pick<Transport, 'drop'>,
  id: NodeId,
  { name, clusterId: theirs }: Hello,
  clusterId: string | null,
): void {
  transport.drop(
    id,
    'ERR_WRONG_CLUSTER',
    `${name} belongs to cluster ${theirs}, and this node to cluster ${clusterId}`,
  );
}
