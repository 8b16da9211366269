/**
 * Looks through LevelDB's write-ahead files before LevelDB opens them, because LevelDB skips what is damaged there in silence, drops
 * the rest of the block with it, and deletes the evidence. Only reads.
 *
 * Every batch is synced before the next one begins (level-engine.ts), so after a crash or power loss only the last one can
 * be incomplete: a torn tail, never acknowledged, which LevelDB drops rightly. Anything invalid that a valid batch follows was whole
 * once: damage, and the node must not start as if nothing had been there.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { follows, decodeLink } from './chain.ts';
import type { ChainLink } from './chain.ts';
import { KIND } from './keys.ts';
import { readLogFile } from './leveldb-log.ts';
import type { LogFileEnd } from './leveldb-log.ts';
import { readLiveLogs } from './leveldb-manifest.ts';
import { corrupt } from './record.ts';

/** Sequence number u64 and count u32 stand before the operations of a batch. */
const BATCH_HEADER = 12;
const PUT = 1;

export interface ScanResult {
  /** The last batch in the files, null when there is none. */
  readonly last: ChainLink | null;
  /** What was found torn and will be dropped, in words. */
  readonly torn: string | null;
  readonly files: number;
  readonly bytes: number;
}

/**
 * @param directory LevelDB's own. A missing or empty one is fine: nothing to scan.
 * @throws KvorumError ERR_CORRUPT
 */
export async function scanWriteAheadFiles(directory: string): Promise<ScanResult> {
  const names = new Set(await readdir(directory));
  const live = names.has('CURRENT') ? await readLiveLogs(directory) : { logNumber: 0, previousLogNumber: 0 };
  const files = [...names]
    .map((name) => ({ name, number: logFileNumber(name) }))
    .filter(({ number }) => number >= live.logNumber || (number > 0 && number === live.previousLogNumber))
    .sort((a, b) => a.number - b.number);
  if (live.logNumber > 0 && !files.some(({ number }) => number === live.logNumber)) {
    throw corrupt(
      `the write-ahead file ${join(directory, `${String(live.logNumber).padStart(6, '0')}.log`)} is missing; ` +
        `what was written last is lost`,
    );
  }

  let last: ChainLink | null = null;
  let torn: { path: string; end: LogFileEnd } | null = null;
  let bytes = 0;
  for (const { name } of files) {
    const path = join(directory, name);
    const file = await readFile(path);
    bytes += file.length;
    const end = readLogFile(file, (record, offset) => {
      const link = linkOf(record, path, offset);
      if (torn !== null) throw damaged(torn.path, torn.end, last, `batch ${link.number} follows in ${path}`);
      if (last !== null && !follows(link, last)) {
        throw corrupt(
          `${path} at offset ${offset} holds batch ${link.number} where the one after ${last.number} belongs: ` +
            `what was written in between is lost`,
        );
      }
      last = link;
    });
    if (end.clean) continue;
    if (end.validAfter !== null) throw damaged(path, end, last, `a valid batch follows at offset ${end.validAfter}`);
    torn ??= { path, end };
  }
  return {
    last,
    torn:
      torn === null
        ? null
        : `${torn.path}: the last write was torn at offset ${torn.end.offset} (${torn.end.reason}) and is dropped; it ` +
          `was never acknowledged`,
    files: files.length,
    bytes,
  };
}

function damaged(path: string, end: LogFileEnd, last: ChainLink | null, proof: string): Error {
  const lost = last === null ? 'batches at the beginning of the file' : `batches from ${last.number + 1} on`;
  return corrupt(`${path} is damaged at offset ${end.offset} (${end.reason}): ${lost} are lost, though ${proof}`);
}

/** Number in the name of a write-ahead file; -1 for other files. */
function logFileNumber(name: string): number {
  const match = /^(\d+)\.log$/.exec(name);
  return match === null ? -1 : Number(match[1]);
}

/** The chain record that every batch of ours begins with. */
function linkOf(record: Uint8Array, path: string, offset: number): ChainLink {
  // put, key length 1, the key, value length (one byte: the record is short)
  const at = BATCH_HEADER;
  const length = record[at + 3] as number;
  if (record[at] !== PUT || record[at + 1] !== 1 || record[at + 2] !== KIND.chain || length >= 0x80) {
    throw corrupt(`${path} at offset ${offset} holds a batch that Kvorum did not write`);
  }
  return decodeLink(record.subarray(at + 4, at + 4 + length));
}
