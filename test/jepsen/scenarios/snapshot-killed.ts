import { setTimeout as delay } from 'node:timers/promises';

import { callNode } from '../http-client.ts';
import type { RealNode } from '../lab-node.ts';
import type { Entry } from '../kv-client.ts';
import type { LabNode } from '../types.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const KEYS = 1500;
const VALUE_BYTES = 8 * 1024;
const WIDTH = 16;
const KILLS = 6;
const LIST_PAGE = 500;
const READ_DEADLINE_MS = 5000;

/** Keys and values, by what the node shows in between. What else a snapshot brings is asked for in `exactly-once`. */
export const snapshotKilled: Scenario = {
  number: 10,
  name: 'snapshot-killed',
  about:
    'a follower that is far behind is killed while a snapshot comes in, again and again: it never shows a mixed state',
  args: ['--log-keep-bytes', String(256 * 1024)],
  probe: everywhere,
  async run(stage) {
    const { chance } = stage;
    const leader = await stage.leader();
    await fill(stage, leader, 0);
    const away = chance.pick(stage.followers(leader));
    const had = (await stage.metric(away, 'kvorum_raft_last_index')) ?? 0;
    await away.kill('SIGKILL');
    stage.startLoad({ rate: 60 });
    await fill(stage, leader, 1);
    await stage.until(async () => {
      const first = await stage.metric(leader, 'kvorum_raft_first_index');
      return first !== null && first > had + 1;
    }, 'the log that the follower needs is compacted');
    stage.say(`${away.name} was away for ${2 * KEYS} writes, and the log that it needs is gone`);

    let during = 0;
    let seen = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      away.start();
      const receiving = async (): Promise<boolean> => await isReceiving(stage, leader, away, had);
      const begun = await stage.comes(receiving, 20_000);
      await delay(chance.between(0, 250));
      const unfinished = await receiving();
      if (begun && unfinished) during++;
      if (await consistent(stage, leader, away)) seen++;
      await away.kill('SIGKILL');
      stage.say(`kill ${kill}: ${unfinished ? 'in the middle of a snapshot' : 'at another moment'}`);
      // More to send the next time, and another snapshot than the one that was begun.
      await fill(stage, await stage.leader(), 1 + kill, Math.trunc(KEYS / 4));
    }
    stage.needs(during > 0, 'a follower was killed in the middle of a snapshot');
    away.start();
    await away.ready();
    stage.must(true, `${away.name} came back after ${during} of ${KILLS} kills in the middle of a snapshot`);
    stage.say(`${seen} times its state was compared with the leader's of the same revision`);
  },
};

async function fill(stage: Stage, node: RealNode, generation: number, keys = KEYS): Promise<void> {
  const numbers = Array.from({ length: keys }, (_, number) => number).values();
  const writer = async (): Promise<void> => {
    for (const number of numbers) {
      const value = `${generation}:${number}:${String(generation).repeat(VALUE_BYTES)}`;
      await stage.until(async () => {
        const path = `/v1/kv/state/${number}`;
        const answer = await callNode(node.url, { method: 'PUT', path, body: value, deadlineMs: READ_DEADLINE_MS });
        return answer.type === 'answer' && answer.status === 200;
      }, `writing state/${number}`);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, writer));
}

/** The leader sends a snapshot, and the follower has not got beyond what it had. */
async function isReceiving(stage: Stage, leader: LabNode, away: LabNode, had: number): Promise<boolean> {
  const [active, applied] = await Promise.all([
    stage.metric(leader, 'kvorum_snapshots_active'),
    stage.metric(away, 'kvorum_raft_applied_index'),
  ]);
  return active !== null && active > 0 && (applied ?? 0) <= had;
}

/** Compares all that the follower shows with the leader at that revision. False when there was nothing to compare. */
async function consistent(stage: Stage, leader: LabNode, away: LabNode): Promise<boolean> {
  const mine = await listed(away, null);
  if (mine === null) return false;
  const theirs = await listed(leader, mine.revision);
  // Compacted on the leader: then it cannot be asked any more.
  if (theirs === null) return false;
  const different = [...new Set([...mine.entries.keys(), ...theirs.entries.keys()])].filter((key) => {
    const [a, b] = [mine.entries.get(key), theirs.entries.get(key)];
    return a?.revision !== b?.revision || a?.value !== b?.value;
  });
  const [first = ''] = different;
  stage.must(
    different.length === 0,
    `what ${away.name} shows is the state of revision ${mine.revision}${first === '' ? '' : `; ${first} is not`}`,
  );
  return true;
}

interface Page {
  readonly revision: number;
  readonly entries: readonly { readonly key: string; readonly value: string; readonly modRevision: number }[];
  readonly nextCursor: string | null;
}

async function listed(
  node: LabNode,
  revision: number | null,
): Promise<{ revision: number; entries: Map<string, Entry> } | null> {
  const entries = new Map<string, Entry>();
  let cursor: string | null = null;
  let of = revision;
  do {
    const query = new URLSearchParams({ prefix: 'state/', limit: String(LIST_PAGE), consistency: 'stale' });
    if (cursor !== null) query.set('cursor', cursor);
    else if (revision !== null) query.set('revision', String(revision));
    const answer = await callNode(node.url, {
      ...{ method: 'GET', path: `/v1/kv?${query.toString()}`, deadlineMs: READ_DEADLINE_MS },
    });
    if (answer.type !== 'answer' || answer.status !== 200) return null;
    const page = JSON.parse(answer.body.toString()) as Page;
    of ??= page.revision;
    for (const { key, value, modRevision } of page.entries) entries.set(key, { value, revision: modRevision });
    cursor = page.nextCursor;
  } while (cursor !== null);
  return { revision: of, entries };
}
