import type { ByteKey, KeyMeta } from './types.ts';

/**
 * One write of one key, without its value: a node in the chain of the key's versions, newest first. There is one for every key,
 * so each field costs eight bytes a key.
 */
export class KeyVersion implements KeyMeta {
  /** Shared by all versions of the key. */
  key: ByteKey;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly subOperation: number;
  /** 0: a tombstone, the key was deleted here. */
  readonly version: number;
  readonly size: number;
  lease: string | null;
  /** The version that this one superseded, while it is kept. */
  older: KeyVersion | null;

  constructor(
    key: ByteKey,
    createRevision: number,
    modRevision: number,
    subOperation: number,
    version: number,
    size: number,
    lease: string | null,
    older: KeyVersion | null,
  ) {
    this.key = key;
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.subOperation = subOperation;
    this.version = version;
    this.size = size;
    this.lease = lease;
    this.older = older;
  }
}

/** The version of a chain that a read at `revision` sees; null when the key was not there, or deleted, then. */
export function versionAt(latest: KeyVersion, revision: number): KeyVersion | null {
  let version: KeyVersion | null = latest;
  while (version !== null && version.modRevision > revision) version = version.older;
  return version === null || version.version === 0 ? null : version;
}
