/** Many cells on a few threads. Each result is written down as it comes, so a run that was stopped goes on where it was. */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Cell, CellResult } from './anomalies.ts';

export interface Done {
  readonly cell: Cell;
  readonly result: CellResult;
}

export function parseProgress(text: string): Done[] {
  return wholeLines(text)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Done);
}

function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}

/** Of everything that the result depends on but the program itself. */
function keyOf(cell: Cell): string {
  const { experiment, configuration, blocked, durationMs, intervalMs, repeat, seed, processingMs, neighbours } = cell;
  return [
    experiment,
    configuration,
    blocked,
    durationMs,
    intervalMs,
    repeat,
    seed,
    processingMs,
    neighbours ?? 'all',
  ].join(' ');
}

export async function runAll(
  cells: readonly Cell[],
  progressFile: string,
  workers: number,
  tell: (done: number, of: number) => void,
): Promise<Done[]> {
  const done = new Map<string, Done>();
  if (existsSync(progressFile)) {
    const text = readFileSync(progressFile, 'utf8');
    // What was being written when it was killed is made again; it is cut off, so that the next line begins as one.
    truncateSync(progressFile, Buffer.byteLength(wholeLines(text)));
    for (const one of parseProgress(text)) done.set(keyOf(one.cell), one);
  }
  const open = cells.filter((cell) => !done.has(keyOf(cell)));
  let next = 0;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url));
      const give = (): void => {
        const cell = open[next++];
        if (cell === undefined) void worker.terminate();
        else worker.postMessage(cell);
      };
      worker.on('message', (one: Done) => {
        done.set(keyOf(one.cell), one);
        appendFileSync(progressFile, `${JSON.stringify(one)}\n`);
        tell(cells.length - open.length + Math.min(next, open.length), cells.length);
        give();
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve());
      give();
    });
  await Promise.all(Array.from({ length: Math.min(workers, open.length) }, work));
  return cells.map((cell) => {
    const one = done.get(keyOf(cell));
    if (one === undefined) throw new Error(`no result of ${keyOf(cell)}`);
    return one;
  });
}
