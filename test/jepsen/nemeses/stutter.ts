/** Leaders that lose their place in their sleep, and wake up believing that they lead. */
import { setTimeout as delay } from 'node:timers/promises';

import type { Nemesis } from '../types.ts';
import { leaderOrAny } from './cut.ts';
import { Repeated } from './repeated.ts';

export const stutter: Nemesis = {
  name: 'stutter',
  about: 'whoever leads is paused for about an election time-out, again and again',
  probe: async () => await Promise.resolve(null),
  inject: async (lab) => {
    const betweenMs = lab.chance.between(200, 1000);
    const shortestMs = lab.chance.pick([50, 500, 1200]);
    let pauses = 0;
    const repeated = new Repeated(betweenMs, async () => {
      const leader = await leaderOrAny(lab);
      if (!leader.alive || leader.paused) return;
      leader.pause();
      pauses++;
      try {
        await delay(lab.chance.between(shortestMs, 2 * shortestMs));
      } finally {
        leader.resume();
      }
    });
    return {
      what: `the leader paused for ${shortestMs} to ${2 * shortestMs} ms, ${betweenMs} ms between`,
      heal: async () => {
        await repeated.stop();
        lab.log(`leaders were paused ${pauses} times`);
      },
    };
  },
};
