/**
 * LevelDB's log file format (doc/log_format.md), read only; its write-ahead files and its MANIFEST are made of it. Blocks of 32 KiB hold
 * physical records:
 *
 *     crc32c u32 (masked, over type and data) · length u16 · type u8 · data
 *
 * A record is one FULL or a FIRST, any MIDDLEs and a LAST; it never begins in the last 6 bytes of a block, which are zero.
 */
import { crc32c, unmask } from './crc32c.ts';
import { readU32LE } from './bytes.ts';

const BLOCK = 32 * 1024;
const HEADER = 7;

const TYPE = { full: 1, first: 2, middle: 3, last: 4 } as const;

export interface LogFileEnd {
  /** Where the valid records end. */
  readonly offset: number;
  /** What stands there: nothing more (or only zeros), or something invalid. */
  readonly clean: boolean;
  /** Why it is invalid; empty when clean. */
  readonly reason: string;
  /** Offset of a record that is valid and begins behind the invalid place; null: all the rest is invalid, a torn tail. */
  readonly validAfter: number | null;
}

/** Calls `visit` with each record up to the first invalid place. */
export function readLogFile(file: Uint8Array, visit: (record: Uint8Array, offset: number) => void): LogFileEnd {
  let at = 0;
  let fragments: Uint8Array[] = [];
  let start = 0;
  for (;;) {
    const left = BLOCK - (at % BLOCK);
    if (left < HEADER) at += left;
    if (at >= file.length) break;
    const physical = physicalAt(file, at);
    if (typeof physical === 'string') {
      const end = fragments.length > 0 ? start : at;
      if (fragments.length === 0 && isZero(file, at)) return { offset: at, clean: true, reason: '', validAfter: null };
      return { offset: end, clean: false, reason: physical, validAfter: nextRecord(file, at + 1) };
    }
    const data = file.subarray(at + HEADER, at + HEADER + physical.length);
    const begins = physical.type === TYPE.full || physical.type === TYPE.first;
    if (begins !== (fragments.length === 0)) {
      const reason = begins ? 'a record without an end' : 'a record without a beginning';
      const validAfter = begins ? at : nextRecord(file, at + 1);
      return { offset: begins ? start : at, clean: false, reason, validAfter };
    }
    if (begins) start = at;
    if (physical.type === TYPE.full) {
      visit(data, at);
    } else {
      fragments.push(data);
      if (physical.type === TYPE.last) {
        visit(Buffer.concat(fragments), start);
        fragments = [];
      }
    }
    at += HEADER + physical.length;
  }
  if (fragments.length > 0)
    return { offset: start, clean: false, reason: 'the file ends within a record', validAfter: null };
  return { offset: Math.min(at, file.length), clean: true, reason: '', validAfter: null };
}

interface Physical {
  readonly type: number;
  readonly length: number;
}

/** The physical record at an offset, or why there is none. */
function physicalAt(file: Uint8Array, at: number): Physical | string {
  if (at + HEADER > file.length) return 'the file ends within a header';
  const length = (file[at + 4] as number) | ((file[at + 5] as number) << 8);
  const type = file[at + 6] as number;
  const end = at + HEADER + length;
  if (type < TYPE.full || type > TYPE.last) return `unknown type of record: ${type}`;
  if (end > (Math.floor(at / BLOCK) + 1) * BLOCK) return 'a record reaches beyond its block';
  if (end > file.length) return 'the file ends within a record';
  if (crc32c(file, at + 6, end) !== unmask(readU32LE(file, at))) return 'a checksum does not match';
  return { type, length };
}

function isZero(file: Uint8Array, from: number): boolean {
  for (let at = from; at < file.length; at++) if (file[at] !== 0) return false;
  return true;
}

/**
 * Offset of the next valid physical record that begins a record. Nothing after an invalid place can be trusted to say
 * where the next one begins, so every offset is tried; checksums are computed only where a header is plausible. Fragments that only
 * continue a record do not count: they belong to the record that is torn.
 */
function nextRecord(file: Uint8Array, from: number): number | null {
  for (let at = from; at + HEADER <= file.length; at++) {
    const type = file[at + 6];
    if (type !== TYPE.full && type !== TYPE.first) continue;
    // An empty FIRST is a block's last 7 bytes and nothing else.
    if (file[at + 4] === 0 && file[at + 5] === 0 && BLOCK - (at % BLOCK) !== HEADER) continue;
    if (BLOCK - (at % BLOCK) < HEADER) continue;
    if (typeof physicalAt(file, at) !== 'string') return at;
  }
  return null;
}
