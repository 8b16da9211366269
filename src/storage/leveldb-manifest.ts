/** Which of LevelDB's write-ahead files still matter: its MANIFEST says so in a series of version edits (db/version_edit.cc). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readLogFile } from './leveldb-log.ts';
import { corrupt } from './record.ts';

export interface LiveLogs {
  /** Files with this number or a higher one are live. 0: all. */
  readonly logNumber: number;
  /** This one too; 0: none (LevelDB no longer writes it). */
  readonly previousLogNumber: number;
}

const TAG = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

/** @throws KvorumError ERR_CORRUPT */
export async function readLiveLogs(directory: string): Promise<LiveLogs> {
  const current = (await readFile(join(directory, 'CURRENT'), 'utf8')).trimEnd();
  if (!/^MANIFEST-\d+$/.test(current)) throw corrupt(`${join(directory, 'CURRENT')} does not name a MANIFEST`);
  const path = join(directory, current);
  let logNumber = 0;
  let previousLogNumber = 0;
  const end = readLogFile(await readManifest(path), (record, offset) => {
    const edit = new EditReader(record, `${path} at offset ${offset}`);
    while (!edit.done) {
      const tag = edit.varint();
      switch (tag) {
        case TAG.logNumber:
          logNumber = edit.varint();
          break;
        case TAG.previousLogNumber:
          previousLogNumber = edit.varint();
          break;
        case TAG.nextFileNumber:
        case TAG.lastSequence:
          edit.varint();
          break;
        case TAG.comparator:
          edit.slice();
          break;
        case TAG.compactPointer:
          edit.varint();
          edit.slice();
          break;
        case TAG.deletedFile:
          edit.varint();
          edit.varint();
          break;
        case TAG.newFile:
          for (let i = 0; i < 3; i++) edit.varint();
          edit.slice();
          edit.slice();
          break;
        default:
          throw corrupt(`${path} at offset ${offset} has an unknown tag ${tag}`);
      }
    }
  });
  if (!end.clean && end.validAfter !== null)
    throw corrupt(`${path} is damaged at offset ${end.offset} (${end.reason})`);
  return { logNumber, previousLogNumber };
}

async function readManifest(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw corrupt(`${path} cannot be read`, error);
  }
}

class EditReader {
  readonly #bytes: Uint8Array;
  readonly #where: string;
  #at = 0;

  constructor(bytes: Uint8Array, where: string) {
    this.#bytes = bytes;
    this.#where = where;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw corrupt(`${this.#where} is cut short`);
  }

  slice(): void {
    const length = this.varint();
    this.#at += length;
    if (this.#at > this.#bytes.length) throw corrupt(`${this.#where} is cut short`);
  }
}
