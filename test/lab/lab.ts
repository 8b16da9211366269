/**
 *   npm run lab -- gossip [--grid small|full] [--seed N] [--out DIR]
 *   npm run lab -- dht …
 *
 * Experiments that hold a core against what was published about it: our figures beside theirs, with plots.
 * Exits 0 when what was asked for was measured and its gates hold, 2 when a gate does not hold, 1 when it was called wrongly.
 */

interface Experiments {
  /** Runs them; resolves with the exit code. */
  run(args: readonly string[]): Promise<number>;
}

interface Lab {
  readonly about: string;
  readonly module: string;
}

const LABS: Readonly<Record<string, Lab>> = {
  gossip: {
    about: 'SWIM and Lifeguard: failure detection, false positives, load, merging',
    module: './gossip/index.ts',
  },
  dht: { about: 'Kademlia: hops, requests and time-outs a look-up', module: './dht/index.ts' },
};

const USAGE = `Usage: npm run lab -- NAME [options]

${Object.entries(LABS)
  .map(([name, { about }]) => `  ${name.padEnd(8)} ${about}`)
  .join('\n')}

  NAME --help tells the options of one.`;

process.exitCode = await main(process.argv.slice(2));

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help') {
    console.log(USAGE);
    return name === undefined ? 1 : 0;
  }
  const lab = Object.hasOwn(LABS, name) ? LABS[name] : undefined;
  if (lab === undefined) {
    console.error(`There is no lab named ${name}.\n\n${USAGE}`);
    return 1;
  }
  const experiments = await load(lab.module);
  if (experiments === null) {
    console.error(`The lab ${name} is not part of this checkout: test/lab/${lab.module.slice(2)} is missing.`);
    return 1;
  }
  return experiments.run(args);
}

/** null: the file is not there. An error inside it is an error. */
async function load(module: string): Promise<Experiments | null> {
  const url = new URL(module, import.meta.url).href;
  try {
    return (await import(url)) as Experiments;
  } catch (error) {
    const { code, url: missing } = error as { code?: string; url?: string };
    if (code === 'ERR_MODULE_NOT_FOUND' && missing === url) return null;
    throw error;
  }
}
