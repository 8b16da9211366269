/**
 * A write or a sync that fails is final for the node: it acknowledges nothing any more, and stops by itself with
 * ERR_STORE_POISONED. Once the disk is well it comes back with everything that it had acknowledged.
 */
import type { Fault, Lab, LabNode, Nemesis } from '../types.ts';
import {
  acquireDisks,
  acquireShims,
  expectEnds,
  outOf,
  releaseDisks,
  releaseShims,
  requireDisk,
  requireShim,
  wellNodes,
} from './equipment.ts';
import { probeLoopDisk } from './loop-disk.ts';
import { probeShim } from './shim.ts';
import { endsByItself, lastErrorCode, startAgain, WrongUnderFault } from './starting.ts';

export const POISONED = 'ERR_STORE_POISONED';
const STOP_TIMEOUT_MS = 20_000;

/** The leader as often as a follower. */
async function victimOf(lab: Lab): Promise<LabNode | null> {
  const nodes = wellNodes(lab);
  if (nodes.length === 0) return null;
  const leader = lab.chance.chance(0.5) ? await lab.leader() : null;
  return leader !== null && nodes.includes(leader) ? leader : lab.chance.pick(nodes);
}

interface Trouble {
  readonly what: string;
  /** Whether the node has met it. */
  met(): boolean;
  mend(): void;
}

function poisoning(lab: Lab, node: LabNode, trouble: Trouble): Fault {
  outOf(lab).add(node);
  expectEnds(node, [POISONED]);
  return {
    what: `${node.name} ${trouble.what}`,
    heal: async () => {
      // Whoever writes nothing for so long never sees it.
      const ended = await endsByItself(node, STOP_TIMEOUT_MS);
      const wentOn = !ended && trouble.met();
      // Another fault may have killed it first.
      const code = ended && node.lastExit?.signal === null ? lastErrorCode(node) : null;
      trouble.mend();
      expectEnds(node, []);
      outOf(lab).delete(node);
      await startAgain(node);
      if (wentOn) throw new WrongUnderFault(`${node.name} went on after a failed write: ${trouble.what}`);
      if (code !== null && code !== POISONED) {
        throw new WrongUnderFault(`${node.name} ended with ${code} where ${POISONED} is due`);
      }
    },
  };
}

export const ioError: Nemesis = {
  name: 'io-error',
  about: 'syncs or writes of one node fail with EIO; it must stop by itself',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async inject(lab) {
    const node = await victimOf(lab);
    if (node === null) return null;
    const shim = await requireShim(lab, node);
    const before = shim.counts;
    const syncs = lab.chance.chance(0.7);
    // Once is enough, and harder: what fails once and then works looks well.
    const count = lab.chance.chance(0.5) ? 1 : -1;
    if (syncs) shim.failSyncs(count, 'EIO');
    else shim.failWrites(count, 'EIO');
    return poisoning(lab, node, {
      what: `${count === 1 ? 'EIO once' : 'EIO'} on ${syncs ? 'sync' : 'write'}`,
      met: () => shim.counts.syncsFailed > before.syncsFailed || shim.counts.writesFailed > before.writesFailed,
      mend: () => {
        shim.failSyncs(0);
        shim.failWrites(0);
      },
    });
  },
};

async function hasDisk(): Promise<boolean> {
  return (await probeLoopDisk()) === null;
}

export const diskFull: Nemesis = {
  name: 'disk-full',
  about: 'no space left for one node (a full ext4 of its own; without root ENOSPC on write); it must stop by itself',
  probe: async () => ((await hasDisk()) ? null : probeShim()),
  prepare: async (lab) => await ((await hasDisk()) ? acquireDisks(lab) : acquireShims(lab)),
  dispose: async (lab) => await ((await hasDisk()) ? releaseDisks(lab) : releaseShims(lab)),
  async inject(lab) {
    const node = await victimOf(lab);
    if (node === null) return null;
    if (await hasDisk()) {
      const disk = await requireDisk(lab, node);
      await disk.fill();
      return poisoning(lab, node, { what: 'disk full', met: () => false, mend: () => disk.drain() });
    }
    const shim = await requireShim(lab, node);
    const before = shim.counts.writesFailed;
    shim.failWrites(-1, 'ENOSPC');
    return poisoning(lab, node, {
      what: 'ENOSPC on write',
      met: () => shim.counts.writesFailed > before,
      mend: () => shim.failWrites(0),
    });
  },
};
