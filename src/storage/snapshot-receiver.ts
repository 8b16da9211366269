/** Writes a received snapshot under its own generation, beside the state in use, until the switch is staged. */
import { KvorumError, invariant } from '../errors.ts';
import type { GroupId, SnapshotMeta } from '../raft/types.ts';
import { stateKey } from './keys.ts';
import { encodeState } from './record.ts';
import type { SnapshotId, SnapshotReceiver, StateRecord } from './types.ts';
import type { WriteQueue } from './write-queue.ts';

export interface ReceiverOwner {
  install(meta: SnapshotMeta): void;
  discard(): void;
}

export class Receiver implements SnapshotReceiver {
  readonly id: SnapshotId;
  readonly generation: number;
  readonly #queue: WriteQueue;
  readonly #group: GroupId;
  readonly #owner: ReceiverOwner;
  #after: Uint8Array | null = null;
  #writing = 0;
  #retired = false;

  constructor(queue: WriteQueue, group: GroupId, generation: number, id: SnapshotId, owner: ReceiverOwner) {
    this.#queue = queue;
    this.#group = group;
    this.generation = generation;
    this.id = id;
    this.#owner = owner;
  }

  get after(): Uint8Array | null {
    return this.#after;
  }

  resumeAfter(key: Uint8Array | null): void {
    this.#after = key;
  }

  /** Superseded: it writes nothing more. */
  retire(): void {
    this.#retired = true;
  }

  async write(records: readonly StateRecord[]): Promise<void> {
    if (this.#retired) throw new KvorumError('ERR_CLOSED', 'this snapshot receiver was superseded or is done');
    const last = records.at(-1);
    if (last === undefined) return;
    for (const { key, value } of records) {
      this.#queue.put(stateKey(this.#group, this.generation, key), encodeState(key, value));
    }
    this.#after = last.key.slice();
    this.#writing++;
    await new Promise<void>((resolve, reject) => {
      this.#queue.commit(false, (error) => {
        this.#writing--;
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  stageInstall(meta: SnapshotMeta): void {
    invariant(!this.#retired, 'install of a snapshot whose receiver is done');
    invariant(this.#writing === 0, 'install of a snapshot whose last records are still being written');
    invariant(
      meta.index === this.id.index && meta.term === this.id.term,
      'install of another snapshot than was received',
    );
    this.#retired = true;
    this.#owner.install(meta);
  }

  discard(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#owner.discard();
  }
}
