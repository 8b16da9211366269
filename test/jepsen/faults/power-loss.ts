/** Some nodes, or all at once, lose power: what was not synced is gone, or half there. */
import type { Lab, LabNode, Nemesis } from '../types.ts';
import {
  acquireDisks,
  acquireShims,
  outOf,
  releaseDisks,
  releaseShims,
  requireDisk,
  requireShim,
  shimOf,
  wellNodes,
} from './equipment.ts';
import { probeLoopDisk } from './loop-disk.ts';
import { probeShim, type PowerLossOptions } from './shim.ts';
import { startAgain } from './starting.ts';

/** With the disk of each node cut off below its file system. Needs `acquireDisks`. */
export async function cutDisks(lab: Lab, nodes: readonly LabNode[]): Promise<void> {
  const disks = await Promise.all(nodes.map(async (node) => await requireDisk(lab, node)));
  // The processes first: a sync that is under way during the ioctl now and then says that all is well (2 of 100 times, Linux
  // 6.18), although its data is lost. Nothing is written back in the moment between.
  await Promise.all(nodes.map(async (node) => await node.kill('SIGKILL')));
  await Promise.all(disks.map(async (disk) => await disk.cut()));
  await Promise.all(disks.map(async (disk) => await disk.mountAgain()));
  // The shim's own account speaks of files that are others now.
  for (const node of nodes) (await shimOf(lab, node))?.forget();
}

/** With files cut to what the shim saw synced. Needs `acquireShims`. What was lost, a line a node. */
export async function cutFiles(
  lab: Lab,
  nodes: readonly LabNode[],
  options: PowerLossOptions = {},
): Promise<readonly { readonly node: LabNode; readonly lostBytes: number; readonly torn: readonly string[] }[]> {
  await Promise.all(nodes.map(async (node) => await node.kill('SIGKILL')));
  const losses: { node: LabNode; lostBytes: number; torn: readonly string[] }[] = [];
  for (const node of nodes) {
    const { lostBytes, torn, undone } = (await requireShim(lab, node)).cutPower(lab.chance, options);
    losses.push({ node, lostBytes, torn });
    lab.log(`${node.name} lost power: ${lostBytes} bytes gone, ${undone} names taken back, torn: ${torn.join(' ')}`);
  }
  return losses;
}

async function hasDisk(): Promise<boolean> {
  return (await probeLoopDisk()) === null;
}

export const powerLoss: Nemesis = {
  name: 'power-loss',
  about: 'some nodes or all at once lose power, and with it what they had not synced',
  probe: async () => ((await hasDisk()) ? null : probeShim()),
  prepare: async (lab) => await ((await hasDisk()) ? acquireDisks(lab) : acquireShims(lab)),
  dispose: async (lab) => await ((await hasDisk()) ? releaseDisks(lab) : releaseShims(lab)),
  async inject(lab) {
    const { chance } = lab;
    const nodes = wellNodes(lab);
    const victims = chance.chance(0.4) ? nodes : nodes.filter(() => chance.chance(0.4));
    if (victims.length === 0) return null;
    if (await hasDisk()) await cutDisks(lab, victims);
    else await cutFiles(lab, victims);
    for (const node of victims) outOf(lab).add(node);
    return {
      what: `${victims.map(({ name }) => name).join(' ')} without power`,
      heal: async () => {
        for (const node of victims) outOf(lab).delete(node);
        await Promise.all(victims.map(async (node) => await startAgain(node)));
      },
    };
  },
};
