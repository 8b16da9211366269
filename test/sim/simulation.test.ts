/** Raft cores in the simulator: `npm run sim -- --layer core` runs many more, and replays one. */
import { describe, expect, test } from 'vitest';
import { addTotals, noTotals } from './batch.ts';
import { RARE } from './membership-sightings.ts';
import { Simulation } from './simulation.ts';

const FIXED_SEEDS = 400;
const NEW_SEEDS = 50;

function run(seed: number): ReturnType<Simulation['run']> {
  try {
    return new Simulation(seed).run();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${message}\nreplay: npm run sim -- --layer core --seed ${seed} --grid`, { cause });
  }
}

describe('simulation', () => {
  // The one place where chance comes in; each new seed is printed by the failure that it causes.
  const base = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);

  test(`${FIXED_SEEDS} known seeds`, { timeout: 600_000 }, () => {
    const totals = noTotals();
    let acknowledged = 0;
    for (let seed = 1; seed <= FIXED_SEEDS; seed++) {
      const report = run(seed);
      acknowledged += report.acknowledged;
      addTotals(totals, { ...noTotals(), sightings: { ...report.sightings } });
    }
    expect(acknowledged).toBeGreaterThan(10_000);
    // A moment that never comes up proves nothing about it.
    expect(RARE.filter((what) => totals.sightings[what] === undefined)).toEqual([]);
  });

  test(`${NEW_SEEDS} new seeds from ${base}`, { timeout: 600_000 }, () => {
    for (let i = 0; i < NEW_SEEDS; i++) run(base + i);
  });

  test('one seed makes one history', { timeout: 600_000 }, () => {
    for (const seed of [3, 17, 42, base]) expect(run(seed), `seed ${seed}`).toEqual(run(seed));
  });
});
