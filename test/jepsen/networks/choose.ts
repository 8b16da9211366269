/** Which network a run gets, and why. */
import type { HostNetwork, NetworkAbilities } from './host-network.ts';
import { createNamespaces, probeNamespaces } from './namespaces.ts';
import { createProxy, probeProxy } from './proxy.ts';

export const NETWORKS = ['auto', 'proxy', 'namespaces'] as const;
export type NetworkChoice = (typeof NETWORKS)[number];

export interface NetworkFound {
  readonly kind: HostNetwork['kind'];
  /** For the reader of the run. */
  readonly why: string;
  readonly abilities: NetworkAbilities;
}

/** Which one it would be, without making it. Rejects when the network asked for does not work here. */
export async function findNetwork(choice: NetworkChoice): Promise<NetworkFound> {
  let why = 'asked for';
  if (choice !== 'proxy') {
    const abilities = await probeNamespaces();
    if (typeof abilities !== 'string') {
      return { kind: 'namespaces', why: choice === 'auto' ? 'root, and the probe succeeded' : why, abilities };
    }
    if (choice === 'namespaces') throw new Error(`no network namespaces: ${abilities}`);
    if (choice === 'auto') why = `no network namespaces: ${abilities}`;
  }
  const reason = probeProxy();
  if (reason !== null) throw new Error(`no proxy: ${reason}`);
  return { kind: 'proxy', why, abilities: { loss: null, delay: null, bandwidth: null } };
}

export async function makeNetwork(found: NetworkFound, count: number, seed: number): Promise<HostNetwork> {
  if (found.kind === 'namespaces') return await createNamespaces(count, found.abilities);
  return await createProxy(count, seed);
}
