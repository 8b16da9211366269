/** The store on LevelDB: checks the directory, scans what LevelDB would not, opens it and checks what it recovered. */
import { setTimeout as delay } from 'node:timers/promises';
import { KvorumError } from '../errors.ts';
import { DataDirectory } from './data-directory.ts';
import type { Engine } from './engine.ts';
import { openLevelEngine } from './level-engine.ts';
import { corrupt } from './record.ts';
import { openStore } from './store.ts';
import type { OpenOptions, Store } from './types.ts';
import { scanWriteAheadFiles } from './wal-scanner.ts';
import type { ScanResult } from './wal-scanner.ts';

/**
 * Opens the store in a data directory, which is made when it does not exist.
 *
 * @example
 * const store = await openLevelStore({ directory: 'data/n1' });
 * const { log } = store.group(0);
 * log.append([{ index: 1, term: 1, kind: 'command', data }]);
 * store.commit(true, (error) => …); // on disk, or the store is poisoned
 * await store.close();
 *
 * @throws KvorumError
 *   ERR_DATA_DIR_IN_USE another process (or this one) has it open; ERR_DATA_DIR_FOREIGN it holds something else; ERR_DATA_VERSION a newer
 *   version wrote it; ERR_CORRUPT data that was on disk once is damaged or missing; ERR_CONFIG it cannot be made, read or written.
 */
export async function openLevelStore(options: OpenOptions): Promise<Store> {
  const log = options.log ?? (() => undefined);
  const directory = await DataDirectory.prepare(options.directory);
  const scan = await scanUnused(directory);
  if (scan.torn !== null) log(scan.torn);
  const engine = await openEngine(directory);
  let store: Store;
  try {
    await directory.opened();
    store = await openStore(engine, scan.last);
  } catch (error) {
    await engine.close();
    await directory.closed();
    throw error;
  }
  return closingDirectory(store, directory);
}

/** Damage stays as it is; what another process is just making or writing does not, and then that one has the directory before long. */
const STEADY_MS = 50;
const MAX_SCANS = 100;

/** Files of a database in use change under the scanner: what looks like damage may be a write under way. */
async function scanUnused(directory: DataDirectory): Promise<ScanResult> {
  for (let scans = 1; ; scans++) {
    const before = await directory.fingerprint();
    try {
      return await scanWriteAheadFiles(directory.databasePath);
    } catch (error) {
      const owner = await directory.owner();
      if (owner !== null) throw directory.inUse(owner);
      // Its owner says who it is only once it has opened all.
      await delay(STEADY_MS);
      if (scans === MAX_SCANS || (await directory.fingerprint()) === before) throw error;
    }
  }
}

async function openEngine(directory: DataDirectory): Promise<Engine> {
  try {
    return await openLevelEngine(directory.databasePath);
  } catch (error) {
    throw await explain(error, directory);
  }
}

/** abstract-level wraps what LevelDB said: LEVEL_DATABASE_NOT_OPEN, cause LEVEL_LOCKED, LEVEL_CORRUPTION or LEVEL_IO_ERROR. */
async function explain(error: unknown, directory: DataDirectory): Promise<KvorumError> {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'LEVEL_LOCKED') return directory.inUse(await directory.owner());
  const said = cause instanceof Error ? cause.message : String(cause);
  if (code === 'LEVEL_IO_ERROR') {
    const message = `the data directory ${directory.path} cannot be used: ${said}`;
    return new KvorumError('ERR_CONFIG', message, { cause: error });
  }
  return corrupt(`LevelDB cannot open ${directory.databasePath}: ${said}`, error);
}

function closingDirectory(store: Store, directory: DataDirectory): Store {
  const close = store.close.bind(store);
  let closed: Promise<void> | null = null;
  store.close = () => {
    closed ??= close().then(() => directory.closed());
    return closed;
  };
  return store;
}
