/** A cut that comes and goes. */
import type { Fault, Lab, Nemesis } from '../types.ts';
import { between, cut, leaderOrAny, names, others, shuffled } from './cut.ts';
import { Repeated } from './repeated.ts';

export const flapping: Nemesis = {
  name: 'flapping',
  about: 'links that fail and come back several times a second up to every two seconds',
  probe: async () => await Promise.resolve(null),
  inject: async (lab) => {
    const leader = await leaderOrAny(lab);
    const left = lab.chance.chance(0.5) ? [leader] : shuffled(lab.chance, lab.nodes).slice(0, lab.nodes.length >> 1);
    const right = others(lab, ...left);
    const periodMs = lab.chance.between(150, 2000);
    let open: Fault | null = null;
    const flap = new Repeated(periodMs, async () => {
      if (open === null) open = await cutBetween(lab, left, right);
      else {
        await open.heal();
        open = null;
      }
    });
    return {
      what: `${names(left)} ⌇ ${names(right)} every ${periodMs} ms`,
      heal: async () => {
        await flap.stop();
        await open?.heal();
      },
    };
  },
};

async function cutBetween(lab: Lab, left: Lab['nodes'], right: Lab['nodes']): Promise<Fault> {
  return await cut(lab, between(left, right), '');
}
