/** Larger histories: correct ones are never rejected, and certain changes never pass. */
import { describe, expect, test } from 'vitest';
import { check, type ModelName, type Operation } from '../../src/checker/index.ts';
import * as random from './random.ts';

interface Case {
  readonly model: ModelName;
  readonly script: () => random.Script;
  readonly init?: unknown;
  readonly state?: unknown;
  readonly finish?: (history: readonly Operation[]) => Operation[];
}

const CASES: readonly Case[] = [
  { model: 'register', script: () => random.registerScript },
  { model: 'kv', script: () => uniqueScript() },
  { model: 'kv', script: () => random.appendScript },
  { model: 'counter', script: () => random.counterScript, init: 0 },
  { model: 'set', script: () => random.setScript(['add', 'read'], false), init: [] },
  { model: 'set', script: () => random.setScript(['add', 'remove', 'read'], true), init: [] },
  { model: 'append-list', script: () => random.listScript(false), init: [] },
  { model: 'append-list', script: () => random.listScript(true), init: [] },
  { model: 'lock', script: () => random.lockScript, state: random.LOCK_INIT },
  { model: 'txn', script: () => random.txnScript(), state: {} },
  { model: 'revisions', script: () => random.revisionScript(), state: random.STORE_INIT, finish: random.withKeys },
];

describe('a history of an atomic object is ok', () => {
  for (const [at, one] of CASES.entries()) {
    test(`${one.model}, script ${at}`, () => {
      const { model, init = null, state = init, finish = (history) => [...history] } = one;
      for (let seed = 0; seed < 25; seed++) {
        const next = random.seeded(seed);
        const shape = { operations: 120, clients: 6, unanswered: 0.1, failed: 0.05, init: state };
        const history = finish(random.correctHistory(next, one.script(), shape));
        const result = check(seed % 3 === 2 ? random.coarse(history, 20) : history, { model, init });
        expect(result, `seed ${seed}`).toMatchObject({ verdict: 'ok', reason: null, parts: [] });
      }
    });
  }

  test('with many clients, many lost answers and few values', () => {
    const script = wideScript();
    for (let seed = 0; seed < 10; seed++) {
      const shape = { operations: 400, clients: 20, unanswered: 0.2 };
      const history = random.correctHistory(random.seeded(seed), script, shape);
      expect(check(history, { model: 'kv' }), `seed ${seed}`).toMatchObject({ verdict: 'ok' });
    }
  });

  test('of thousands of operations', () => {
    const shape = { operations: 5000, clients: 30, unanswered: 0.1 };
    const history = random.correctHistory(random.seeded(1), uniqueScript(), shape);
    const result = check(history, { model: 'kv' });
    expect(result.verdict).toBe('ok');
    // Values that are written once leave the search no choice: about one configuration an operation.
    expect(result.steps).toBeLessThan(10_000);
  });
});

describe('a changed history is bad', () => {
  test('a read of a value that nobody wrote', () => {
    for (let seed = 0; seed < 200; seed++) {
      const next = random.seeded(seed);
      const script = seed % 2 === 0 ? uniqueScript() : random.appendScript;
      const history = random.correctHistory(next, script, { operations: 60, clients: 5, unanswered: 0.2 });
      const read = random.pick(next, history.filter(isAnsweredRead));
      const changed = replaced(history, read, { output: 'nobody wrote this' });
      const result = check(changed, { model: 'kv' });
      expect(result, `seed ${seed}`).toMatchObject({ verdict: 'bad', steps: 0 });
      expect(result.reason).toContain('which nobody wrote');
      expect(result.parts[0]?.culprits).toContainEqual({ ...read, output: 'nobody wrote this' });
    }
  });

  test('a read of a value that was certainly overwritten', () => {
    let tried = 0;
    for (let seed = 0; seed < 300; seed++) {
      const next = random.seeded(seed);
      const history = random.correctHistory(next, uniqueScript(), { operations: 60, clients: 5, unanswered: 0.2 });
      const read = random.pick(next, history.filter(isAnsweredRead));
      const gone = overwrittenBefore(history, read);
      if (gone.length === 0) continue;
      tried++;
      const changed = replaced(history, read, { output: random.pick(next, gone) });
      expect(check(changed, { model: 'kv' }), `seed ${seed}`).toMatchObject({ verdict: 'bad', steps: 0 });
    }
    expect(tried).toBeGreaterThan(100);
  });

  test('an acknowledged write that is gone', () => {
    let tried = 0;
    for (let seed = 0; seed < 200; seed++) {
      const history = random.correctHistory(random.seeded(seed), uniqueScript(), { operations: 40, clients: 3 });
      const end = Math.max(...history.map((operation) => operation.return ?? 0));
      const writes = history.filter(({ op, output }) => op === 'put' || (op === 'cas' && output === true));
      const last = writes.toSorted((a, b) => (b.return ?? 0) - (a.return ?? 0))[0];
      const value = last === undefined ? null : overwrittenBefore(history, last).at(-1);
      if (value === undefined || value === null) continue;
      tried++;
      const read = {
        client: 'reader',
        op: 'get',
        key: 'k',
        input: null,
        output: value,
        call: end + 1,
        return: end + 2,
      };
      expect(check([...history, read], { model: 'kv' }), `seed ${seed}`).toMatchObject({ verdict: 'bad' });
    }
    expect(tried).toBeGreaterThan(50);
  });
});

test('a used up budget is unknown, not ok and not bad', () => {
  const history = random.correctHistory(random.seeded(3), wideScript(), {
    operations: 200,
    clients: 10,
    unanswered: 0.2,
  });
  expect(check(history, { model: 'kv' }).verdict).toBe('ok');
  const bySteps = check(history, { model: 'kv', budget: { maxSteps: 5 } });
  expect(bySteps).toMatchObject({ verdict: 'unknown', steps: 5 });
  expect(bySteps.parts[0]).toMatchObject({ key: 'k', verdict: 'unknown' });
  let asked = 0;
  const expired = () => ++asked >= 1;
  const large = random.correctHistory(random.seeded(3), uniqueScript(), { operations: 5000, clients: 10 });
  expect(check(large, { model: 'kv', budget: { expired } }).verdict).toBe('unknown');
  expect(asked).toBe(1);
});

function isAnsweredRead({ op, return: returned }: Operation): boolean {
  return op === 'get' && returned !== null;
}

function replaced(history: readonly Operation[], old: Operation, change: Partial<Operation>): Operation[] {
  return history.map((operation) => (operation === old ? { ...operation, ...change } : operation));
}

/** Values that were written, and certainly overwritten, before `read` was called. */
function overwrittenBefore(history: readonly Operation[], read: Operation): unknown[] {
  const certain = history.filter(
    ({ op, output, return: returned }) => returned !== null && (op === 'put' || output === true),
  );
  return certain
    .filter((write) =>
      certain.some((later) => (write.return ?? 0) < later.call && (later.return ?? Infinity) < read.call),
    )
    .map(({ op, input }) => (op === 'put' ? input : (input as unknown[])[1]));
}

/** Every value is written once. */
function uniqueScript(): random.Script {
  let next = 1;
  return {
    ask: (from) => {
      const op = random.pick(from, ['get', 'get', 'put', 'cas']);
      const old = Math.max(0, next - 1 - Math.floor(from() * 3));
      return { op, input: op === 'put' ? next++ : op === 'cas' ? [old, next++] : null };
    },
    apply: random.registerScript.apply,
  };
}

/** Few values, so that much looks alike. */
function wideScript(): random.Script {
  return {
    ask: (from) => {
      const op = random.pick(from, ['get', 'get', 'put', 'cas']);
      const value = () => Math.floor(from() * 5);
      return { op, input: op === 'put' ? value() : op === 'cas' ? [value(), value()] : null };
    },
    apply: random.registerScript.apply,
  };
}
