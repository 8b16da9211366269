import { describe, expect, test } from 'vitest';
import { check, type ModelName, type Operation } from '../../src/checker/index.ts';
import { bruteForce, STEPS, type Step } from './brute-force.ts';
import * as random from './random.ts';

interface Case {
  readonly model: ModelName;
  readonly name: string;
  readonly script: random.Script;
  readonly init?: unknown;
  /** What the script and the brute force start with, when it is not `init`. */
  readonly state?: unknown;
  /** Makes a whole history of what the script made. */
  readonly finish?: (history: readonly Operation[]) => Operation[];
  /** Chance of no answer. Default 0.25. */
  readonly unanswered?: number;
}

const CASES: readonly Case[] = [
  { model: 'register', name: 'put, get, cas, delete', script: random.registerScript },
  { model: 'register', name: 'from an initial value', script: random.registerScript, init: 1 },
  { model: 'kv', name: 'with append', script: random.appendScript },
  { model: 'kv', name: 'with append, from an empty string', script: random.appendScript, init: '' },
  { model: 'counter', name: 'add and read', script: random.counterScript, init: 0 },
  { model: 'counter', name: 'adds that tell the sum', script: random.tellingCounterScript, init: 3 },
  { model: 'set', name: 'that only grows', script: random.setScript(['add', 'read'], false), init: [] },
  {
    model: 'set',
    name: 'that only grows, from something',
    script: random.setScript(['add', 'read'], false),
    init: ['b'],
  },
  { model: 'set', name: 'with remove', script: random.setScript(['add', 'remove', 'read'], false), init: [] },
  {
    model: 'set',
    name: 'that tells what changed',
    script: random.setScript(['add', 'remove', 'read'], true),
    init: ['a'],
  },
  { model: 'append-list', name: 'of unique elements', script: random.listScript(false), init: [] },
  { model: 'append-list', name: 'of equal elements', script: random.listScript(false, ['a', 'b']), init: ['a'] },
  { model: 'append-list', name: 'that tells its length', script: random.listScript(true, ['a', 'b']), init: [] },
  { model: 'lock', name: 'with expiry', script: random.lockScript, state: random.LOCK_INIT },
  { model: 'txn', name: 'on two lists', script: random.txnScript(), state: {} },
  {
    model: 'revisions',
    name: 'on two keys, all answered',
    script: random.revisionScript(),
    state: random.STORE_INIT,
    finish: random.withKeys,
    unanswered: 0,
  },
];
const ROUNDS = 1200;

describe('the verdict is that of trying every order', () => {
  for (const one of CASES) {
    test(`${one.model}: ${one.name}`, () => {
      const { model, init = null, state = init, finish = (history) => [...history] } = one;
      const next = random.seeded(7);
      const verdicts = { ok: 0, bad: 0 };
      for (let round = 0; round < ROUNDS; round++) {
        const history = finish(smallHistory(next, one, state));
        const expected = bruteForce(history, state, STEPS[model] as Step) ? 'ok' : 'bad';
        const result = check(history, { model, init });
        verdicts[expected]++;
        if (result.verdict !== expected) {
          expect.fail(`${expected}, not ${result.verdict} (${result.reason}):\n${lines(history)}`);
        }
      }
      // Both verdicts have to come up often, or the comparison says little.
      expect(Math.min(verdicts.ok, verdicts.bad)).toBeGreaterThan(ROUNDS / 100);
    });
  }
});

function smallHistory(next: () => number, { script, unanswered = 0.25 }: Case, state: unknown): Operation[] {
  const operations = 2 + Math.floor(next() * 6);
  const shape = { operations, clients: 1 + Math.floor(next() * 4), unanswered, failed: 0.05, init: state };
  let history = random.correctHistory(next, script, shape);
  for (let changes = Math.floor(next() * 7); changes > 0; changes--) {
    history = random.changed(history, next, unanswered > 0);
  }
  return next() < 0.3 ? random.coarse(history, 8) : history;
}

function lines(history: readonly Operation[]): string {
  return history.map((operation) => JSON.stringify(operation)).join('\n');
}
