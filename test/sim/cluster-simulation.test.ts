/**
 * Whole clusters in the simulator: `npm run sim` runs many more, and replays one.
 */
import { describe, expect, test } from 'vitest';
import { noTotals, addTotals, runCluster, runSeed } from './batch.ts';
import { SimulationFailure } from './cluster-simulation.ts';
import { cutPlan, drawPlan } from './plan.ts';
import { cutArguments, shrink } from './shrink.ts';

const FIXED_SEEDS = 64;
const NEW_SEEDS = 5;
/** Rare states that the known seeds come to. */
const REACHED = [
  'ended before its cluster was formed',
  'ended while it was starting',
  'disk failed',
  'a restart has lost what was not synced',
  'a restart finds what was not synced',
  'entries on disk are cut off',
  'elected with a tail of others',
  'two leaders at once',
  'read asked of a deposed leader',
  'stepped down',
  'handing-over',
  'proposal refused: transferring',
  'forwarded in vain',
  'overlay twice full',
  'a follower needs what is compacted',
  'a later chunk of a snapshot',
  'reads wait across a snapshot',
  'ok across two elections',
  'a write without an answer took effect',
  'a write without an answer was lost',
  'an expiry is overtaken by a renewal',
  'an expiry of an older term is refused',
  'a result is replayed',
  'a session is expired',
  'a waiter on another node than the leader is let in',
  'a stale holder is fenced out',
  'a watch is told of compaction',
  'a watch goes on at another node',
  'a snapshot with locks is installed',
];

async function runAll(seeds: readonly number[]): Promise<ReturnType<typeof noTotals>> {
  const totals = noTotals();
  for (const seed of seeds) {
    const outcome = await runSeed('cluster', seed);
    if ('message' in outcome) throw new Error(`${outcome.message}\nreplay: npm run sim -- --seed ${seed} --grid`);
    addTotals(totals, outcome);
  }
  return totals;
}

describe('whole clusters in a storm', () => {
  // The one place where chance comes in; a new seed is printed by the failure that it causes.
  const base = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);

  test(`${FIXED_SEEDS} known seeds`, { timeout: 600_000 }, async () => {
    const totals = await runAll(Array.from({ length: FIXED_SEEDS }, (_, i) => i + 1));
    expect(totals.ok).toBeGreaterThan(15_000);
    // What is never injected proves nothing.
    for (const kind of ['crash', 'power-out', 'pause', 'wipe', 'disk-flip', 'halves', 'one-way', 'clock-jump']) {
      expect(totals.faults[kind], kind).toBeGreaterThan(0);
    }
    expect(totals.snapshots).toBeGreaterThan(0);
    // Nor does what is never reached.
    for (const what of REACHED) expect(totals.sightings[what] ?? 0, what).toBeGreaterThan(0);
    const interrupted = Object.keys(totals.sightings).filter((what) => what.includes('while a snapshot is'));
    expect(interrupted).not.toEqual([]);
  });

  test(`${NEW_SEEDS} new seeds from ${base}`, { timeout: 600_000 }, async () => {
    expect((await runAll(Array.from({ length: NEW_SEEDS }, (_, i) => base + i))).seeds).toBe(NEW_SEEDS);
  });

  test('one seed makes one history', { timeout: 600_000 }, async () => {
    for (const seed of [3, 12, 23, 31, base])
      expect(await runCluster(seed), `seed ${seed}`).toEqual(await runCluster(seed));
  });
});

describe('a plan', () => {
  test('can be cut without moving what is left', () => {
    const plan = drawPlan(3);
    const [first, , third] = plan.faults;
    const cut = cutPlan(plan, { faults: [0, 2], clients: 1 });
    expect(cut.faults).toEqual([first, third]);
    expect(cut.clients).toBe(1);
    expect(cutArguments({ faults: [0, 2], clients: 1, stormMs: 500 })).toBe(' --clients=1 --storm-ms=500 --faults=0,2');
  });

  test('that does not fail is not shrunk', { timeout: 60_000 }, async () => {
    const plan = { ...drawPlan(1), stormMs: 500 };
    const failure = new SimulationFailure(1, 0, [], new Error('made up'));
    expect((await shrink(plan, failure, () => false)).cut).toEqual({});
  });
});
