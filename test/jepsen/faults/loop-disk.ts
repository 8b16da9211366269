/**
 * A small ext4 of its own under a node's data directory, in a file that is mounted through a loop device. It can be filled,
 * and cut off as a power loss would. Needs root; nothing but the given directory is touched.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { until } from '../../integration/until.ts';
import { command, commandNow, reasonWhyNot } from '../networks/command.ts';
import { onExit, removeTree } from './cleanup.ts';
import { buildShutdown, probeCompiler } from './compile.ts';

const DISK_BYTES = 1024 * 1024 * 1024;
/** What a full disk still has: less than a few batches need. */
const LEFT_BYTES = 64 * 1024;
const BALLAST = '.ballast';

let answer: Promise<string | null> | null = null;

/** Null when this machine can mount, cut off and mount again, else why not. Tries it once, and leaves nothing. */
export async function probeLoopDisk(): Promise<string | null> {
  answer ??= tryLoopDisk();
  return await answer;
}

async function tryLoopDisk(): Promise<string | null> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root';
  const compiler = probeCompiler();
  if (compiler !== null) return compiler;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-disk-probe-'));
  let disk: LoopDisk | null = null;
  try {
    return await reasonWhyNot(async () => {
      disk = await LoopDisk.make(path.join(directory, 'data'), path.join(directory, 'image'), 16 * 1024 * 1024);
      writeFileSync(path.join(directory, 'data/lost'), 'never synced');
      await disk.cut();
      await disk.mountAgain();
      writeFileSync(path.join(directory, 'data/file'), 'a disk that was only cut off would refuse this');
    });
  } finally {
    (disk as LoopDisk | null)?.remove();
    removeTree(directory);
  }
}

export class LoopDisk {
  readonly mountPoint: string;
  readonly #image: string;
  readonly #unmount: () => void;

  private constructor(mountPoint: string, image: string) {
    this.mountPoint = mountPoint;
    this.#image = image;
    this.#unmount = onExit(() => {
      // A process that was just killed may still hold it; lazily, it goes with that.
      if (!commandNow('umount', [mountPoint])) commandNow('umount', ['-l', mountPoint]);
    });
  }

  /** Makes the directory if need be, and mounts an empty file system there. */
  static async make(mountPoint: string, image: string, bytes: number = DISK_BYTES): Promise<LoopDisk> {
    mkdirSync(mountPoint, { recursive: true });
    writeFileSync(image, '');
    truncateSync(image, bytes);
    // No blocks kept back for root, which the nodes run as. Zeroing later would be work at a time of its own choice.
    await command('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
    const disk = new LoopDisk(mountPoint, image);
    try {
      await disk.#mount();
    } catch (error) {
      disk.remove();
      throw error;
    }
    return disk;
  }

  async #mount(): Promise<void> {
    await command('mount', ['-t', 'ext4', '-o', 'loop,noatime', this.#image, this.mountPoint]);
  }

  /** From now on nothing reaches the disk any more, and what was on the way is lost. Every call fails with EIO. */
  async cut(): Promise<void> {
    await command(buildShutdown(), [this.mountPoint]);
  }

  /** After `cut()`, when nobody holds a file there any more: replays the journal. */
  async mountAgain(): Promise<void> {
    const unmounted = async (): Promise<boolean> => {
      await command('umount', [this.mountPoint]);
      return true;
    };
    await until(unmounted, { timeoutMs: 10_000, what: `unmounting ${this.mountPoint}` });
    // As long as the loop device stands, the file system may be alive with it, and mounting would not replay anything.
    await until(async () => (await command('losetup', ['--associated', this.#image])).trim() === '', {
      ...{ timeoutMs: 10_000, what: `the loop device of ${this.#image} goes` },
    });
    await this.#mount();
  }

  /** Leaves so little room that the next batches of a node do not fit. */
  async fill(): Promise<void> {
    const { bavail, bsize } = statfsSync(this.mountPoint);
    const bytes = bavail * bsize - LEFT_BYTES;
    await command('fallocate', ['--length', String(bytes), path.join(this.mountPoint, BALLAST)]);
  }

  drain(): void {
    rmSync(path.join(this.mountPoint, BALLAST), { force: true });
  }

  remove(): void {
    this.#unmount();
  }
}

/** Names in a data directory that are the disk's, not the node's. */
export const DISK_NAMES: ReadonlySet<string> = new Set([BALLAST, 'lost+found']);
