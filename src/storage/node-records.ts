/** Small node-wide records: read into memory at open, written with the next batch. */
import { nodeKey, nodeName } from './keys.ts';
import { decodeValue, encodeValue } from './record.ts';
import type { NodeRecords } from './types.ts';
import type { WriteQueue } from './write-queue.ts';

export class StoredNodeRecords implements NodeRecords {
  readonly #queue: WriteQueue;
  readonly #values = new Map<string, unknown>();

  constructor(queue: WriteQueue) {
    this.#queue = queue;
  }

  load(key: Uint8Array, value: Uint8Array): void {
    const name = nodeName(key);
    this.#values.set(name, decodeValue(value, `the node record '${name}'`));
  }

  get(name: string): unknown {
    return this.#values.get(name);
  }

  set(name: string, value: unknown): void {
    if (value === undefined) {
      this.#values.delete(name);
      this.#queue.delete(nodeKey(name));
    } else {
      this.#values.set(name, value);
      this.#queue.put(nodeKey(name), encodeValue(value));
    }
  }
}
