/** Hours of steady use: `npm run sim -- --churn 72h` takes minutes for three days. */
import { expect, test } from 'vitest';
import { Churn } from './churn.ts';

test('nothing grows in two hours of steady use', { timeout: 300_000 }, async () => {
  const report = await new Churn(1).run(2);
  expect(report.acknowledged).toBeGreaterThan(1500);
  // What is never reached proves nothing.
  expect(report.restarts).toBeGreaterThan(0);
  expect(report.quotaRefusals).toBeGreaterThan(0);
  expect(report.recoveries).toBe(report.quotaRefusals);
  expect(report.watched).toBeGreaterThan(0);
  expect(report.compactedRevision).toBeGreaterThan(0);
  // One record of locks: the floor of all names that are forgotten.
  expect(report.recordsByTable).toMatchObject({ locks: 1, counters: 5 });
  expect(Object.keys(report.recordsByTable).toSorted()).toEqual(['counters', 'history', 'locks', 'meta', 'settings']);
});
