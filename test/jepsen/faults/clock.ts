/** Wall time is stamped into entries; nothing that safety depends on reads it. Monotonic time is left alone. */
import type { Fault, Lab, Nemesis } from '../types.ts';
import { acquireShims, releaseShims, requireShim, wellNodes } from './equipment.ts';
import { probeShim, type Shim } from './shim.ts';

const HOUR_MS = 3_600_000;

async function onSome(lab: Lab, act: (shim: Shim) => string, undo: (shim: Shim) => void): Promise<Fault | null> {
  const victims = wellNodes(lab).filter(() => lab.chance.chance(0.5));
  if (victims.length === 0) return null;
  const done: string[] = [];
  const shims: Shim[] = [];
  for (const node of victims) {
    const shim = await requireShim(lab, node);
    shims.push(shim);
    done.push(`${node.name} ${act(shim)}`);
  }
  return {
    what: done.join(', '),
    heal: async () => {
      for (const shim of shims) undo(shim);
      return await Promise.resolve();
    },
  };
}

export const clockJump: Nemesis = {
  name: 'clock-jump',
  about: 'wall time of some nodes jumps by up to an hour, forth or back, and back again',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async inject(lab) {
    const { chance } = lab;
    return await onSome(
      lab,
      (shim) => {
        const size = chance.chance(0.5) ? HOUR_MS : chance.between(100, HOUR_MS);
        const offsetMs = chance.chance(0.5) ? size : -size;
        shim.moveClock(offsetMs);
        return `${offsetMs > 0 ? '+' : ''}${offsetMs / 1000} s`;
      },
      (shim) => shim.moveClock(0),
    );
  },
};

export const clockDrift: Nemesis = {
  name: 'clock-drift',
  about: 'wall time of some nodes runs at half to one and a half of its speed, and is put right at the end',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async inject(lab) {
    const { chance } = lab;
    return await onSome(
      lab,
      (shim) => {
        const perMille = chance.between(1, 500) * (chance.chance(0.5) ? 1 : -1);
        shim.driftClock(perMille);
        return `${perMille > 0 ? '+' : ''}${perMille} ‰`;
      },
      (shim) => shim.driftClock(0),
    );
  },
};
