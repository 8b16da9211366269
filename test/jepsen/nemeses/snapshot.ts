/**
 * A follower that is away until the log it needs is gone: it has to come back by snapshot, and half of the time it is killed
 * while that goes on.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { callNode } from '../http-client.ts';
import type { Fault, Lab, LabNode, Nemesis } from '../types.ts';
import { between, cut, others } from './cut.ts';
import { startAgain } from './processes.ts';

/** Keys of its own, few, so that the store stays small while the log grows. */
export const FILLER_PREFIX = 'filler/';
const FILLER_KEYS = 40;
const FILLER_BYTES = 16 * 1024;
/** Written to outlast the log that is kept (LOG_KEEP_BYTES), at most. */
const MAX_WRITES = 4000;
const WIDTH = 8;
const DEADLINE_MS = 3000;

/** `--log-keep-bytes` of the lab's nodes: small, so that being away for a while means a snapshot. */
export const LOG_KEEP_BYTES = 256 * 1024;

export const snapshot: Nemesis = {
  name: 'snapshot',
  about:
    'a follower is away until the log it needs is compacted; it comes back by snapshot, sometimes killed in the middle',
  probe: async () => await Promise.resolve(null),
  inject: async (lab) => {
    const leader = await lab.leader();
    const followers = others(lab, ...(leader === null ? [] : [leader])).filter((node) => node.alive && !node.paused);
    const [isKilled, killedAgain, killAfterMs] = [
      lab.chance.chance(0.5),
      lab.chance.chance(0.5),
      lab.chance.between(0, 800),
    ];
    if (leader === null || followers.length === 0) return null;
    const away = lab.chance.pick(followers);
    const lastIndex = await metric(away, 'kvorum_raft_last_index');
    if (lastIndex === null) return null;
    const link: Fault | null = isKilled ? null : await cut(lab, between([away], others(lab, away)), '');
    if (isKilled) await away.kill();
    const stop = new AbortController();
    const filling = fill(lab, away, lastIndex, AbortSignal.any([stop.signal, lab.signal]));
    return {
      what: `${away.name} ${isKilled ? 'killed' : 'cut off'} until its log is compacted`,
      heal: async () => {
        stop.abort();
        const compacted = await filling;
        lab.log(
          `${away.name} ${compacted ? 'needs a snapshot' : 'does not need a snapshot: compaction did not get there'}`,
        );
        await link?.heal();
        if (isKilled && !away.alive) away.start();
        if (!killedAgain) {
          await startAgain([away]);
          return;
        }
        await delay(killAfterMs);
        await away.kill();
        await startAgain([away]);
      },
    };
  },
};

/** Writes until every node that may send it the log has compacted beyond `lastIndex`; false when that did not come in time. */
async function fill(lab: Lab, away: LabNode, lastIndex: number, signal: AbortSignal): Promise<boolean> {
  const value = 'x'.repeat(FILLER_BYTES);
  let next = 0;
  let compacted = false;
  const writer = async (): Promise<void> => {
    while (next < MAX_WRITES && !signal.aborted && !compacted) {
      const number = next++;
      const target = lab.nodes[number % lab.nodes.length];
      if (target === undefined || target === away || !target.alive || target.paused) {
        await delay(5);
        continue;
      }
      const path = `/v1/kv/${FILLER_PREFIX}${number % FILLER_KEYS}?timeout=2s`;
      const answer = await callNode(target.url, { method: 'PUT', path, body: value, deadlineMs: DEADLINE_MS, signal });
      // A node that is down refuses at once.
      if (answer.type !== 'answer' || answer.status !== 200) await delay(50);
      if (number % 64 === 63) compacted = await allBeyond(lab, away, lastIndex);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, writer));
  return compacted;
}

async function allBeyond(lab: Lab, away: LabNode, lastIndex: number): Promise<boolean> {
  const rest = others(lab, away).filter((node) => node.alive && !node.paused);
  const firsts = await Promise.all(rest.map(async (node) => await metric(node, 'kvorum_raft_first_index')));
  return firsts.every((first) => first !== null && first > lastIndex + 1);
}

/** Of the node's only group; null when it does not answer. */
async function metric(node: LabNode, name: string): Promise<number | null> {
  const answer = await callNode(node.url, { method: 'GET', path: '/metrics', deadlineMs: DEADLINE_MS });
  if (answer.type !== 'answer' || answer.status !== 200) return null;
  const line = answer.body
    .toString()
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ') + 1));
}
