/**
 * Damage to the data of a stopped node. It must refuse to start, with a code that says why, or be refused by its peers;
 * whatever it had is then put back. At most a minority is out at a time.
 */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { until } from '../../integration/until.ts';
import type { Chance, Fault, Lab, LabNode, Nemesis } from '../types.ts';
import { expectEnds, mayLoseOne, outOf, shimOf, wellNodes } from './equipment.ts';
import { asidePath, copyDirectory, emptyDirectory, filesOf, flipBit, liveWriteAhead, positionMidLog } from './files.ts';
import { metricOf } from './metric.ts';
import { startAgain, startAndSee, WrongUnderFault } from './starting.ts';

const SPARE_TIMEOUT_MS = 3000;
const REFUSAL_TIMEOUT_MS = 10_000;
const CORRUPT = 'ERR_CORRUPT';
const REPLACED = 'ERR_MEMBER_REPLACED';

export interface Damage {
  /** What was done, for the report; null when there was nothing that it could be done to. */
  readonly what: string | null;
  /** With which codes the node may end. */
  readonly codes: readonly string[];
}

const NOTHING: Damage = { what: null, codes: [] };

/** Files that the lab has put there are whatever they are; the shim's account starts anew. */
async function account(lab: Lab, node: LabNode): Promise<void> {
  (await shimOf(lab, node))?.forget();
}

/**
 * Whether all the others have what the stopped node had, within a moment. Then nothing depends on its copy: while its peers
 * have not refused it yet, what it has forgotten can do no harm, whatever else goes wrong.
 */
async function isSpare(lab: Lab, node: LabNode): Promise<boolean> {
  const others = lab.nodes.filter((other) => other !== node);
  const ends = async (): Promise<(number | null)[]> =>
    await Promise.all(others.map(async (other) => await metricOf(other, 'kvorum_raft_last_index')));
  const end = Math.max(...(await ends()).map((last) => last ?? 0));
  try {
    await until(async () => (await ends()).every((last) => last !== null && last >= end), {
      ...{ timeoutMs: SPARE_TIMEOUT_MS, what: `the others have all that ${node.name} had` },
    });
    return true;
  } catch {
    return false;
  }
}

/**
 * Stops the node, keeps its data aside, damages it, starts it, and waits until it is refused. A node that serves all the
 * same is killed at once, and `heal` rejects.
 */
export async function damaged(lab: Lab, node: LabNode, damage: (node: LabNode) => Damage): Promise<Fault | null> {
  outOf(lab).add(node);
  await node.kill('SIGKILL');
  const aside = asidePath(node.dataDir, 'undamaged');
  copyDirectory(node.dataDir, aside);
  const { what, codes } = (await isSpare(lab, node)) ? damage(node) : NOTHING;
  await account(lab, node);
  if (what === null) {
    rmSync(aside, { recursive: true });
    outOf(lab).delete(node);
    await startAgain(node);
    return null;
  }
  expectEnds(node, codes);
  const start = await startAndSee(node, REFUSAL_TIMEOUT_MS);
  if (start.kind === 'ready') await node.kill('SIGKILL');
  lab.log(`${node.name}, ${what}: ${start.kind === 'ended' ? start.code : start.kind}`);
  return {
    what: `${node.name} ${what}`,
    heal: async () => {
      await node.kill('SIGKILL');
      copyDirectory(aside, node.dataDir);
      rmSync(aside, { recursive: true });
      await account(lab, node);
      expectEnds(node, []);
      outOf(lab).delete(node);
      await startAgain(node);
      if (start.kind === 'ready') throw new WrongUnderFault(`${node.name} served again, ${what}`);
      if (start.kind === 'ended' && !codes.includes(start.code)) {
        throw new WrongUnderFault(`${node.name}, ${what}, ended with ${start.code} where ${codes.join(' or ')} is due`);
      }
    },
  };
}

/** Not the leader: what the leader itself has on its disk is remembered by nobody else. */
async function followerOf(lab: Lab, preferred?: ReadonlySet<LabNode>): Promise<LabNode | null> {
  if (!mayLoseOne(lab)) return null;
  const leader = await lab.leader();
  if (leader === null) return null;
  const followers = wellNodes(lab).filter((node) => node !== leader);
  const best = followers.filter((node) => preferred?.has(node) === true);
  if (followers.length === 0) return null;
  return lab.chance.pick(best.length > 0 ? best : followers);
}

export function flipByteMidLog(chance: Chance): (node: LabNode) => Damage {
  return ({ dataDir }) => {
    const log = liveWriteAhead(dataDir);
    const position = log === null ? null : positionMidLog(log, chance);
    if (log === null || position === null) return NOTHING;
    flipBit(log.file, position, chance.between(0, 7));
    return { what: `with a flipped bit at ${position} of ${path.basename(log.file)}`, codes: [CORRUPT] };
  };
}

export function truncatedFile(chance: Chance): (node: LabNode) => Damage {
  return ({ dataDir }) => {
    const log = liveWriteAhead(dataDir);
    const kinds = ['manifest', 'current', ...(log !== null && log.batches.length >= 40 ? ['log', 'log'] : [])] as const;
    switch (chance.pick(kinds)) {
      case 'manifest': {
        const [file = ''] = filesOf(dataDir, /^MANIFEST-/);
        truncateSync(file, chance.between(0, 20));
        return { what: `with a truncated ${path.basename(file)}`, codes: [CORRUPT] };
      }
      case 'current':
        writeFileSync(path.join(dataDir, 'db/CURRENT'), '');
        return { what: 'with an empty CURRENT', codes: [CORRUPT] };
      default: {
        // It looks like a torn tail: only its peers know how far it had come.
        const { file = '', batches = [] } = log ?? {};
        const at = batches[chance.between(1, Math.trunc(batches.length / 2))] ?? 0;
        truncateSync(file, at);
        return { what: `with ${path.basename(file)} cut to ${at} bytes`, codes: [CORRUPT, REPLACED] };
      }
    }
  };
}

export function wiped(node: LabNode): Damage {
  emptyDirectory(node.dataDir);
  return { what: 'wiped', codes: [REPLACED] };
}

const always = async (): Promise<null> => await Promise.resolve(null);

export const corruptByte: Nemesis = {
  name: 'corrupt-byte',
  about: 'a bit is flipped in the middle of the write-ahead file of a stopped node; it must refuse to start',
  probe: always,
  async inject(lab) {
    const node = await followerOf(lab);
    return node === null ? null : await damaged(lab, node, flipByteMidLog(lab.chance));
  },
};

export const truncated: Nemesis = {
  name: 'truncated-file',
  about:
    'the manifest, CURRENT or half of the write-ahead file of a stopped node is cut off; it or its peers must refuse',
  probe: always,
  async inject(lab) {
    const node = await followerOf(lab);
    return node === null ? null : await damaged(lab, node, truncatedFile(lab.chance));
  },
};

export const wipe: Nemesis = {
  name: 'wipe',
  about: 'the data directory of a node is emptied and it is started under its old name; its peers must refuse it',
  probe: always,
  async inject(lab) {
    const node = await followerOf(lab);
    return node === null ? null : await damaged(lab, node, wiped);
  },
};

const copies = new WeakMap<Lab, Set<LabNode>>();

/** The first time it only copies the data of a stopped node; later it puts the copy in the place of what the node has then. */
export const oldCopy: Nemesis = {
  name: 'old-copy',
  about: "an earlier copy of its data is put in the place of a node's data; its peers must refuse it",
  probe: always,
  async inject(lab) {
    let copied = copies.get(lab);
    if (copied === undefined) copies.set(lab, (copied = new Set()));
    const node = await followerOf(lab, copied);
    if (node === null) return null;
    const copy = asidePath(node.dataDir, 'earlier');
    if (!copied.has(node)) {
      // Twice started since, it has another boot epoch than any start from the copy can have.
      await node.kill('SIGKILL');
      copyDirectory(node.dataDir, copy);
      await startAgain(node);
      await node.kill('SIGKILL');
      await startAgain(node);
      copied.add(node);
      return { what: `${node.name} is copied`, heal: async () => await Promise.resolve() };
    }
    return await damaged(lab, node, () => {
      copied.delete(node);
      copyDirectory(copy, node.dataDir);
      rmSync(copy, { recursive: true });
      return { what: 'with an old copy of its data', codes: [REPLACED] };
    });
  },
};
