/** Many cells on a few threads. Each result is written down as it comes, so a run that was stopped goes on where it was. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Cell, CellResult } from './anomalies.ts';

export interface Done {
  readonly cell: Cell;
  readonly result: CellResult;
}

/** Of everything that the result depends on but the program itself. */
function keyOf(cell: Cell): string {
  const { experiment, configuration, blocked, durationMs, intervalMs, repeat, seed, processingMs } = cell;
  return [experiment, configuration, blocked, durationMs, intervalMs, repeat, seed, processingMs].join(' ');
}

export async function runAll(
  cells: readonly Cell[],
  progressFile: string,
  workers: number,
  tell: (done: number, of: number) => void,
): Promise<Done[]> {
  const done = new Map<string, Done>();
  if (existsSync(progressFile)) {
    for (const line of readFileSync(progressFile, 'utf8').split('\n')) {
      // The last line of a run that was killed may be a part of one.
      if (!line.endsWith('}')) continue;
      const one = JSON.parse(line) as Done;
      done.set(keyOf(one.cell), one);
    }
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
