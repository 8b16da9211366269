/** A node that hardly gets the processor: a quota of its control group. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { isMakerDead, ownTag, TAG } from '../../processes/owner.ts';
import type { Nemesis } from '../types.ts';
import { leaderOrAny } from './cut.ts';

const PERIOD_MICROSECONDS = 100_000;
const ROOT = '/sys/fs/cgroup';

interface Group {
  readonly parent: string;
  limit(folder: string, quotaMicroseconds: number): void;
}

export const starve: Nemesis = {
  name: 'starve',
  about: 'the leader or some node gets 2 to 10 % of a processor',
  probe: async () => await Promise.resolve(reasonWhyNot()),
  inject: async (lab) => {
    const any = lab.chance.pick(lab.nodes);
    const leader = await leaderOrAny(lab);
    const node = lab.chance.chance(0.5) ? leader : any;
    const percent = lab.chance.between(2, 10);
    const group = groups();
    if (group === null || !node.alive) return null;
    removeLeftovers(group);
    const before = groupOf(node.pid, group);
    const folder = path.join(group.parent, `kvorum-lab-${ownTag()}-${node.name}`);
    mkdirSync(folder, { recursive: true });
    group.limit(folder, (PERIOD_MICROSECONDS * percent) / 100);
    const { pid } = node;
    writeFileSync(path.join(folder, 'cgroup.procs'), String(pid));
    return {
      what: `${node.name}${node === leader ? ' (leader)' : ''} has ${percent} % of a processor`,
      heal: async () => {
        group.limit(folder, -1);
        // It may have died of another fault, and its group is empty then.
        if (existsSync(`/proc/${pid}`)) writeFileSync(path.join(before, 'cgroup.procs'), String(pid));
        await removeWhenEmpty(folder);
      },
    };
  },
};

function reasonWhyNot(): string | null {
  if (process.platform !== 'linux') return `needs control groups of Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root';
  const group = groups();
  if (group === null) return 'no control group for the processor is mounted';
  const folder = path.join(group.parent, `kvorum-lab-${ownTag()}-probe`);
  try {
    mkdirSync(folder);
    try {
      group.limit(folder, PERIOD_MICROSECONDS);
    } finally {
      rmdirSync(folder);
    }
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function groups(): Group | null {
  if (existsSync(`${ROOT}/cpu/cpu.cfs_quota_us`)) {
    return {
      parent: `${ROOT}/cpu`,
      limit: (folder, quota) => writeFileSync(path.join(folder, 'cpu.cfs_quota_us'), String(quota)),
    };
  }
  const controllers = `${ROOT}/cgroup.subtree_control`;
  if (existsSync(controllers) && readFileSync(controllers, 'utf8').split(/\s+/).includes('cpu')) {
    return {
      parent: ROOT,
      limit: (folder, quota) => {
        writeFileSync(path.join(folder, 'cpu.max'), `${quota < 0 ? 'max' : quota} ${PERIOD_MICROSECONDS}`);
      },
    };
  }
  return null;
}

/** Groups of labs that were killed. */
function removeLeftovers({ parent }: Group): void {
  const named = new RegExp(`^kvorum-lab-(${TAG.source})-`);
  for (const name of readdirSync(parent)) {
    const [, tag] = named.exec(name) ?? [];
    if (tag !== undefined && isMakerDead(tag)) rmdirSync(path.join(parent, name));
  }
}

/** Where the process is now, to be put back there. */
function groupOf(pid: number, group: Group): string {
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n')) {
    const [, controllers, where = '/'] = line.split(':');
    const mine = group.parent === ROOT ? controllers === '' : (controllers ?? '').split(',').includes('cpu');
    if (mine) return path.join(group.parent, where);
  }
  return group.parent;
}

/** A process that is dying still counts for a moment. */
async function removeWhenEmpty(folder: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
