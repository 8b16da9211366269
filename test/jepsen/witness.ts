/**
 * Remembers what the nodes said of revisions, and holds every answer against it. A revision is one write for ever: the same
 * key with the same value, whoever asks and whenever; only a transaction may be of several keys. And what was acknowledged
 * has to be there in the end.
 */

/** A node answered what no node may answer. The run has failed. */
export class ContractError extends Error {
  override readonly name = 'ContractError';
}

interface Fact {
  readonly key: string;
  /** null: deleted. */
  readonly value: string | null;
}

export interface StoredEntry {
  readonly value: string;
  readonly revision: number;
}

const MAX_SHOWN = 60;
/** Keys that are written by transactions, several at one revision. */
const TOGETHER = ['txn/', 'watch/'];

export class Witness {
  /** By revision; of keys that share one, by both. */
  readonly #facts = new Map<number | string, Fact>();
  /** Of every key the acknowledged write with the highest revision. */
  readonly #acknowledged = new Map<string, number>();
  #acknowledgedCount = 0;

  /** Writes that were answered with a revision. */
  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  /** A write was acknowledged. Throws ContractError. */
  wrote(key: string, revision: number, value: string | null): void {
    this.saw(key, revision, value);
    this.#acknowledgedCount++;
    if (revision > (this.#acknowledged.get(key) ?? 0)) this.#acknowledged.set(key, revision);
  }

  /** A read showed that the write of `revision` was this one. Throws ContractError. */
  saw(key: string, revision: number, value: string | null): void {
    if (!Number.isSafeInteger(revision) || revision < 1) throw new ContractError(`${revision} is no revision (${key})`);
    const place = placeOf(key, revision);
    const known = this.#facts.get(place);
    if (known === undefined) {
      this.#facts.set(place, { key, value });
      return;
    }
    if (known.key === key && known.value === value) return;
    throw new ContractError(`revision ${revision} was ${show(known)} and now is ${show({ key, value })}`);
  }

  /** What is missing in a node's store, in words; `mayBeDeleted` says of a key that somebody deletes it. */
  missing(stored: ReadonlyMap<string, StoredEntry>, mayBeDeleted: (key: string) => boolean): string[] {
    const problems: string[] = [];
    for (const [key, revision] of this.#acknowledged) {
      const fact = this.#facts.get(placeOf(key, revision));
      const entry = stored.get(key);
      if (entry === undefined) {
        if (fact?.value !== null && !mayBeDeleted(key)) problems.push(`${key} of revision ${revision} is gone`);
      } else if (entry.revision < revision) {
        problems.push(`${key} is of revision ${entry.revision}, though ${revision} was acknowledged`);
      }
    }
    for (const [key, { value, revision }] of stored) {
      const fact = this.#facts.get(placeOf(key, revision));
      if (fact !== undefined && (fact.key !== key || fact.value !== value)) {
        problems.push(`revision ${revision} was ${show(fact)} and is stored as ${show({ key, value })}`);
      }
    }
    return problems;
  }
}

function placeOf(key: string, revision: number): number | string {
  return TOGETHER.some((prefix) => key.startsWith(prefix)) ? `${revision} ${key}` : revision;
}

function show({ key, value }: Fact): string {
  if (value === null) return `delete ${key}`;
  return `${key} = ${value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}… (${value.length} characters)` : value}`;
}
