/** `npm run check`: is a recorded history linearizable? docs/checker.md tells how to record one. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  check,
  drawHistory,
  isModelName,
  MODELS,
  parseHistory,
  type CheckResult,
  type ModelName,
} from '../../src/checker/index.ts';

const HELP = `Usage: npm run check -- [options] FILE…
       npm run check -- [options] --expect expected.json

Checks histories, JSON lines, one operation a line:
  {"client":1,"op":"put","key":"a","input":5,"output":null,"call":10,"return":20}

Options:
  --model NAME           ${Object.keys(MODELS).join(', ')} (default kv)
  --init JSON            value of every key at first (default null: absent)
  --time-limit SECONDS   for each file; after it the verdict is unknown (default 60)
  --html FILE            writes a picture of the first file that is not ok (with no such file, of the first)
  --json                 one JSON object a file instead of text
  --expect FILE          checks the files of a JSON object {"file": {"linearizable": true, "init": null}, …}, found beside it
  --help

Prints "FILE ok", "FILE bad" or "FILE unknown", and below it why. Exit code: 0 all ok, 2 at least one bad, 1 otherwise
(unknown, unreadable, malformed, wrong usage). With --expect: 0 if every verdict is as expected, 2 if one is not.
`;

const OK = 0;
const TROUBLE = 1;
const BAD = 2;

interface Settings {
  readonly model: ModelName;
  readonly timeLimitMs: number;
  readonly json: boolean;
}

interface Report {
  readonly file: string;
  /** null: the file could not be checked. */
  readonly result: CheckResult | null;
  readonly error: string | null;
  readonly elapsedMs: number;
}

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        model: { type: 'string', default: 'kv' },
        init: { type: 'string', default: 'null' },
        'time-limit': { type: 'string', default: '60' },
        html: { type: 'string' },
        json: { type: 'boolean', default: false },
        expect: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return usage(messageOf(error));
  }
  const { values, positionals: files } = parsed;
  if (values.help) {
    console.log(HELP);
    return OK;
  }
  if (!isModelName(values.model)) {
    return usage(`there is no model ${values.model}; there are ${Object.keys(MODELS).join(', ')}`);
  }
  const timeLimitMs = Number(values['time-limit']) * 1000;
  if (values['time-limit'].trim() === '' || !(timeLimitMs > 0))
    return usage('--time-limit is a number of seconds above 0');
  const settings = { model: values.model, timeLimitMs, json: values.json };
  if (values.expect !== undefined) {
    if (files.length > 0) return usage('--expect names the files itself');
    return checkExpected(values.expect, settings, values.html);
  }
  if (files.length === 0) return usage('no file is given');
  let init: unknown;
  try {
    init = JSON.parse(values.init);
  } catch {
    return usage(`--init is JSON: a text has quotes, as in --init '"a"'`);
  }
  const reports = files.map((file) => checkFile(file, init, settings));
  for (const report of reports) print(report, settings.json);
  const written = draw(reports, values.html);
  if (reports.some(({ result }) => result?.verdict === 'bad')) return BAD;
  return written && reports.every(({ result }) => result?.verdict === 'ok') ? OK : TROUBLE;
}

function usage(message: string): number {
  console.error(`${message}\n\n${HELP}`);
  return TROUBLE;
}

function checkFile(file: string, init: unknown, { model, timeLimitMs }: Settings): Report {
  const start = performance.now();
  const end = start + timeLimitMs;
  try {
    const history = parseHistory(readFileSync(file, 'utf8'));
    const budget = { maxSteps: 30_000_000, expired: () => performance.now() > end };
    const result = check(history, { model, init, budget });
    return { file, result, error: null, elapsedMs: performance.now() - start };
  } catch (error) {
    return { file, result: null, error: messageOf(error), elapsedMs: performance.now() - start };
  }
}

function print({ file, result, error, elapsedMs }: Report, json: boolean): void {
  if (json) {
    const { verdict = null, model = null, reason = error, operations = 0, steps = 0, parts = [] } = result ?? {};
    const failed = parts.map(({ key, culprits }) => ({ key, culprits }));
    console.log(
      JSON.stringify({ file, verdict, model, reason, operations, steps, elapsedMs: Math.round(elapsedMs), failed }),
    );
    return;
  }
  if (result === null) {
    console.error(`${file}: ${error}`);
    return;
  }
  console.log(`${file} ${result.verdict}`);
  for (const { key, reason } of result.parts)
    console.log(`  ${key === null ? '' : `key ${JSON.stringify(key)}: `}${reason}`);
}

/** Of the first file that is not ok, else of the first; false when it could not be written. */
function draw(reports: readonly Report[], target: string | undefined): boolean {
  if (target === undefined) return true;
  const report = reports.find(({ result }) => result !== null && result.verdict !== 'ok') ?? reports[0];
  if (report === undefined || report.result === null) return false;
  try {
    writeFileSync(target, drawHistory(report.result, path.basename(report.file)));
    return true;
  } catch (error) {
    console.error(messageOf(error));
    return false;
  }
}

function checkExpected(list: string, settings: Settings, html: string | undefined): number {
  let expected: Record<string, { linearizable: boolean; init: unknown }>;
  try {
    expected = JSON.parse(readFileSync(list, 'utf8')) as typeof expected;
  } catch (error) {
    console.error(messageOf(error));
    return TROUBLE;
  }
  const reports: Report[] = [];
  let surprises = 0;
  for (const [file, { linearizable, init }] of Object.entries(expected)) {
    const report = checkFile(path.join(path.dirname(list), file), init, settings);
    reports.push(report);
    const wanted = linearizable ? 'ok' : 'bad';
    const verdict = report.result?.verdict ?? `unreadable: ${report.error}`;
    if (verdict !== wanted) surprises++;
    const judgement = verdict === wanted ? 'as expected' : `EXPECTED ${wanted}`;
    if (settings.json) print(report, true);
    else console.log(`${file} ${verdict}, ${judgement}, ${report.elapsedMs.toFixed(1)} ms`);
  }
  const slowest = reports.toSorted((a, b) => b.elapsedMs - a.elapsedMs)[0];
  if (slowest !== undefined && !settings.json) {
    const count = `${reports.length - surprises} of ${reports.length} as expected`;
    console.log(`${count}; slowest: ${path.basename(slowest.file)}, ${slowest.elapsedMs.toFixed(1)} ms`);
  }
  const written = draw(reports, html);
  return surprises > 0 ? BAD : written ? OK : TROUBLE;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
