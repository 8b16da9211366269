/** A worker of `npm run sim`: runs the seeds that it is given, one after the other. */
import { parentPort } from 'node:worker_threads';
import { runSeed, type Failure, type Layer, type Totals } from './batch.ts';

export interface Task {
  readonly layer: Layer;
  readonly seed: number;
}

export interface Answer extends Task {
  readonly outcome: Totals | Failure;
}

parentPort?.on('message', (task: Task) => {
  // What is no failure of the simulated system is one of the simulator: it ends the worker, loudly.
  void runSeed(task.layer, task.seed).then((outcome) => {
    const answer: Answer = { ...task, outcome };
    parentPort?.postMessage(answer);
  });
});
