/** What a caller gives that is not of its type, as JavaScript lets them: refused where it is given, or the log would have it for ever. */
import { afterEach, describe, expect, it } from 'vitest';
import { simCluster, type SimCluster } from '../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

const PUTS: Record<string, unknown>[] = [
  { prev: 'yes' },
  { contentType: 5 },
  { contentType: {} },
  { condition: 7 },
  { condition: { type: 'later' } },
  { condition: { type: 'modRevision', revision: 1.5 } },
  { condition: { type: 'modRevision', revision: Number.NaN } },
  { once: { key: 'a' }, prev: 1 },
  { once: {} },
  { lease: 7 },
];

const STEPS: unknown[] = [
  { put: { key: 'a', value: 'b', prev: 'x' } },
  { put: { key: 'a', value: 'b', contentType: 5 } },
  { range: { prefix: '', keysOnly: 5 } },
  { delete: { key: 'a', prev: 1 } },
];

describe('a node', () => {
  it('refuses what could not be applied, and every node goes on', async () => {
    cluster = await simCluster({ seed: 1 });
    const follower = cluster.nodes.find((node) => node !== cluster.leader)!;
    for (const asked of [cluster.leader!, follower]) {
      for (const options of PUTS) {
        const put = cluster.run(asked.call((node) => node.put('a', 'b', options as never)));
        // oxlint-disable-next-line no-await-in-loop
        await expect(put, JSON.stringify(options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      }
      for (const step of STEPS) {
        // oxlint-disable-next-line unicorn/no-thenable
        const txn = cluster.run(asked.call((node) => node.txn({ then: [step] } as never)));
        // oxlint-disable-next-line no-await-in-loop
        await expect(txn, JSON.stringify(step)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      }
    }
    await cluster.advance(2000);
    expect(cluster.nodes.map((node) => node.alive)).toEqual([true, true, true]);
    expect(await cluster.run(follower.call((node) => node.put('a', 'b')))).toEqual({ revision: 1, created: true });
  });
});
