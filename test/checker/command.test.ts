import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const COMMAND = path.join(import.meta.dirname, 'check.ts');
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'kvorum-check-'));
  const put = '{"client":1,"op":"put","key":"a","input":5,"output":null,"call":10,"return":20}\n';
  const get = (value: number) =>
    `{"client":2,"op":"get","key":"a","input":null,"output":${value},"call":30,"return":40}\n`;
  writeFileSync(path.join(dir, 'good.jsonl'), put + get(5));
  writeFileSync(path.join(dir, 'bad.jsonl'), put + get(6));
  writeFileSync(path.join(dir, 'malformed.jsonl'), '{}\n');
  const expected = (bad: boolean) => ({
    'good.jsonl': { linearizable: true, init: null },
    'bad.jsonl': { linearizable: bad, init: null },
  });
  writeFileSync(path.join(dir, 'expected.json'), JSON.stringify(expected(false)));
  writeFileSync(path.join(dir, 'surprise.json'), JSON.stringify(expected(true)));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { cwd: dir, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('a verdict a file, and the exit code of the worst', () => {
  expect(run('good.jsonl')).toMatchObject({ status: 0, stdout: 'good.jsonl ok\n' });
  const { status, stdout } = run('--html', 'out.html', 'good.jsonl', 'bad.jsonl');
  expect(status).toBe(2);
  expect(stdout).toMatch(/^good\.jsonl ok\nbad\.jsonl bad\n {2}key "a": get → 6 by client 2 .*which nobody wrote/);
  expect(readFileSync(path.join(dir, 'out.html'), 'utf8')).toContain('<title>bad.jsonl: bad</title>');
});

test('what cannot be checked is 1', () => {
  const malformed = run('malformed.jsonl', 'nowhere.jsonl');
  expect(malformed).toMatchObject({ status: 1, stdout: '' });
  expect(malformed.stderr).toContain('malformed.jsonl: line 1: "client" is missing');
  expect(malformed.stderr).toContain('nowhere.jsonl: ENOENT');
  const usage = run('--model', 'queue', 'good.jsonl');
  expect(usage.status).toBe(1);
  expect(usage.stderr).toContain('there is no model queue');
  expect(run('--init', 'x', 'good.jsonl').status).toBe(1);
});

test('--init, --json and --help', () => {
  const { status, stdout } = run('--json', '--init', '7', 'bad.jsonl');
  expect(status).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    file: 'bad.jsonl',
    verdict: 'bad',
    model: 'kv',
    operations: 2,
    failed: [{ key: 'a' }],
  });
  expect(run('--help')).toMatchObject({ status: 0 });
});

test('--expect holds a list of files against their verdicts', () => {
  const good = run('--expect', 'expected.json');
  expect(good.status).toBe(0);
  expect(good.stdout).toContain('bad.jsonl bad, as expected');
  expect(good.stdout).toMatch(/2 of 2 as expected; slowest: (good|bad)\.jsonl, [\d.]+ ms/);
  expect(run('--expect', 'surprise.json').status).toBe(2);
});
