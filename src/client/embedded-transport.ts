/** A node in this process: calls are calls. */
import type { Attempt, ClusterInfo } from './api.ts';
import { NodeTransport } from './node-transport.ts';
import type { NodeCalls } from './node-transport.ts';

export interface EmbeddedNode extends NodeCalls {
  readonly name: string;
  cluster(): ClusterInfo;
  head(): { readonly group: number };
  readonly dht: { host(service: string, instance: string, said: string | null): Promise<void> };
}

export class EmbeddedTransport extends NodeTransport<EmbeddedNode> {
  protected readonly node: EmbeddedNode;

  readonly #closed: () => void;

  /** `closed` is called when the client is. */
  constructor(node: EmbeddedNode, closed: () => void = () => undefined) {
    super();
    this.node = node;
    this.#closed = closed;
  }

  get endpoint(): string {
    return `embedded:${this.node.name}`;
  }

  get servedBy(): string {
    return this.node.name;
  }

  protected reach(): Promise<EmbeddedNode> {
    return Promise.resolve(this.node);
  }

  protected groupOf(node: EmbeddedNode): number {
    return node.head().group;
  }

  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async cluster(_attempt: Attempt): Promise<ClusterInfo> {
    return this.node.cluster();
  }

  announce(service: string, instance: string, said: string | null): void {
    // A hint, beside what is registered: without it that is found all the same, by the registry.
    this.node.dht.host(service, instance, said).catch(() => undefined);
  }

  /** The node is its owner's. */
  async close(): Promise<void> {
    this.#closed();
  }
}
