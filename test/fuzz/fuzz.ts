/**
 *   npm run fuzz                                    for a minute
 *   npm run fuzz -- --minutes 60 [--from SEED]      an hour of seeds
 *   npm run fuzz -- --seed N                        one seed again
 *
 * Exits 0 when nothing was found, 2 when something was, 1 when it was called wrongly.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseArgs } from 'node:util';
import { playEpisode } from './episode.ts';
import { playHandshakes } from './handshakes.ts';

const USAGE = `Usage: npm run fuzz -- [options]

Damaged, exchanged and repeated frames, thrown at whole nodes on virtual time and at handshakes.

  --minutes M      stop after so many minutes (default 1)
  --from S         the first seed (default: a random one, which is printed)
  --frames N       of an episode (default 2000)
  --seed N         one seed and its figures`;

/** Heap that may be in use beyond what was after the first episodes: caches that fill, no leak. */
const MAX_GROWTH_MIB = 48;
const WARM_UP_EPISODES = 30;
const LOOK_EVERY = 50;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function usage(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(1);
}

function numberOf(name: string, text: string | undefined, otherwise: number, least: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value >= least) || (name !== 'minutes' && !Number.isSafeInteger(value))) {
    usage(`--${name} must be a number of at least ${least}, not ${JSON.stringify(text)}`);
  }
  return value;
}

const { values } = (() => {
  try {
    return parseArgs({
      options: {
        minutes: { type: 'string' },
        from: { type: 'string' },
        frames: { type: 'string' },
        seed: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
})();

function heldMiB(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1024 / 1024;
}

function found(seed: number, error: unknown): never {
  console.error(`seed ${seed}:`, error);
  console.error(`\nreplay: npm run fuzz -- --seed ${seed}${values.frames === undefined ? '' : ` --frames ${frames}`}`);
  process.exit(2);
}

const frames = numberOf('frames', values.frames, 2000, 1);
const outcomes = new Map<string, number>();

async function play(seed: number): Promise<void> {
  // A promise that nobody waits for may be rejected, too.
  const unhandled = (error: unknown): void => found(seed, error);
  process.on('unhandledRejection', unhandled);
  try {
    const figures = await playEpisode(seed, frames);
    for (const [what, count] of figures.outcomes) outcomes.set(what, (outcomes.get(what) ?? 0) + count);
    playHandshakes(seed, outcomes);
    await new Promise((resolve) => setImmediate(resolve));
  } catch (error) {
    found(seed, error);
  } finally {
    process.off('unhandledRejection', unhandled);
  }
}

function tell(): void {
  for (const [what, count] of [...outcomes].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`  ${what.padEnd(36)}${count.toLocaleString('en').padStart(12)}`);
  }
}

if (values.help) {
  console.log(USAGE);
} else if (values.seed !== undefined) {
  await play(numberOf('seed', values.seed, 0, 0));
  tell();
} else {
  const minutes = numberOf('minutes', values.minutes, 1, 0);
  const from = numberOf('from', values.from, Math.floor(Math.random() * 2 ** 31), 0);
  console.log(`${minutes} min from seed ${from}, ${frames} frames an episode`);
  const end = performance.now() + minutes * 60_000;
  let seed = from;
  let warmMiB = Number.NaN;
  for (; performance.now() < end; seed++) {
    await play(seed);
    const played = seed - from + 1;
    if (played === WARM_UP_EPISODES) warmMiB = heldMiB();
    if (played > WARM_UP_EPISODES && played % LOOK_EVERY === 0) {
      const grown = heldMiB() - warmMiB;
      if (grown > MAX_GROWTH_MIB)
        found(seed, new Error(`${grown.toFixed(1)} MiB more are in use than after the first`));
    }
  }
  const grown = heldMiB() - warmMiB;
  tell();
  const memory = Number.isNaN(grown) ? '' : `; memory in use grew by ${grown.toFixed(1)} MiB`;
  console.log(`nothing found in ${seed - from} episodes${memory}`);
}
