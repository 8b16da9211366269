/**
 * The seeds. `npm run test:sim` runs a fixed set and a few new ones.
 *
 *   SEED=123 npx vitest run --project sim         replays one, and writes its whole trace to a file
 *   SIM_SEEDS=2000 npx vitest run --project sim   a long run of new seeds
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Simulation } from './simulation.ts';

const FIXED_SEEDS = 400;
const NEW_SEEDS = 50;
const one = process.env['SEED'];
const many = Number(process.env['SIM_SEEDS'] ?? 0);

if (one !== undefined) {
  test(`seed ${one}`, { timeout: 600_000 }, () => {
    const path = join(tmpdir(), `kvorum-sim-${one}.log`);
    const file = openSync(path, 'w');
    console.log(`the trace goes to ${path}`);
    try {
      console.log(new Simulation(Number(one), (line) => writeSync(file, `${line}\n`)).run());
    } finally {
      closeSync(file);
    }
  });
} else {
  describe('simulation', () => {
    // The one place where chance comes in; each new seed is printed by the failure that it causes.
    const base = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
    const fixed = many > 0 ? [] : Array.from({ length: FIXED_SEEDS }, (_, i) => i + 1);
    const fresh = Array.from({ length: many || NEW_SEEDS }, (_, i) => base + i);

    test(`${fixed.length} known seeds`, { timeout: 600_000 }, () => {
      let acknowledged = 0;
      for (const seed of fixed) acknowledged += new Simulation(seed).run().acknowledged;
      if (fixed.length > 0) expect(acknowledged).toBeGreaterThan(10_000);
    });

    test(`${fresh.length} new seeds from ${base}`, { timeout: 3_600_000 }, () => {
      for (const seed of fresh) new Simulation(seed).run();
    });

    test('one seed makes one history', { timeout: 600_000 }, () => {
      for (const seed of [3, 17, 42]) {
        expect(new Simulation(seed).run()).toEqual(new Simulation(seed).run());
      }
    });
  });
}
