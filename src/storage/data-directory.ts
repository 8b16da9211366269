/**
 * A node's data directory: a marker file that says whose it is and in which format, LevelDB's files in `db/`, and the pid of
 * the process that has it open (for messages; LevelDB's own lock decides).
 *
 *     <directory>/kvorum.json    {"kvorum": "data", "format": 2, "state": "new" | "ready"}
 *     <directory>/kvorum.pid     {"pid": 4242, "started": "…", "inode": "…"}
 *     <directory>/db/            LevelDB
 */
import { randomInt } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { KvorumError } from '../errors.ts';
import { corrupt } from './record.ts';

/** Of the directory as a whole: which kinds of keys there are and what they mean (keys.ts). */
/** 2: the log by extents, the answers of a session in one record. Format 1 was never released. */
export const DATA_FORMAT = 2;

const MARKER = 'kvorum.json';
const PID_FILE = 'kvorum.pid';
const DATABASE = 'db';

/** What a file system or an editor may leave in an empty directory. */
const HARMLESS = new Set(['lost+found', '.DS_Store', '.gitkeep', '.keep', 'Thumbs.db']);

interface Marker {
  readonly format: number;
  /** `new`: made, but the database was never opened. */
  readonly state: string;
}

export class DataDirectory {
  readonly path: string;
  readonly databasePath: string;
  #marker: Marker;

  private constructor(path: string, marker: Marker) {
    this.path = path;
    this.databasePath = join(path, DATABASE);
    this.#marker = marker;
  }

  /**
   * Makes the directory if there is none and checks that it is ours.
   *
   * @throws KvorumError ERR_DATA_DIR_FOREIGN, ERR_DATA_VERSION, ERR_CORRUPT, ERR_CONFIG when it cannot be used at all
   */
  static async prepare(directory: string): Promise<DataDirectory> {
    const path = resolve(directory);
    const names = await usable(path, async () => {
      await mkdir(path, { recursive: true });
      return readdir(path);
    });
    let marker = names.includes(MARKER) ? parseMarker(path, await readFile(join(path, MARKER), 'utf8')) : null;
    if (marker === null) {
      const foreign = names.filter((name) => !HARMLESS.has(name) && !name.startsWith(`${MARKER}.`));
      if (foreign.length > 0) {
        throw new KvorumError(
          'ERR_DATA_DIR_FOREIGN',
          `${path} is not empty and not a data directory of Kvorum: it holds ${foreign.slice(0, 3).join(', ')}` +
            `${foreign.length > 3 ? ', …' : ''}. Name an empty or new directory.`,
        );
      }
      marker = { format: DATA_FORMAT, state: 'new' };
      await usable(path, () => writeMarker(path, { format: DATA_FORMAT, state: 'new' }));
    }
    if (marker.format > DATA_FORMAT) {
      throw new KvorumError(
        'ERR_DATA_VERSION',
        `${path} has data format ${marker.format}, this program knows formats up to ${DATA_FORMAT}: start the newer ` +
          `version of Kvorum that wrote it.`,
      );
    }
    if (marker.format < DATA_FORMAT) {
      throw new KvorumError(
        'ERR_DATA_VERSION',
        `${path} has data format ${marker.format}, of a version of Kvorum before its first release; this program knows only ` +
          `format ${DATA_FORMAT}: begin with a new directory.`,
      );
    }
    const prepared = new DataDirectory(path, marker);
    await usable(path, () => mkdir(prepared.databasePath, { recursive: true }));
    if (marker.state === 'ready' && !(await readdir(prepared.databasePath)).includes('CURRENT')) {
      throw corrupt(`${prepared.databasePath} has lost its file CURRENT`);
    }
    return prepared;
  }

  /** The database is open: from now on its absence is damage. */
  async opened(): Promise<void> {
    await usable(this.path, () => writePid(this.path, this.databasePath));
    if (this.#marker.state === 'ready') return;
    const marker = { format: DATA_FORMAT, state: 'ready' };
    await usable(this.path, () => writeMarker(this.path, marker));
    this.#marker = marker;
  }

  async closed(): Promise<void> {
    await rm(join(this.path, PID_FILE), { force: true });
  }

  /** Pid of a living process that says it has the directory open; null when there is none. */
  async owner(): Promise<number | null> {
    let text: string;
    try {
      text = await readFile(join(this.path, PID_FILE), 'utf8');
    } catch {
      return null; // never opened, or closed properly
    }
    const { pid, started, inode } = parseObject(text) ?? {};
    if (typeof pid !== 'number' || !isAlive(pid)) return null;
    // A copy of a directory in use is not in use.
    if (inode !== (await inodeOf(this.databasePath))) return null;
    // The number may have gone to another process since.
    return typeof started === 'string' && started !== (await startTime(pid)) ? null : pid;
  }

  /** Of the names, sizes and times of the database's files: another one when somebody has written. */
  async fingerprint(): Promise<string> {
    const facts: string[] = [];
    const names = await usable(this.path, () => readdir(this.databasePath));
    for (const name of names.toSorted()) {
      const file = await stat(join(this.databasePath, name)).catch(() => null);
      facts.push(`${name} ${file === null ? 'gone' : `${file.size} ${file.mtimeMs}`}`);
    }
    return facts.join('\n');
  }

  inUse(pid: number | null): KvorumError {
    const who = pid === null ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
    return new KvorumError(
      'ERR_DATA_DIR_IN_USE',
      `${this.path} is in use by ${who}. Each node needs a data directory of its own.`,
      { details: { pid } },
    );
  }
}

function parseMarker(path: string, text: string): Marker {
  const { kvorum, format, state } = parseObject(text) ?? {};
  if (kvorum !== 'data' || typeof format !== 'number') {
    throw new KvorumError(
      'ERR_DATA_DIR_FOREIGN',
      `${join(path, MARKER)} is not the marker of a data directory of Kvorum.`,
    );
  }
  return { format, state: typeof state === 'string' ? state : 'ready' };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // reported by the callers in their own words
  }
}

/** Whole or not at all: written aside, synced, renamed, and the rename synced too. */
async function writeMarker(path: string, { format, state }: Marker): Promise<void> {
  // Several processes may try to make the same directory.
  const aside = join(path, `${MARKER}.${process.pid}-${randomInt(2 ** 32)}`);
  const file = await open(aside, 'w');
  try {
    await file.writeFile(`${JSON.stringify({ kvorum: 'data', format, state })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, join(path, MARKER));
  await syncDirectory(path);
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return; // directories cannot be opened there, and renames are journalled
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writePid(path: string, databasePath: string): Promise<void> {
  const started = await startTime(process.pid);
  const inode = await inodeOf(databasePath);
  const file = await open(join(path, PID_FILE), 'w');
  try {
    await file.writeFile(`${JSON.stringify({ pid: process.pid, started, inode })}\n`);
  } finally {
    await file.close();
  }
}

async function inodeOf(path: string): Promise<string> {
  return String((await stat(path, { bigint: true })).ino);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Field 22 of /proc/PID/stat; null where there is no such file. */
async function startTime(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null; // another system, or the process is gone
  }
}

async function usable<T>(path: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KvorumError('ERR_CONFIG', `the data directory ${path} cannot be used: ${reason}`, { cause: error });
  }
}
