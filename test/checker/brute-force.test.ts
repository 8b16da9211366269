import { describe, expect, test } from 'vitest';
import { check, type ModelName, type Operation } from '../../src/checker/index.ts';
import { bruteForce, STEPS, type Step } from './brute-force.ts';
import { appendScript, changed, coarse, correctHistory, registerScript, seeded, type Script } from './random.ts';

const CASES: [ModelName, string, Script, unknown][] = [
  ['register', 'put, get, cas, delete', registerScript, null],
  ['register', 'from an initial value', registerScript, 1],
  ['kv', 'with append', appendScript, null],
  ['kv', 'with append, from an empty string', appendScript, ''],
];
const ROUNDS = 4000;

describe('the search gives the verdict of trying every order', () => {
  for (const [model, name, script, init] of CASES) {
    test(`${model}: ${name}`, () => {
      const random = seeded(7);
      const verdicts = { ok: 0, bad: 0 };
      for (let round = 0; round < ROUNDS; round++) {
        const history = smallHistory(random, script, init);
        const expected = bruteForce(history, init, STEPS[model] as Step) ? 'ok' : 'bad';
        const result = check(history, { model, init });
        verdicts[expected]++;
        if (result.verdict !== expected) expect.fail(`${expected}, not ${result.verdict}:\n${lines(history)}`);
      }
      // Both verdicts have to come up often, or the comparison says little.
      expect(Math.min(verdicts.ok, verdicts.bad)).toBeGreaterThan(ROUNDS / 12);
    });
  }
});

function smallHistory(random: () => number, script: Script, init: unknown): Operation[] {
  const operations = 2 + Math.floor(random() * 6);
  const shape = { operations, clients: 1 + Math.floor(random() * 4), unanswered: 0.25, failed: 0.05, init };
  let history = correctHistory(random, script, shape);
  for (let changes = Math.floor(random() * 7); changes > 0; changes--) history = changed(history, random);
  return random() < 0.3 ? coarse(history, 8) : history;
}

export function lines(history: readonly Operation[]): string {
  return history.map((operation) => JSON.stringify(operation)).join('\n');
}
