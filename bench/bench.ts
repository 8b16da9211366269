/**
 * `npm run bench -- <case> [options]`: measures a fresh three-node cluster of real processes, with its defaults, and beside
 * it a fresh three-node etcd. Only the ratios within one run mean anything; docs/benchmarks.md says how to read them.
 */
import { tmpdir } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { CASES, type CaseName, type CaseOptions, type Round } from './cases.ts';
import { whyNoEtcd } from './etcd-cluster.ts';
import type { Via } from './cluster.ts';
import { isMemoryFileSystem, machineInfo } from './machine.ts';
import { medians, ratios, ratioTable, table } from './report.ts';
import { Workshop } from './workshop.ts';

const ROUNDS: Readonly<Record<CaseName, number>> = {
  put: 3,
  get: 3,
  lock: 3,
  watch: 3,
  load: 1,
  failover: 20,
  restart: 5,
  agents: 1,
  links: 3,
  stages: 3,
};
const KEYS: Readonly<Record<CaseName, number>> = {
  put: 0,
  get: 0,
  lock: 0,
  watch: 0,
  load: 500_000,
  failover: 0,
  restart: 100_000,
  agents: 0,
  links: 0,
  stages: 50_000,
};

interface Flags {
  readonly clients: number;
  readonly workers: number;
  readonly same: boolean;
  readonly watchers: number;
  readonly agents: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly rounds?: number;
  readonly keys?: number;
  readonly rate?: number;
  readonly stale: boolean;
  readonly via: Via;
  readonly vs?: 'etcd';
  readonly loadProgram?: string;
  readonly dir: string;
  readonly output: 'text' | 'json';
}

function number(from: number, to: number, whole = true) {
  return (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!(value >= from && value <= to) || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`${whole ? 'a whole number' : 'a number'} from ${from} to ${to} is needed.`);
    }
    return value;
  };
}

const program = new Command('npm run bench --')
  .description('Measure Kvorum, on a fresh three-node cluster of real processes with its defaults.')
  .addHelpText(
    'after',
    `
Cases:
  put, get   throughput and latency of writes, of linearizable reads
  lock       lock and unlock, a lock for each worker or one for all (--same)
  watch      events delivered to many watchers of the same keys
  load       memory, disk and restart time with many keys
  failover   SIGKILL to the leader: time until a survivor acknowledges a write
  restart    SIGKILL to all three at once: time until they answer again
  agents     agents in ten processes: what one costs, when all know all, and the death of one
  links      what a link between two peers costs, in one process
  stages     what a numbered put costs the main thread of a node, in one process

Examples:
  npm run bench -- put --clients 64 --vs etcd --load-program DIR
  npm run bench -- put --clients 64 --via stream       our client over kvorum://
  npm run bench -- put --clients 64 --rate 2000        open loop: latency from the intended start
  npm run bench -- failover --rounds 5 -o json`,
  )
  .showHelpAfterError('(--help says more)')
  .argument(
    '<case>',
    'put, get, lock, watch, load, failover, restart, agents, links or stages',
    (text: string): CaseName => {
      if (!Object.hasOwn(CASES, text)) throw new InvalidArgumentError(`There are: ${Object.keys(CASES).join(', ')}.`);
      return text as CaseName;
    },
  )
  .option('--clients <n>', 'clients, one request in flight each', number(1, 10_000), 64)
  .option('--workers <n>', 'lock: workers, one lock or unlock in flight each', number(1, 10_000), 32)
  .option('--same', 'lock: one lock for all', false)
  .option('--watchers <n>', 'watch: watchers', number(1, 10_000), 1000)
  .option('--agents <n>', 'agents: how many, made one more than a multiple of nine', number(10, 1000), 100)
  .option('--seconds <s>', 'measured, for each system and round', number(1, 3600), 10)
  .option('--warmup <s>', 'same load before, not measured', number(0, 600), 3)
  .option('--rounds <n>', 'pairs to measure (default: 3; load and agents 1, failover 20, restart 5)', number(1, 1000))
  .option(
    '--keys <n>',
    'keys of load and restart, puts of stages (default: 500000, 100000, 50000)',
    number(100, 100_000_000),
  )
  .option(
    '--rate <n>',
    'put and get: so many requests a second at fixed times, instead of a closed loop',
    number(1, 1e6, false),
  )
  .addOption(
    new Option('--via <way>', 'put, get and lock: how ours is reached (embedded: put and get)')
      .choices(['http', 'stream', 'embedded'])
      .default('http'),
  )
  .option('--stale', 'get: reads that skip the round of heartbeats (etcd: serializable)', false)
  .addOption(new Option('--vs <system>', 'measure it beside ours, pair by pair').choices(['etcd']))
  .addOption(new Option('--load-program <dir>', "folder of etcd's load programs").env('KVORUM_ETCD_LOAD'))
  .option('--dir <dir>', 'where the data goes while it runs; a real disk', tmpdir())
  .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']).default('text'))
  .action(async (name: CaseName, flags: Flags) => await main(name, flags));

function say(text: string): void {
  console.error(text);
}

async function main(name: CaseName, flags: Flags): Promise<void> {
  const json = flags.output === 'json';
  if (isMemoryFileSystem(flags.dir)) say(`warning: ${flags.dir} is in memory, where a sync costs nothing; see --dir`);

  const options: CaseOptions = {
    via: flags.via,
    clients: flags.clients,
    workers: flags.workers,
    same: flags.same,
    watchers: flags.watchers,
    agents: Math.round((flags.agents - 1) / 9) * 9 + 1,
    seconds: flags.seconds,
    warmupSeconds: flags.warmup,
    rounds: flags.rounds ?? ROUNDS[name],
    // The bulk program writes hundreds.
    keys: Math.ceil((flags.keys ?? KEYS[name]) / 100) * 100,
    stale: flags.stale,
    rate: flags.rate ?? null,
  };
  const ways: Readonly<Partial<Record<CaseName, readonly Via[]>>> = {
    put: ['http', 'stream', 'embedded'],
    get: ['http', 'stream', 'embedded'],
    lock: ['http', 'stream'],
  };
  if (!(ways[name] ?? ['http']).includes(flags.via)) throw new Error(`${name} is not measured via ${flags.via}`);
  if (flags.via !== 'http' && flags.rate !== undefined) throw new Error('an open loop is measured via http only');
  let skipped: string | null = null;
  if (flags.vs === 'etcd') {
    skipped = whyNoEtcd(flags.loadProgram);
    if (skipped === null && name === 'stages') skipped = 'stages are measured in one process';
    if (skipped === null && name === 'agents') skipped = 'it has no agents';
    if (skipped === null && name === 'links') skipped = 'links are measured in one process';
    if (skipped === null && name === 'watch') skipped = 'there is no load program of watches for it';
    if (skipped === null && options.rate !== null) skipped = "etcd's load program has a closed loop only";
  }
  const etcdPrograms = flags.vs === 'etcd' && skipped === null ? (flags.loadProgram ?? null) : null;
  const machine = machineInfo();
  if (!json) {
    console.log(`${name}: ${describe(name, options)}`);
    const { cpu, cores, memoryGiB, system, node, commit, etcd } = machine;
    console.log(
      `on ${cores} × ${cpu}, ${memoryGiB} GiB, ${system}, node ${node}, kvorum ${commit ?? 'unknown'}, etcd ${etcd ?? 'none'}`,
    );
    if (skipped !== null) console.log(`etcd skipped: ${skipped}`);
  }

  const { figures, run } = CASES[name];
  const rounds: Round[] = [];
  const workshop = new Workshop(flags.dir);
  for await (const round of run({ workshop, etcdPrograms, options, say })) rounds.push(round);

  if (json) {
    console.log(
      JSON.stringify({
        case: name,
        options,
        machine,
        skipped,
        rounds,
        medians: { kvorum: medians(rounds, figures, 'kvorum'), etcd: medians(rounds, figures, 'etcd') },
        ratios: ratios(rounds, figures),
      }),
    );
  } else {
    console.log(`\n${table(rounds, figures)}`);
    const compared = ratioTable(rounds, figures);
    if (compared !== '') console.log(`\n${compared}`);
  }
}

function describe(name: CaseName, options: CaseOptions): string {
  const { clients, seconds, warmupSeconds, rounds, keys, rate, stale } = options;
  if (name === 'load' || name === 'restart') return `${keys} keys of 256 bytes, ${rounds} rounds`;
  if (name === 'stages') return `${keys} numbered puts of 256 bytes, ${clients} clients, ${rounds} rounds`;
  if (name === 'links') return `40 links after 20, ${rounds} rounds`;
  if (name === 'agents') return `${options.agents} agents in ten processes, ${seconds} s of rest, ${rounds} rounds`;
  if (name === 'failover') return `${rounds} kills of the leader`;
  const time = `${seconds} s after ${warmupSeconds} s, ${rounds} rounds`;
  const via = options.via === 'http' ? '' : `, via ${options.via}`;
  if (name === 'lock') return `${options.workers} workers, ${options.same ? 'one lock' : 'own locks'}${via}, ${time}`;
  if (name === 'watch') return `${options.watchers} watchers of the same keys, 8 writers, ${time}`;
  const loop = rate === null ? 'closed loop' : `open loop, ${rate} a second`;
  const kind = stale ? `${loop}, stale reads` : loop;
  return `${clients} clients, 256-byte values, ${kind}${via}, ${time}`;
}

try {
  await program.parseAsync();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.stack : error);
  process.exit(1);
}
