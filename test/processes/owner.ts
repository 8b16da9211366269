/**
 * Who made a thing that outlives a process: a tag in its name, from which a later run sees whether the maker is dead and
 * the thing is a leftover. The start time keeps a pid that was given out again from looking like the maker.
 */
import { readFileSync } from 'node:fs';

export const TAG = /(\d+)-(\d+)/;

/** PID-START of this process. */
export function ownTag(): string {
  return `${process.pid}-${startTime(process.pid) ?? 0}`;
}

/** False also for what is no tag at all. */
export function isMakerDead(tag: string): boolean {
  const [, pid, start] = new RegExp(`^${TAG.source}$`).exec(tag) ?? [];
  if (pid === undefined || start === undefined) return false;
  return String(startTime(Number(pid))) !== start;
}

/** In clock ticks since the machine started (proc(5), field 22 of stat); null when there is no such process. */
function startTime(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The name of the program, in parentheses, may hold spaces and parentheses itself.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}
