/** A history that is kept for the checker and written down as it grows, so that a lab that dies leaves its evidence. */
import { closeSync, openSync, writeSync } from 'node:fs';

import type { Operation } from '../../src/checker/index.ts';

const FLUSH_LINES = 200;

export class HistoryFile {
  readonly path: string;
  readonly operations: Operation[] = [];
  readonly #file: number;
  #lines: string[] = [];

  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, 'w');
  }

  add(operation: Operation): void {
    this.operations.push(operation);
    this.#lines.push(`${JSON.stringify(operation)}\n`);
    if (this.#lines.length >= FLUSH_LINES) this.flush();
  }

  flush(): void {
    writeSync(this.#file, this.#lines.join(''));
    this.#lines = [];
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
  }
}
