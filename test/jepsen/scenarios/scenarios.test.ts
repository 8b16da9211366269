/** The list of scenarios, how one is chosen, and what the verdicts come to. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

import { chooseScenarios, exitCode, scenarios, type ScenarioResult } from './index.ts';

test('every scenario is there once, in order, and in the documentation', () => {
  const numbers = scenarios.map(({ number }) => number);
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length);
  const page = readFileSync(path.join(import.meta.dirname, '../../../docs/scenarios.md'), 'utf8');
  for (const { number, name } of scenarios) expect(page).toContain(`| ${number} | \`${name}\` |`);
});

test('by name, by number, all, or none', () => {
  expect(chooseScenarios('paused-leader').map(({ number }) => number)).toEqual([1]);
  expect(chooseScenarios('17').map(({ name }) => name)).toEqual(['poisoned-leader']);
  expect(chooseScenarios('all')).toBe(scenarios);
  expect(() => chooseScenarios('peace')).toThrow('there is no scenario "peace"; there are paused-leader, ');
});

test('a broken promise is 2, nothing shown is 1', () => {
  const results = (...verdicts: ScenarioResult['verdict'][]): ScenarioResult[] =>
    verdicts.map((verdict) => ({ number: 1, name: 'any', verdict, reasons: [], seconds: 1 }));
  expect(exitCode(results('ok', 'skipped'))).toBe(0);
  expect(exitCode(results('ok', 'void'))).toBe(1);
  expect(exitCode(results('skipped'))).toBe(1);
  expect(exitCode([])).toBe(1);
  expect(exitCode(results('void', 'violation', 'ok'))).toBe(2);
});
