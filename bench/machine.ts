/** What the kernel says of processes, files and the machine. Linux only; elsewhere the figures are null. */
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

const MIB = 1024 * 1024;
const TMPFS = 0x01021994;

function output(command: string, args: readonly string[]): string | null {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    // The command is not there or refuses: the figure is unknown.
    return null;
  }
}

const ticksPerSecond = Number(output('getconf', ['CLK_TCK']) ?? 100);

/** User and system time of a process so far, null when it is gone. */
export function cpuSeconds(pid: number): number | null {
  const stat = readProc(pid, 'stat');
  if (stat === null) return null;
  // The second field is the name in brackets, which may hold blanks; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** `VmRSS` now or `VmHWM`, its peak, in MiB. */
export function residentMiB(pid: number, which: 'VmRSS' | 'VmHWM'): number | null {
  const status = readProc(pid, 'status');
  const kib = status === null ? null : new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(status);
  return kib === null ? null : Number(kib[1]) / 1024;
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return null;
  }
}

/** Blocks that the files of a folder take on disk, MiB: preallocated space counts, holes do not. */
export function diskMiB(folder: string): number {
  let blocks = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    try {
      blocks += lstatSync(join(folder, name)).blocks;
    } catch (error) {
      // LevelDB removes files while we look.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return (blocks * 512) / MIB;
}

/** fsync costs nothing there, so a figure would mean nothing. */
export function isMemoryFileSystem(folder: string): boolean {
  return process.platform === 'linux' && statfsSync(folder).type === TMPFS;
}

export interface MachineInfo {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly commit: string | null;
  readonly etcd: string | null;
}

export function machineInfo(): MachineInfo {
  const all = cpus();
  const commit = output('git', ['-C', import.meta.dirname, 'describe', '--always', '--dirty']);
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / MIB / 1024),
    system: `${process.platform} ${release()}`,
    node: process.version,
    commit,
    etcd: etcdVersion(),
  };
}

/** Null when there is no etcd on PATH. */
export function etcdVersion(): string | null {
  return /etcd Version: (\S+)/.exec(output('etcd', ['--version']) ?? '')?.[1] ?? null;
}
