/** What this node publishes itself, and when it is due again: owners keep their records alive (§2.5), a third of the life before they expire. */
import { idText } from './id.ts';
import type { DhtId, RecordKind } from './types.ts';

export interface Publication {
  readonly kind: RecordKind;
  readonly key: DhtId;
  readonly value: Uint8Array;
  readonly seq: number;
  readonly ttlMs: number;
  dueMs: number;
}

export class Publications {
  readonly #limit: number;
  readonly #published = new Map<string, Publication>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#published.size;
  }

  get(kind: RecordKind, key: DhtId): Publication | undefined {
    return this.#published.get(nameOf(kind, key));
  }

  /** False: there are too many. */
  set(publication: Publication): boolean {
    const name = nameOf(publication.kind, publication.key);
    if (this.#published.size >= this.#limit && !this.#published.has(name)) return false;
    this.#published.set(name, publication);
    return true;
  }

  delete(kind: RecordKind, key: DhtId): boolean {
    return this.#published.delete(nameOf(kind, key));
  }

  due(nowMs: number): readonly Publication[] {
    const due: Publication[] = [];
    for (const publication of this.#published.values()) if (publication.dueMs <= nowMs) due.push(publication);
    return due;
  }
}

function nameOf(kind: RecordKind, key: DhtId): string {
  return `${kind} ${idText(key)}`;
}
