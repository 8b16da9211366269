/**
 * All nodes killed with SIGKILL at once under load, again and again: what was acknowledged is there.
 * `npm test` does a few rounds; `npm run test:durability` fifty (`KVORUM_TEST_ROUNDS`). The seed is printed, and taken from
 * `KVORUM_TEST_SEED`.
 */
import { expect, test } from 'vitest';

import { Cluster } from './cluster.ts';
import { Load } from './load.ts';
import { seededRandom, testSeed } from './random.ts';
import { report } from './report.ts';
import { until } from './until.ts';

const ROUNDS = Number(process.env['KVORUM_TEST_ROUNDS'] ?? 5);
const WRITERS = 16;

test(
  `${ROUNDS} rounds of killing all three nodes at once lose no acknowledged write`,
  { timeout: 60_000 + ROUNDS * 30_000 },
  async () => {
    const seed = testSeed();
    const random = seededRandom(seed);
    const cluster = await Cluster.start();
    const everything = new Map<string, string>();
    for (let round = 0; round < ROUNDS; round++) {
      const load = new Load({
        target: (writer) => (cluster.nodes[writer % cluster.nodes.length] ?? cluster.node('n1')).api,
        writers: WRITERS,
        prefix: `round/${round}/`,
      });
      const enough = 100 + Math.trunc(random() * 900);
      await until(() => load.acknowledged.size >= enough, {
        timeoutMs: 30_000,
        pollMs: 1,
        what: `${enough} acknowledged writes in round ${round} of seed ${seed}`,
        explain: () => JSON.stringify([...load.statuses]),
      });
      await cluster.killAll();
      await load.stop();

      await cluster.startAll();
      const found = new Map<string, string>();
      const reader = cluster.nodes[Math.trunc(random() * cluster.nodes.length)] ?? cluster.node('n1');
      for await (const { key, value } of reader.api.list(`round/${round}/`)) found.set(key, value ?? '');
      const lost = [...load.acknowledged].filter(([key, value]) => found.get(key) !== value).map(([key]) => key);
      expect(lost, `round ${round}, seed ${seed}: ${load.acknowledged.size} acknowledged`).toEqual([]);
      for (const [key, value] of load.acknowledged) everything.set(key, value);
    }
    // And nothing of an earlier round went later, on any node.
    const counts: number[] = [];
    for (const node of cluster.nodes) {
      const left = new Map(everything);
      let count = 0;
      for await (const { key, value } of node.api.list('round/')) {
        count++;
        if (left.get(key) === value) left.delete(key);
      }
      counts.push(count);
      expect([...left.keys()], `${node.name}, seed ${seed}`).toEqual([]);
    }
    expect(new Set(counts).size).toBe(1);
    report(`durability: seed ${seed}, ${ROUNDS} rounds, ${everything.size} acknowledged writes, none lost`);
  },
);
