/** `npm run jepsen -- [options]`: real nodes under faults, and whether they kept their promises. docs/fault-lab.md. */
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { KvClient } from './kv-client.ts';
import { allNemeses, chooseNemeses } from './nemeses.ts';
import { findNetwork, NETWORKS, type NetworkChoice } from './networks/choose.ts';
import { EXIT_CODES } from './result.ts';
import { run, type RunOptions } from './run.ts';
import { chooseScenarios, exitCode, runScenario, scenarios, type ScenarioResult } from './scenarios/index.ts';
import { Witness } from './witness.ts';
import { chooseWorkloads } from './workloads.ts';

const USAGE = `npm run jepsen -- [options]

  --nodes N           processes of the cluster (default 5)
  --time SECONDS      of load with faults; starting, healing and checking come on top (default 60)
  --nemesis LIST      names, or partition, slow-network, network, process, machine, all, none (default all)
  --workload LIST     names, or all (default all)
  --rate N            operations a second, all workloads together (default 250)
  --clients N         clients of each workload (default 2 for each node)
  --network KIND      namespaces (needs root), proxy, or auto (default)
  --seed N            chooses faults, their times and the operations (default: a new one, printed)
  --out DIR           histories, verdict.json and report.html (default: a new directory, printed)
  --stale-reads       clients read stale: with cuts, the run has to end as a violation
  --scenario LIST     plays named stories instead (names, numbers, or all): docs/scenarios.md
  --list              what nemeses, workloads and scenarios there are, and which this machine can run
  --help

Exit code 0: ok. 2: a promise was broken. 1: nothing was shown (too little happened), or the lab failed.
`;

const MAX_NODES = 9;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        nodes: { type: 'string', default: '5' },
        time: { type: 'string', default: '60' },
        nemesis: { type: 'string', default: 'all' },
        workload: { type: 'string', default: 'all' },
        rate: { type: 'string', default: '250' },
        clients: { type: 'string' },
        network: { type: 'string', default: 'auto' },
        seed: { type: 'string' },
        out: { type: 'string' },
        'stale-reads': { type: 'boolean', default: false },
        scenario: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function number(name: string, text: string, from: number, to: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < from || value > to) {
    throw new UsageError(`--${name}: "${text}" is no whole number from ${from} to ${to}`);
  }
  return value;
}

function words(list: string): string[] {
  return list.split(',').map((word) => word.trim());
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function showList(network: NetworkChoice): Promise<void> {
  const { kind, why, abilities } = await findNetwork(network);
  say(`network: ${kind} (${why})\n\nnemeses:`);
  for (const { nemesis, layer, groups } of allNemeses(abilities)) {
    const reason = await nemesis.probe();
    const group = [layer, ...groups].join(', ');
    say(`  ${nemesis.name.padEnd(18)} ${nemesis.about} [${group}]${reason === null ? '' : `; skipped: ${reason}`}`);
  }
  say('\nworkloads:');
  for (const { name, about } of chooseWorkloads(new KvClient(new Witness()), ['all'])) {
    say(`  ${name.padEnd(18)} ${about}`);
  }
  say('\nscenarios:');
  for (const { number: ordinal, name, about } of scenarios) say(`  ${name.padEnd(18)} ${ordinal}: ${about}`);
}

async function playScenarios(list: string, seed: number, network: NetworkChoice, out?: string): Promise<number> {
  const chosen = words(list).flatMap((word) => {
    try {
      return chooseScenarios(word);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  });
  const results: ScenarioResult[] = [];
  for (const { name } of chosen) {
    const options = { seed, network, say, ...(out === undefined ? {} : { out: path.join(path.resolve(out), name) }) };
    results.push(await runScenario(name, options));
  }
  say('');
  for (const { number: ordinal, name, verdict, seconds, reasons } of results) {
    const [reason = ''] = reasons.map((text) => text.split('\n', 1)[0] ?? '');
    say(
      `${String(ordinal).padStart(2)}  ${name.padEnd(16)} ${verdict.padEnd(9)} ${seconds.toFixed(0)} s  ${reason}`.trimEnd(),
    );
  }
  const code = exitCode(results);
  if (code !== 0) say(`once more: npm run jepsen -- --scenario ${list} --network ${network} --seed ${seed}`);
  return code;
}

async function main(): Promise<number> {
  const given = parse(process.argv.slice(2));
  if (given.help) {
    say(USAGE);
    return 0;
  }
  const network = NETWORKS.find((kind) => kind === given.network);
  if (network === undefined) throw new UsageError(`--network: "${given.network}" is none of ${NETWORKS.join(', ')}`);
  if (given.list) {
    await showList(network);
    return 0;
  }
  const nodes = number('nodes', given.nodes, 1, MAX_NODES);
  const seed =
    given.seed === undefined
      ? Math.trunc(Math.random() * 2 ** 31) + 1
      : number('seed', given.seed, 1, Number.MAX_SAFE_INTEGER);
  if (given.scenario !== undefined) return playScenarios(given.scenario, seed, network, given.out);
  const { kind, abilities } = await findNetwork(network);
  const options: Omit<RunOptions, 'out' | 'command' | 'say' | 'signal'> = {
    nodes,
    seconds: number('time', given.time, 5, 86_400),
    nemeses: words(given.nemesis),
    workloads: words(given.workload),
    seed,
    rate: number('rate', given.rate, 1, 10_000),
    clients: number('clients', given.clients ?? String(2 * nodes), 1, 1000),
    network,
    staleReads: given['stale-reads'],
  };
  try {
    chooseNemeses(allNemeses(abilities), options.nemeses);
    chooseWorkloads(new KvClient(new Witness()), options.workloads);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const out = path.resolve(given.out ?? mkdtempSync(path.join(os.tmpdir(), 'kvorum-jepsen-')));
  const command =
    `npm run jepsen -- --nodes ${nodes} --time ${options.seconds} --nemesis ${given.nemesis} --workload ${given.workload}` +
    ` --rate ${options.rate} --clients ${options.clients} --network ${kind} --seed ${seed}` +
    (options.staleReads === true ? ' --stale-reads' : '');
  const result = await run({ ...options, ...{ out, command, say } });
  for (const text of result.violations) say(`VIOLATION ${text}`);
  for (const text of result.errors) say(`ERROR ${text}`);
  for (const text of result.voids) say(`VOID ${text}`);
  say(`${result.ok} ok, ${result.fail} fail, ${result.unknown} unknown; ${result.faults.length} faults`);
  say(path.join(out, 'report.html'));
  say(result.verdict === 'ok' ? 'ok' : `${result.verdict}, seed ${seed}; once more: ${command}`);
  return EXIT_CODES[result.verdict];
}

// What the lab has made is taken away when the process exits.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => process.exit(code));
}

try {
  process.exit(await main());
} catch (error) {
  const text = error instanceof UsageError ? `${error.message} (--help says more)` : (error as Error).stack;
  process.stderr.write(`${text}\n`);
  process.exit(1);
}
