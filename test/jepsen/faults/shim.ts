/**
 * The shim (shim.c) as the lab sees it: one control file a node. What is written there takes effect at the node's next
 * call; no restart is needed. The file outlives the node, so that the account of what is durable goes on over its restarts.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import type { Chance } from '../types.ts';
import { buildShim, probeCompiler } from './compile.ts';

// Layout of `struct control` in shim.c.
const MAGIC = 0x6b766f72736869n;
const FIELDS = [
  'magic',
  'syncDelayUs',
  'syncJitterUs',
  'syncErrno',
  'syncFailures',
  'writeErrno',
  'writeFailures',
  'clockOffsetNs',
  'clockDriftPpb',
  'clockDriftSinceNs',
  'syncs',
  'syncsFailed',
  'writesFailed',
  'forgotten',
  'slotsUsed',
  'opsBegin',
  'opsEnd',
] as const;
type Field = (typeof FIELDS)[number];
const SLOTS_AT = 4096;
const SLOTS = 2048;
const SLOT_BYTES = 16;
const OPS_AT = SLOTS_AT + SLOTS * SLOT_BYTES;
const OPS = 512;
const OP_BYTES = 512;
const NAME_BYTES = 240;
const CONTROL_BYTES = OPS_AT + OPS * OP_BYTES;

const CREATE = 1;
const UNLINK = 2;

/** A change of names that no sync has followed. */
interface Change {
  readonly kind: number;
  readonly kept: boolean;
  readonly number: number;
  readonly from: string;
  readonly to: string;
}

export interface PowerLoss {
  /** Bytes that were never synced, and of these the ones that are gone. */
  readonly unsyncedBytes: number;
  readonly lostBytes: number;
  /** Files with unsynced bytes of which a part stayed, damaged or cut in the middle. */
  readonly torn: readonly string[];
  /** Creations, unlinks and renames that were taken back. */
  readonly undone: number;
}

export interface PowerLossOptions {
  /**
   * `some`: any part of what was not synced stays, at times with sectors that never arrived. `none`: nothing of it stays.
   * `torn`: of every file with unsynced bytes a part stays that ends within them.
   */
  readonly tail?: 'some' | 'none' | 'torn';
}

const SECTOR_BYTES = 512;

/** Null when this machine can preload the shim into a node, else why not. */
export function probeShim(): string | null {
  const compiler = probeCompiler();
  if (compiler !== null) return compiler;
  let library: string;
  try {
    library = buildShim();
  } catch (error) {
    return String(error);
  }
  // A static Node ignores LD_PRELOAD; so does one that was started with more rights than its user has.
  const script = `process.exit(process.report.getReport().sharedObjects.includes(${JSON.stringify(library)}) ? 0 : 9)`;
  const { status } = spawnSync(process.execPath, ['-e', script], {
    env: { ...process.env, LD_PRELOAD: library, NODE_OPTIONS: '' },
    stdio: 'ignore',
  });
  return status === 0 ? null : 'Node does not load what LD_PRELOAD names';
}

export class Shim {
  /** For the environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly root: string;
  readonly #trash: string;
  readonly #file: number;

  /**
   * @param root the directory that the shim acts on; its parent exists
   * @param aside a directory of its own on the same file system, outside of `root`; made here
   */
  constructor(root: string, aside: string) {
    this.root = path.join(realpathSync(path.dirname(root)), path.basename(root));
    this.#trash = path.join(aside, 'trash');
    mkdirSync(this.#trash, { recursive: true });
    const control = path.join(aside, 'control');
    this.#file = openSync(control, 'w+');
    ftruncateSync(this.#file, CONTROL_BYTES);
    this.#set('magic', MAGIC);
    this.env = {
      LD_PRELOAD: buildShim(),
      LAB_SHIM_CONTROL: control,
      LAB_SHIM_ROOT: this.root,
      LAB_SHIM_TRASH: this.#trash,
    };
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Every sync takes this much longer, plus up to `jitterMs`. 0 ends it, also for syncs that are waiting. */
  slowSyncs(delayMs: number, jitterMs = 0): void {
    this.#set('syncJitterUs', BigInt(Math.round(jitterMs * 1000)));
    this.#set('syncDelayUs', BigInt(Math.round(delayMs * 1000)));
  }

  /** The next `count` calls of fsync and fdatasync fail; by default all, until 0. */
  failSyncs(count = -1, error: 'EIO' | 'ENOSPC' = 'EIO'): void {
    this.#set('syncErrno', BigInt(os.constants.errno[error]));
    this.#set('syncFailures', BigInt(count));
  }

  /** The next `count` writes fail; by default all, until 0. */
  failWrites(count = -1, error: 'EIO' | 'ENOSPC' = 'ENOSPC'): void {
    this.#set('writeErrno', BigInt(os.constants.errno[error]));
    this.#set('writeFailures', BigInt(count));
  }

  /** Wall time is off by so much from now on. 0 puts it right. */
  moveClock(offsetMs: number): void {
    this.#set('clockOffsetNs', BigInt(Math.round(offsetMs * 1e6)));
  }

  /** Wall time runs fast by so many parts in a thousand, counted from now; negative: slow. 0 puts it right. */
  driftClock(perMille: number): void {
    this.#set('clockDriftPpb', 0n);
    this.#set('clockDriftSinceNs', process.hrtime.bigint());
    this.#set('clockDriftPpb', BigInt(Math.round(perMille * 1e6)));
  }

  /** Ends every fault; the account stays. */
  heal(): void {
    this.slowSyncs(0);
    this.failSyncs(0);
    this.failWrites(0);
    this.moveClock(0);
    this.driftClock(0);
  }

  get counts(): { readonly syncs: number; readonly syncsFailed: number; readonly writesFailed: number } {
    return {
      syncs: this.#get('syncs'),
      syncsFailed: this.#get('syncsFailed'),
      writesFailed: this.#get('writesFailed'),
    };
  }

  /** Length of each file below the root at its last sync, by inode, as far as anything was written under the shim. */
  syncedLengths(): Map<number, number> {
    const used = this.#get('slotsUsed');
    const bytes = this.#read(SLOTS_AT, used * SLOT_BYTES);
    const lengths = new Map<number, number>();
    for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
      lengths.set(Number(bytes.readBigUInt64LE(at)), Number(bytes.readBigUInt64LE(at + 8)));
    }
    return lengths;
  }

  /**
   * What is on the disk now is durable, whatever it was. For when the lab itself has put files there.
   * The process does not run.
   */
  forget(): void {
    this.#set('slotsUsed', 0n);
    this.#set('opsBegin', BigInt(this.#get('opsEnd')));
    for (const name of readdirSync(this.#trash)) rmSync(path.join(this.#trash, name), { force: true });
  }

  /** Makes the directory what a loss of power at the moment of the kill could have left. The process does not run. */
  cutPower(chance: Chance, { tail = 'some' }: PowerLossOptions = {}): PowerLoss {
    const undone = this.#undoNames(chance, tail);
    const lengths = this.syncedLengths();
    const torn: string[] = [];
    let unsyncedBytes = 0;
    let lostBytes = 0;
    for (const file of filesBelow(this.root)) {
      const { ino, size } = statSync(file);
      const synced = lengths.get(ino);
      if (synced === undefined || synced >= size) continue;
      const unsynced = size - synced;
      const kept = keptOf(unsynced, tail, chance);
      unsyncedBytes += unsynced;
      lostBytes += unsynced - kept;
      truncateSync(file, synced + kept);
      const damaged = tail === 'some' && kept > 0 && chance.chance(0.3);
      if (damaged) damage(file, synced, kept, chance);
      if (kept > 0 && (damaged || kept < unsynced)) torn.push(path.relative(this.root, file));
    }
    this.forget();
    return { unsyncedBytes, lostBytes, torn, undone };
  }

  /** Takes back some of the last changes of names, the last one first: what a journal that ends earlier would say. */
  #undoNames(chance: Chance, tail: 'some' | 'none' | 'torn'): number {
    const changes = this.#changes();
    const undone = tail === 'none' ? changes.length : chance.between(0, changes.length);
    for (const { kind, kept, number, from, to } of changes.slice(changes.length - undone).toReversed()) {
      const old = path.join(this.root, from);
      const removed = path.join(this.#trash, String(number));
      // It was written down before it was done, and may not have been done.
      if (kind === CREATE) {
        rmSync(old, { force: true });
      } else if (kind === UNLINK) {
        if (kept && !existsSync(old)) renameSync(removed, old);
      } else if (!existsSync(old)) {
        const renamed = path.join(this.root, to);
        if (existsSync(renamed)) renameSync(renamed, old);
        if (kept) renameSync(removed, renamed);
      }
    }
    return undone;
  }

  #changes(): Change[] {
    const begin = this.#get('opsBegin');
    return Array.from({ length: this.#get('opsEnd') - begin }, (_, index) => {
      const bytes = this.#read(OPS_AT + ((begin + index) % OPS) * OP_BYTES, OP_BYTES);
      const text = (at: number): string => bytes.toString('utf8', at, bytes.indexOf(0, at));
      return {
        kind: bytes.readUInt32LE(0),
        kept: bytes.readUInt32LE(4) === 1,
        number: Number(bytes.readBigUInt64LE(8)),
        from: text(24),
        to: text(24 + NAME_BYTES),
      };
    });
  }

  #get(field: Field): number {
    return Number(this.#read(FIELDS.indexOf(field) * 8, 8).readBigInt64LE(0));
  }

  #set(field: Field, value: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    writeSync(this.#file, bytes, 0, 8, FIELDS.indexOf(field) * 8);
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.#file, bytes, 0, length, at);
    return bytes;
  }
}

function keptOf(unsynced: number, tail: 'some' | 'none' | 'torn', chance: Chance): number {
  if (tail === 'none') return 0;
  if (tail === 'torn') return unsynced === 1 ? 0 : chance.between(1, unsynced - 1);
  return chance.between(0, unsynced);
}

/** Some sectors of the last `length` bytes never arrived: zeroes, or what was there before. */
function damage(file: string, from: number, length: number, chance: Chance): void {
  const descriptor = openSync(file, 'r+');
  try {
    const begin = from + chance.between(0, length - 1);
    const end = Math.min(from + length, begin - (begin % SECTOR_BYTES) + SECTOR_BYTES);
    const bytes = Buffer.alloc(end - begin);
    if (chance.chance(0.5)) for (let at = 0; at < bytes.length; at++) bytes[at] = chance.between(0, 255);
    writeSync(descriptor, bytes, 0, bytes.length, begin);
  } finally {
    closeSync(descriptor);
  }
}

function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}
