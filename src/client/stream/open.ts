/**
 * `kvorum://HOST:PEERPORT`: the fast way for services. All calls to a node share one connection, which is the transport of the nodes themselves: encrypted, authenticated by the
 * cluster's secret, and with everything that is asked in one turn in one frame. Only for Node.js; loaded when such an endpoint is used.
 */
import { createDialer } from '../../node/remote/dialer.ts';
import type { Dialer } from '../../node/remote/dialer.ts';
import { RemoteNode } from '../../node/remote/remote-node.ts';
import type { Requester } from '../../node/remote/requester.ts';
import type { Attempt, ClientTransport, ClusterInfo } from '../api.ts';
import { NodeTransport } from '../node-transport.ts';

export interface StreamOptions {
  /** Of the cluster. */
  readonly secret: string;
  /** What the nodes' logs call this client. Default `client`. */
  readonly name?: string | undefined;
}

/** What opens transports to addresses (HOST:PORT). They share a key, and a connection for each node. */
export interface Streams {
  open(address: string): ClientTransport;
  /** With all that are open. */
  close(): Promise<void>;
}

export async function openStreams(options: StreamOptions): Promise<Streams> {
  const dialer = await createDialer(options);
  return {
    open: (address) => new StreamTransport(dialer, address),
    close: () => dialer.close(),
  };
}

/** The one group of today. */
const GROUP = 1;

class StreamTransport extends NodeTransport<RemoteNode> {
  readonly endpoint: string;
  readonly #dialer: Dialer;
  readonly #address: string;
  #requester: Requester | null = null;
  #node: RemoteNode | null = null;
  #servedBy: string | null = null;

  constructor(dialer: Dialer, address: string) {
    super();
    this.endpoint = `kvorum://${address}`;
    this.#dialer = dialer;
    this.#address = address;
  }

  get servedBy(): string | null {
    return this.#servedBy;
  }

  protected get node(): RemoteNode | null {
    const requester = this.#dialer.linked(this.#address);
    if (requester === null || requester === this.#requester) return requester === null ? null : this.#node;
    this.#requester = requester;
    this.#servedBy = this.#dialer.nameOf(this.#address);
    this.#node = new RemoteNode(requester);
    return this.#node;
  }

  protected async reach(): Promise<RemoteNode> {
    const requester = await this.#dialer.link(this.#address);
    // It may be lost again: then calls on it are rejected as unsent.
    return this.node ?? new RemoteNode(requester);
  }

  protected groupOf(): number {
    return GROUP;
  }

  cluster(attempt: Attempt): Promise<ClusterInfo> {
    return this.on(attempt, (node) => node.clusterInfo({ timeoutMs: attempt.timeoutMs }));
  }

  /** Safe to repeat. */
  close(): Promise<void> {
    this.#dialer.forget(this.#address);
    return Promise.resolve();
  }
}
