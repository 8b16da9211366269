/** Leadership that is handed over again and again, through the API; also while something else is wrong. */
import { callNode } from '../http-client.ts';
import type { Lab, Nemesis } from '../types.ts';
import { Repeated } from './repeated.ts';

const DEADLINE_MS = 3000;

export const transfer: Nemesis = {
  name: 'transfer',
  about: 'leadership handed over every second or more often, to a chosen node or to whom the leader picks',
  probe: async () => await Promise.resolve(null),
  inject: async (lab) => {
    const everyMs = lab.chance.between(100, 1000);
    const counts = { done: 0, refused: 0 };
    const repeated = new Repeated(everyMs, async () => {
      if (await handOver(lab)) counts.done++;
      else counts.refused++;
    });
    return {
      what: `leadership handed over every ${everyMs} ms`,
      heal: async () => {
        await repeated.stop();
        lab.log(`leadership was handed over ${counts.done} times, and ${counts.refused} times not`);
      },
    };
  },
};

async function handOver(lab: Lab): Promise<boolean> {
  const [asked, to] = [lab.chance.pick(lab.nodes), lab.chance.pick(lab.nodes)];
  const body = lab.chance.chance(0.3) ? '{}' : JSON.stringify({ to: to.name });
  const answer = await callNode(asked.url, {
    ...{ method: 'POST', path: '/v1/cluster/transfer-leadership?timeout=2s', body, deadlineMs: DEADLINE_MS },
    headers: { 'content-type': 'application/json' },
    signal: lab.signal,
  });
  return answer.type === 'answer' && answer.status === 200;
}
