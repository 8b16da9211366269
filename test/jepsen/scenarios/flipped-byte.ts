import { readFileSync } from 'node:fs';
import path from 'node:path';

import { expectEnds } from '../faults/equipment.ts';
import { flipBit, liveWriteAhead, positionMidLog } from '../faults/files.ts';
import { startAndSee } from '../faults/starting.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const FLIPS = 6;
const START_TIMEOUT_MS = 20_000;

export const flippedByte: Scenario = {
  number: 7,
  name: 'flipped-byte',
  about:
    'one bit is flipped in the middle of the log of a stopped node: it refuses to start, twice, and changes nothing',
  probe: everywhere,
  async run(stage) {
    const { chance } = stage;
    stage.startLoad();
    await stage.acknowledgedMore(200);
    const leader = await stage.leader();
    const node = chance.pick(stage.followers(leader));
    await node.kill('SIGKILL');
    const log = liveWriteAhead(node.dataDir);
    if (log === null) throw new Error(`${node.name} has no write-ahead file`);
    stage.say(`${node.name} is down; ${path.basename(log.file)} holds ${log.batches.length} batches`);
    for (let flip = 1; flip <= FLIPS; flip++) {
      const position = positionMidLog(log, chance);
      if (position === null) throw new Error('too few batches to have a middle');
      const bit = chance.between(0, 7);
      flipBit(log.file, position, bit);
      const before = readFileSync(log.file);
      expectEnds(node, ['ERR_CORRUPT']);
      const [first, second] = [await startAndSee(node, START_TIMEOUT_MS), await startAndSee(node, START_TIMEOUT_MS)];
      const refused = [first, second].every((start) => start.kind === 'ended' && start.code === 'ERR_CORRUPT');
      stage.must(
        refused,
        `bit ${bit} of byte ${position} flipped: ${node.name} refuses to start with ERR_CORRUPT, twice`,
      );
      const named = node.logs().includes(path.basename(log.file));
      stage.must(named && readFileSync(log.file).equals(before), 'it names the file, and has not touched it');
      if (!refused) return;
      flipBit(log.file, position, bit);
    }
    expectEnds(node, []);
    const start = await startAndSee(node, START_TIMEOUT_MS);
    stage.must(start.kind === 'ready', `with its bits right again ${node.name} serves`);
  },
};
