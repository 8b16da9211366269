/** The store in memory: the same queue, log and state as on LevelDB, over a disk that does what a test wants. */
import { MemoryDisk } from './memory-disk.ts';
import type { CrashOptions, MemoryDiskOptions } from './memory-disk.ts';
import { openStore } from './store.ts';
import type { Store } from './types.ts';

export { MemoryDisk } from './memory-disk.ts';
export type { CrashOptions, MemoryDiskOptions } from './memory-disk.ts';

export interface MemoryStoreOptions extends MemoryDiskOptions {
  /** What an earlier store left, as after `close` or from `MemoryDisk.crash`. Default: a new, empty one. */
  readonly disk?: MemoryDisk;
}

export interface MemoryStore extends Store {
  /** To make it fail, stall, or crash. */
  readonly disk: MemoryDisk;
  /** Power loss: the store as it is found afterwards. This one never calls back again. */
  crash(options?: CrashOptions): Promise<MemoryStore>;
}

/**
 * Resolves after a few microtasks, without `schedule`: there are no writes in opening.
 *
 * @example
 * let store = await openMemoryStore();
 * store.group(0).log.append(entries);
 * store.commit(false, () => undefined);
 * store = await store.crash(); // the entries are gone
 *
 * @throws KvorumError as `openLevelStore` does, for ERR_DATA_DIR_IN_USE, ERR_DATA_VERSION and ERR_CORRUPT.
 */
export async function openMemoryStore(options: MemoryStoreOptions = {}): Promise<MemoryStore> {
  const disk = options.disk ?? new MemoryDisk(options);
  const store = await openStore(disk.engine());
  return Object.assign(store, {
    disk,
    crash: (crash?: CrashOptions) => openMemoryStore({ disk: disk.crash(crash) }),
  });
}
