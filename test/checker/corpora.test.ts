/** Recorded histories with known verdicts (Jepsen's etcd runs, Knossos's cases), when they lie beside the checkout. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { check, parseHistory } from '../../src/checker/index.ts';

const CORPORA = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');
const LIST = path.join(CORPORA, 'expected.json');

test('every recorded history gets its verdict', () => {
  if (!existsSync(LIST)) {
    console.log(`skipped: there is no ${LIST}`);
    return;
  }
  const expected = JSON.parse(readFileSync(LIST, 'utf8')) as Record<string, { linearizable: boolean; init: unknown }>;
  let slowest = { file: '', elapsedMs: 0 };
  const wrong: string[] = [];
  for (const [file, { linearizable, init }] of Object.entries(expected)) {
    const history = parseHistory(readFileSync(path.join(CORPORA, file), 'utf8'));
    const start = performance.now();
    const { verdict } = check(history, { model: 'kv', init });
    const elapsedMs = performance.now() - start;
    if (elapsedMs > slowest.elapsedMs) slowest = { file, elapsedMs };
    if (verdict !== (linearizable ? 'ok' : 'bad')) wrong.push(`${file}: ${verdict}`);
  }
  const count = Object.keys(expected).length;
  console.log(`${count} histories; slowest: ${slowest.file}, ${slowest.elapsedMs.toFixed(1)} ms`);
  expect(wrong).toEqual([]);
  expect(count).toBeGreaterThan(0);
});
