/** What the suites need of an implementation: open, close, open again, and crash. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry } from '../../src/raft/types.ts';
import { openLevelStore } from '../../src/storage/level-store.ts';
import { MemoryDisk, openMemoryStore } from '../../src/storage/memory-store.ts';
import type { EngineStore } from '../../src/storage/store.ts';
import type { GroupStore, Store } from '../../src/storage/types.ts';

export interface Harness {
  readonly name: string;
  /** Opens what is there; a new, empty place at first. */
  open(): Promise<Store>;
  /** The process dies without a word; everything that was written stays. */
  kill(store: Store): Promise<void>;
  dispose(): Promise<void>;
}

export async function temporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'kvorum-storage-'));
}

export function levelHarness(): Harness {
  let root: string | null = null;
  let lives = 0;
  return {
    name: 'LevelDB',
    async open() {
      root ??= await temporaryDirectory();
      return openLevelStore({ directory: join(root, String(lives)) });
    },
    async kill(store) {
      // Files as they are now are what a killed process leaves; LevelDB gets no chance to tidy up in the copy.
      const from = join(root as string, String(lives));
      const to = join(root as string, String(++lives));
      await cp(from, to, { recursive: true });
      await store.close();
      await rm(from, { recursive: true });
    },
    async dispose() {
      if (root !== null) await rm(root, { recursive: true, force: true });
    },
  };
}

export function memoryHarness(): Harness {
  let disk = new MemoryDisk();
  return {
    name: 'memory',
    open: () => openMemoryStore({ disk }),
    kill() {
      disk = disk.crash({ keepUnsynced: Infinity });
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  };
}

export function commit(store: Store, sync = true): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(sync, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** Waits until the store writes nothing more, background deletions included. */
export async function settled(store: Store): Promise<void> {
  do {
    await commit(store, false);
    // Background deletion reads asynchronously between its batches.
    await new Promise((resolve) => setImmediate(resolve));
  } while (store.busy || (store as EngineStore).reclaiming);
}

export function entry(index: number, term: number, data: string | Uint8Array = `entry ${index}`): Entry {
  return { index, term, kind: 'command', data: typeof data === 'string' ? Buffer.from(data) : data };
}

export function entries(from: number, to: number, term: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));
}

/** The state is applied and staged up to the position, as it is before a log is compacted. */
export function applyTo(group: GroupStore, index: number, term: number): void {
  group.state.seal({ index, term });
  while (group.state.stageFlush(1024 * 1024) > 0);
}

export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();
export const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
