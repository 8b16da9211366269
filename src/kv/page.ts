import type { KeyVersion } from './key-version.ts';
import type { RangeQuery } from './types.ts';

/** Collects the versions of one answer within its limits. */
export class Page {
  readonly versions: KeyVersion[] = [];
  more = false;
  readonly #limit: number;
  readonly #keysOnly: boolean;
  readonly #maxBytes: number;
  readonly #strict: boolean;
  #bytes = 0;

  constructor(query: RangeQuery) {
    this.#limit = query.limit;
    this.#keysOnly = query.keysOnly;
    this.#maxBytes = query.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#strict = query.strict ?? false;
  }

  /** False once the page is full: then this version is not on it. */
  take(version: KeyVersion): boolean {
    const bytes = this.#bytes + version.key.length + (this.#keysOnly ? 0 : version.size);
    const taken = this.versions.length;
    if (taken >= this.#limit || ((taken > 0 || this.#strict) && bytes > this.#maxBytes)) {
      this.more = true;
      return false;
    }
    this.#bytes = bytes;
    this.versions.push(version);
    return true;
  }
}
