import { expect, test } from 'vitest';
import { KvorumError, type KvorumNode } from '../../src/index.ts';
import { simCluster } from '../../src/testing/index.ts';

/** The service under test: takes one piece out of the stock, if there is one. */
async function takeOne(node: KvorumNode, item: string): Promise<boolean> {
  for (;;) {
    const { entry } = await node.get(`stock/${item}`);
    const left = entry === null ? 0 : Number(new TextDecoder().decode(entry.value));
    if (entry === null || left === 0) return false;
    try {
      const condition = { type: 'modRevision', revision: entry.modRevision } as const;
      await node.put(`stock/${item}`, String(left - 1), { condition });
      return true;
    } catch (error) {
      // Somebody was faster: look again. What has an unknown outcome is the caller's to judge.
      if (!KvorumError.is(error, 'ERR_CAS_FAILED')) throw error;
    }
  }
}

test('no piece is sold twice, also when the leader dies', async () => {
  const cluster = await simCluster({ seed: 42 });
  await cluster.run(cluster.node('n1').call((node) => node.put('stock/7', '5')));

  // Eight customers at once, on all nodes.
  const sales = Array.from({ length: 8 }, (_, i) => {
    const node = cluster.nodes[i % 3];
    return node?.call((running) => takeOne(running, '7')) ?? Promise.resolve(false);
  });
  cluster.leader?.crash();
  const answers = await cluster.run(Promise.allSettled(sales));
  const sold = answers.filter((answer) => answer.status === 'fulfilled' && answer.value).length;
  const unknown = answers.filter((answer) => answer.status === 'rejected').length;

  await cluster.start(); // what died comes back, with its disk
  const { entry } = await cluster.run(cluster.node('n2').call((node) => node.get('stock/7')));
  const left = Number(new TextDecoder().decode(entry?.value));
  expect(5 - left).toBeGreaterThanOrEqual(sold);
  expect(5 - left).toBeLessThanOrEqual(sold + unknown);
  cluster.close();
});
