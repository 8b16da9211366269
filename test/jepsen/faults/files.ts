/** The files of a stopped node: copied, emptied, damaged. */
import {
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

import { readLogFile } from '../../../src/storage/leveldb-log.ts';
import type { Chance } from '../types.ts';
import { DISK_NAMES } from './loop-disk.ts';

/** Everything of the node's; its directory may be a mount of its own. */
function namesIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => !DISK_NAMES.has(name));
}

export function emptyDirectory(directory: string): void {
  for (const name of namesIn(directory)) rmSync(path.join(directory, name), { recursive: true, force: true });
}

/** `to` becomes a copy of `from`, holds nothing else, and is on the disk: a loss of power right after must not take it for the node's fault. */
export function copyDirectory(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  emptyDirectory(to);
  for (const name of namesIn(from)) {
    const source = path.join(from, name);
    try {
      cpSync(source, path.join(to, name), { recursive: true, preserveTimestamps: true });
    } catch (error) {
      // Copied while the node runs, a file may go meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || existsSync(source)) throw error;
    }
  }
  for (const entry of readdirSync(to, { recursive: true, encoding: 'utf8' })) sync(path.join(to, entry));
  sync(to);
}

/** A file, or the names in a directory. */
function sync(file: string): void {
  const descriptor = openSync(file, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Where the copy of a node's data is kept. */
export function asidePath(dataDir: string, what: string): string {
  return path.join(path.dirname(dataDir), `${what}-copy`);
}

/** Inverts one bit; a second time puts it right. */
export function flipBit(file: string, position: number, bit = 6): void {
  const descriptor = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(descriptor, byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(descriptor, byte, 0, 1, position);
  } finally {
    closeSync(descriptor);
  }
}

/** Of a record in LevelDB's log format: checksum u32, length u16, type u8. */
const HEADER_BYTES = 7;
const LENGTH_AT = 4;

export interface WriteAhead {
  readonly file: string;
  /** Where each batch begins. */
  readonly batches: readonly number[];
}

/** The write-ahead file that LevelDB wrote last; null when there is none. */
export function liveWriteAhead(dataDir: string): WriteAhead | null {
  const directory = path.join(dataDir, 'db');
  const [name] = readdirSync(directory)
    .filter((entry) => /^\d+\.log$/.test(entry))
    .toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  if (name === undefined) return null;
  const file = path.join(directory, name);
  const batches: number[] = [];
  readLogFile(readFileSync(file), (_, offset) => batches.push(offset));
  return { file, batches };
}

/** The table files and the manifest. */
export function filesOf(dataDir: string, kind: RegExp): string[] {
  const directory = path.join(dataDir, 'db');
  return readdirSync(directory)
    .filter((name) => kind.test(name))
    .map((name) => path.join(directory, name));
}

/** A position within a batch that others follow, so that damage there cannot be taken for a torn tail. */
export function positionMidLog({ file, batches }: WriteAhead, chance: Chance): number | null {
  if (batches.length < 10) return null;
  const from = batches[chance.between(1, batches.length - 4)] ?? 0;
  // Of its first fragment: between fragments may lie a few bytes that mean nothing.
  const length = readFileSync(file).readUInt16LE(from + LENGTH_AT);
  return chance.between(from, from + HEADER_BYTES + length - 1);
}
