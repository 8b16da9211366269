/** A short run of the fault lab: whatever is cut, killed and paused, clients see one truth, and lose nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

import { run } from '../jepsen/run.ts';
import { WORKLOADS } from '../jepsen/workloads.ts';
import { testSeed } from './random.ts';
import { report } from './report.ts';

const SECONDS = 40;
const RATE = 160;

test('three nodes under partitions, kills and pauses keep every promise', async () => {
  const seed = testSeed();
  const out = await mkdtemp(path.join(os.tmpdir(), 'kvorum-jepsen-'));
  const lines: string[] = [];
  const result = await run({
    ...{ nodes: 3, seconds: SECONDS, nemeses: ['partition', 'kill', 'pause'], workloads: ['all'] },
    ...{ seed, rate: RATE, clients: 6, network: 'auto', out, say: (text) => lines.push(text) },
    command: `KVORUM_TEST_SEED=${seed} npx vitest run --project integration jepsen`,
  });
  const { ok, fail, unknown, faults, network } = result;
  report(
    `fault lab: seed ${seed}, ${network.kind}, ${faults.length} faults, ${ok} ok, ${fail} fail, ${unknown} unknown`,
  );
  for (const { name, figures } of result.workloads) if (figures !== null) report(`${name}: ${figures}`);
  if (result.verdict !== 'ok') report(`${lines.join('\n')}\nkept in ${out}`);
  expect([result.violations, result.errors, result.voids]).toEqual([[], [], []]);
  expect(result.verdict).toBe('ok');
  expect(result.workloads.map(({ name, verdict }) => `${name}: ${verdict}`)).toEqual(
    Object.keys(WORKLOADS).map((name) => `${name}: ok`),
  );
  expect(ok).toBeGreaterThan(SECONDS * RATE * 0.1);
  expect(result.acknowledgedWrites).toBeGreaterThan(100);
  expect(faults.length).toBeGreaterThan(0);
  await rm(out, { recursive: true });
}, 240_000);
