/**
 * What a client speaks through to one node of a simulated cluster: a connection that breaks when the process of the node ends, and says nothing while that stands still.
 */
import { KvorumError } from '../errors.ts';
import type { Attempt, ClusterInfo, ElectionInfo, MemberInfo, RawBatch, Stream, WatchRequest } from '../client/api.ts';
import { NodeTransport } from '../client/node-transport.ts';
import type { KvorumNode } from '../node/types.ts';
import type { SimNode } from './sim-node.ts';

export class SimTransport extends NodeTransport<KvorumNode> {
  readonly endpoint: string;
  readonly servedBy: string;
  protected readonly node = null;
  readonly #simNode: SimNode;

  constructor(simNode: SimNode) {
    super();
    this.#simNode = simNode;
    this.endpoint = `sim:${simNode.name}`;
    this.servedBy = simNode.name;
  }

  protected override on<T>(attempt: Attempt, action: (node: KvorumNode) => Promise<T>): Promise<T> {
    return this.#simNode.call(async (node) => {
      // It may have stood in a process that stood still, for longer than anybody waits.
      attempt.signal.throwIfAborted();
      return await action(node);
    });
  }

  /** Every call goes through `on`. */
  protected reach(): Promise<KvorumNode> {
    return Promise.resolve(this.#simNode.node);
  }

  protected groupOf(node: KvorumNode): number {
    return node.head().group;
  }

  cluster(attempt: Attempt): Promise<ClusterInfo> {
    return this.on(attempt, (node) => Promise.resolve(node.cluster()));
  }

  override async watch(request: WatchRequest, attempt: Attempt): Promise<Stream<RawBatch>> {
    const { starts } = this.#simNode;
    return this.#breakable(await super.watch(request, attempt), starts);
  }

  override async electionObserve(
    request: { readonly name: string; readonly idleMs: number },
    attempt: Attempt,
  ): Promise<Stream<ElectionInfo>> {
    const { starts } = this.#simNode;
    return this.#breakable(await super.electionObserve(request, attempt), starts);
  }

  override async membersWatch(
    request: { readonly idleMs: number },
    attempt: Attempt,
  ): Promise<Stream<readonly MemberInfo[]>> {
    const { starts } = this.#simNode;
    return this.#breakable(await super.membersWatch(request, attempt), starts);
  }

  /** What a process goes on telling ends with it; another one that is started in its place knows nothing of it. */
  #breakable<T>(stream: Stream<T>, starts: number): Stream<T> {
    const simNode = this.#simNode;
    return {
      next: () => {
        if (simNode.starts === starts && simNode.alive) return simNode.call(() => stream.next());
        return Promise.reject(new KvorumError('ERR_UNAVAILABLE', `the connection to ${simNode.name} broke`));
      },
      close: () => stream.close(),
    };
  }

  async close(): Promise<void> {}
}
