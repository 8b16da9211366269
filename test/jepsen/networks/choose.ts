/** Which network a run gets, and why. */
import type { HostNetwork } from './host-network.ts';
import { createNamespaces, probeNamespaces } from './namespaces.ts';
import { createProxy, probeProxy } from './proxy.ts';

export const NETWORKS = ['auto', 'proxy', 'namespaces'] as const;
export type NetworkChoice = (typeof NETWORKS)[number];

export interface ChosenNetwork {
  readonly network: HostNetwork;
  /** For the reader of the run. */
  readonly why: string;
}

/** Rejects when the network asked for does not work here. */
export async function chooseNetwork(choice: NetworkChoice, count: number, seed: number): Promise<ChosenNetwork> {
  let why = 'asked for';
  if (choice !== 'proxy') {
    const abilities = await probeNamespaces();
    if (typeof abilities !== 'string') {
      const network = await createNamespaces(count, abilities);
      return { network, why: choice === 'auto' ? 'root, and the probe succeeded' : why };
    }
    if (choice === 'namespaces') throw new Error(`no network namespaces: ${abilities}`);
    why = `no network namespaces: ${abilities}`;
  }
  const reason = probeProxy();
  if (reason !== null) throw new Error(`no proxy: ${reason}`);
  return { network: await createProxy(count, seed), why };
}
