import type { Nemesis } from '../types.ts';
import { acquireShims, releaseShims, requireShim, wellNodes } from './equipment.ts';
import { probeShim } from './shim.ts';

/** Up to more than an election time-out of a second. */
const DELAYS_MS = [5, 20, 100, 400, 1500] as const;

export const slowDisk: Nemesis = {
  name: 'slow-disk',
  about: 'every sync of one or more nodes takes 5 ms to 3 s longer',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async inject(lab) {
    const { chance } = lab;
    const victims = wellNodes(lab).filter(() => chance.chance(0.4));
    if (victims.length === 0) return null;
    const delayMs = chance.pick(DELAYS_MS);
    const shims = await Promise.all(victims.map(async (node) => await requireShim(lab, node)));
    for (const shim of shims) shim.slowSyncs(delayMs, delayMs);
    return {
      what: `${victims.map(({ name }) => name).join(' ')} sync ${delayMs} to ${2 * delayMs} ms slower`,
      heal: async () => {
        for (const shim of shims) shim.slowSyncs(0);
        return await Promise.resolve();
      },
    };
  },
};
