/**
 * `kvorum/testing`: a cluster in your own tests, without a clock, a socket or a file, and a checker for what its clients saw.
 *
 * @example
 * import { simCluster } from 'kvorum/testing';
 *
 * const cluster = await simCluster({ seed: 42 });
 * await cluster.run(cluster.node('n1').call((node) => node.put('orders/42', 'paid')));
 * cluster.leader?.crash(); // and the two others go on
 * await cluster.until(() => cluster.leader !== null, 'a new leader');
 * cluster.close();
 */
export { drawHistory } from '../checker/draw.ts';
export * from '../checker/index.ts';
export { Random } from './random.ts';
export { SimCluster, simCluster, type SimClientOptions, type SimClusterOptions } from './sim-cluster.ts';
export type { SimNode, SimNodeState } from './sim-node.ts';
export { VirtualTime } from './virtual-time.ts';
