/** A start: what the records of a state say, until there is an index of them. */
import { KvorumError } from '../errors.ts';
import { KeyVersion } from './key-version.ts';
import { RecordReader, historyKeyRevision, historyKeySubOperation } from './record.ts';
import type { SettingsRecord } from './settings.ts';
import { sortByKey } from './sort.ts';
import type { KvState } from './types.ts';

export class Restoration {
  /** In order of (modRevision, subOperation). */
  readonly versions: KeyVersion[] = [];
  settings: SettingsRecord | null = null;
  readonly #reader = new RecordReader();

  /** Takes one history record; they come in key order. Keeps nothing of the record's memory. */
  add(key: Uint8Array, record: Uint8Array): void {
    const revision = historyKeyRevision(key);
    const subOperation = historyKeySubOperation(key);
    const reader = this.#reader;
    reader.read(revision, subOperation, record);
    const version = new KeyVersion(
      reader.key,
      reader.createRevision,
      revision,
      subOperation,
      reader.version,
      reader.size,
      reader.lease,
      null,
    );
    reader.release();
    this.versions.push(version);
  }

  /** Throws ERR_CORRUPT when the records and `state` do not belong together. */
  check({ revision, compactedRevision }: KvState): void {
    const last = this.versions.at(-1);
    if (last !== undefined && last.modRevision > revision) {
      throw new KvorumError(
        'ERR_CORRUPT',
        `There is a history record of revision ${last.modRevision}, but the last revision applied is ${revision}`,
      );
    }
    const floor = this.settings?.floor ?? 0;
    if (floor > compactedRevision) {
      throw new KvorumError(
        'ERR_CORRUPT',
        `Revision ${floor} was compacted, but ${compactedRevision} could be read as of the last entry applied`,
      );
    }
  }

  /** Links each version to the one before it; gives back the newest of each key, in key order. */
  link(): KeyVersion[] {
    // Newest last among equal keys: the last one of a key stays.
    const newest = sortByKey(this.versions);
    let keys = 0;
    const leases = new Map<string, string>();
    for (const version of newest) {
      if (version.lease !== null) version.lease = shared(leases, version.lease);
      const before = keys === 0 ? undefined : newest[keys - 1];
      if (before !== undefined && before.key === version.key) {
        version.key = before.key;
        version.older = before;
        newest[keys - 1] = version;
      } else {
        newest[keys++] = version;
      }
    }
    newest.length = keys;
    return newest;
  }
}

/** The same string object for equal strings. */
function shared(strings: Map<string, string>, text: string): string {
  const known = strings.get(text);
  if (known !== undefined) return known;
  strings.set(text, text);
  return text;
}
