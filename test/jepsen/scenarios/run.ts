/**
 * Plays scenarios: `node test/jepsen/scenarios/run.ts [NAME|NUMBER|all|--list] [--seed N] [--network auto|proxy|namespaces]
 * [--out DIR]`. Exit code 0: all went well; 2: a promise was broken; 1: something was not shown.
 */
import { parseArgs } from 'node:util';
import path from 'node:path';

import { NETWORKS } from '../networks/choose.ts';
import { chooseScenarios, exitCode, runScenario, scenarios, type ScenarioResult } from './index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    network: { type: 'string' },
    out: { type: 'string' },
    list: { type: 'boolean' },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);

// What the lab has made is taken away when the process exits.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => process.exit(code));
}

if (values.list === true || positionals.length === 0) {
  for (const { number, name, about } of scenarios) say(`${String(number).padStart(2)}  ${name.padEnd(16)} ${about}`);
} else {
  const seed = Number(values.seed ?? Math.trunc(Math.random() * 2 ** 31));
  const network = NETWORKS.find((one) => one === (values.network ?? 'auto'));
  if (network === undefined || !Number.isSafeInteger(seed)) throw new Error('bad --network or --seed');
  const results: ScenarioResult[] = [];
  for (const { name } of positionals.flatMap(chooseScenarios)) {
    const out = values.out === undefined ? {} : { out: path.join(values.out, name) };
    results.push(await runScenario(name, { seed, network, say, ...out }));
  }
  for (const { number, name, verdict, seconds, reasons } of results) {
    const [reason = ''] = reasons;
    say(
      `${String(number).padStart(2)}  ${name.padEnd(16)} ${verdict.padEnd(9)} ${seconds.toFixed(0)} s  ${reason.split('\n', 1)[0] ?? ''}`,
    );
  }
  process.exitCode = exitCode(results);
}
