/** Runs cells in a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { runCell, type Cell } from './anomalies.ts';

parentPort?.on('message', (cell: Cell) => {
  parentPort?.postMessage({ cell, result: runCell(cell) });
});
