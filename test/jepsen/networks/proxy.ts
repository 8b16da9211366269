/**
 * A network without root: every peer connection goes through a TCP proxy (proxy-worker.ts). The members must all be given
 * the same addresses, so there is one proxy port for each destination, and it finds out who dials.
 */
import { Worker } from 'node:worker_threads';

import { freePorts } from '../../processes/ports.ts';
import type { LabNode, LinkShape } from '../types.ts';
import type { HostNetwork, Place } from './host-network.ts';
import type { ProxyAnswer, ProxyData, ProxyOrder } from './proxy-worker.ts';

export async function createProxy(count: number, seed: number): Promise<ProxyNetwork> {
  const ports = await freePorts(3 * count);
  return new ProxyNetwork(count, ports, seed);
}

/** Why it does not work here; null when it does. */
export function probeProxy(): string | null {
  return process.platform === 'linux' ? null : `needs /proc of Linux, this is ${process.platform}`;
}

export class ProxyNetwork implements HostNetwork {
  readonly kind = 'proxy';
  readonly abilities = { loss: null, delay: null, bandwidth: null };
  readonly places: readonly Place[];
  readonly #worker: Worker;
  readonly #index = new Map<LabNode, number>();
  readonly #waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #orders = 0;
  #failure: Error | null = null;

  constructor(count: number, ports: readonly number[], seed: number) {
    const at = (index: number): number => ports[index] ?? 0;
    const own = Array.from({ length: count }, (_, index) => ({
      proxyPort: at(index),
      nodePort: at(count + index),
      httpPort: at(2 * count + index),
    }));
    this.places = own.map(({ proxyPort, nodePort, httpPort }) => ({
      advertised: `127.0.0.1:${proxyPort}`,
      listen: `127.0.0.1:${nodePort}`,
      http: `127.0.0.1:${httpPort}`,
      wrap: [],
    }));
    const workerData: ProxyData = { ports: own.map(({ proxyPort, nodePort }) => ({ proxyPort, nodePort })), seed };
    this.#worker = new Worker(new URL('proxy-worker.ts', import.meta.url), { workerData, name: 'proxy', execArgv: [] });
    this.#worker.on('message', ({ order, error }: ProxyAnswer) => {
      const waiting = this.#waiting.get(order);
      this.#waiting.delete(order);
      if (error === null) waiting?.resolve();
      else waiting?.reject(new Error(`proxy: ${error}`));
    });
    this.#worker.on('error', (error: Error) => {
      this.#failure = error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  attach(nodes: readonly LabNode[]): void {
    for (const [index, node] of nodes.entries()) this.#index.set(node, index);
  }

  started(node: LabNode): void {
    this.#tell(node, node.pid);
  }

  ended(node: LabNode): void {
    this.#tell(node, null);
  }

  async block(from: LabNode, to: LabNode): Promise<void> {
    await this.#ask({ do: 'block', from: this.#indexOf(from), to: this.#indexOf(to) });
  }

  async unblock(from: LabNode, to: LabNode): Promise<void> {
    await this.#ask({ do: 'unblock', from: this.#indexOf(from), to: this.#indexOf(to) });
  }

  async shape(from: LabNode, to: LabNode, shape: LinkShape | null): Promise<string | null> {
    await this.#ask({ do: 'shape', from: this.#indexOf(from), to: this.#indexOf(to), shape });
    return null;
  }

  async healAll(): Promise<void> {
    await this.#ask({ do: 'heal' });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  closeNow(): void {
    // A thread ends with its process.
  }

  #tell(node: LabNode, pid: number | null): void {
    this.#ask({ do: 'process', node: this.#indexOf(node), pid }).catch((error: unknown) => {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    });
  }

  async #ask(order: ProxyOrder): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const number = ++this.#orders;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#worker.postMessage({ order, number });
    });
  }

  #indexOf(node: LabNode): number {
    const index = this.#index.get(node);
    if (index === undefined) throw new Error(`${node.name} is not on this network`);
    return index;
  }
}
