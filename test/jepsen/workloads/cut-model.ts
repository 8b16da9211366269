/**
 * Several keys that are read at once, checked by what the store says of its own order. A revision is the place of a write in
 * the order of all writes, and a list says of which revision it is; so no search is needed: a list has to show, of every
 * key, the last write up to its revision, and the order by revision has to agree with real time.
 *
 * Operations on a group of keys: `put` with input [member, value] and output its revision; `list` with output
 * `{ revision, entries: { member: [value, revision] } }`.
 */
import { type Finding, type Model, type Operation } from '../../../src/checker/index.ts';

export interface CutListing {
  readonly revision: number;
  readonly entries: Readonly<Record<string, readonly [value: string, revision: number]>>;
}

interface Write {
  readonly operation: Operation;
  readonly member: string;
  readonly value: string;
  /** null: nobody was told, and no list shows it. */
  revision: number | null;
}

export const cut: Model = {
  name: 'cut',
  byKey: true,
  refuse: ({ op }) => (op === 'put' || op === 'list' ? null : `the model has no operation ${op}`),
  check: (operations) => {
    const writes = new Map<string, Write>();
    for (const operation of operations) {
      if (operation.op !== 'put') continue;
      const [member, value] = operation.input as readonly [string, string];
      const revision = operation.return === null ? null : (operation.output as number);
      writes.set(value, { operation, member, value, revision });
    }
    const lists = operations.filter(({ op, return: returned }) => op === 'list' && returned !== null);
    return reveal(writes, lists) ?? compare([...writes.values()], lists) ?? inRealTime(writes, lists) ?? OK;
  },
};

const OK: Finding = { verdict: 'ok', reason: null, culprits: [], orders: [] };

function bad(reason: string, ...culprits: readonly Operation[]): Finding {
  return { verdict: 'bad', reason, culprits, orders: [] };
}

/** Lists tell the revisions of writes that were never answered. */
function reveal(writes: ReadonlyMap<string, Write>, lists: readonly Operation[]): Finding | null {
  for (const list of lists) {
    const { revision: of, entries } = list.output as CutListing;
    for (const [member, [value, revision]] of Object.entries(entries)) {
      const write = writes.get(value);
      if (write === undefined || write.member !== member) return bad(`nobody wrote ${value} to ${member}`, list);
      if (revision > of) return bad(`a list of revision ${of} shows a write of revision ${revision}`, list);
      write.revision ??= revision;
      if (write.revision !== revision) {
        return bad(`the write of ${value} is of revisions ${write.revision} and ${revision}`, write.operation, list);
      }
    }
  }
  return null;
}

function compare(writes: readonly Write[], lists: readonly Operation[]): Finding | null {
  const ordered = writes
    .filter((write): write is Write & { revision: number } => write.revision !== null)
    .sort((a, b) => a.revision - b.revision);
  for (const [at, write] of ordered.entries()) {
    const before = ordered[at - 1];
    if (before?.revision === write.revision) {
      return bad(`two writes are of revision ${write.revision}`, before.operation, write.operation);
    }
  }
  for (const list of lists) {
    const { revision, entries } = list.output as CutListing;
    const expected = new Map<string, Write>();
    for (const write of ordered) if (write.revision <= revision) expected.set(write.member, write);
    for (const [member, write] of expected) {
      if (entries[member]?.[0] !== write.value) {
        const shown = entries[member]?.[0] ?? 'nothing';
        const reason = `a list of revision ${revision} shows ${shown} for ${member}; revision ${write.revision} had written ${write.value}`;
        return bad(reason, write.operation, list);
      }
    }
    for (const member of Object.keys(entries)) {
      if (!expected.has(member)) return bad(`a list of revision ${revision} shows ${member} too early`, list);
    }
  }
  return null;
}

/** What returned before another was called is of no later revision, and a write is of a later one. */
function inRealTime(writes: ReadonlyMap<string, Write>, lists: readonly Operation[]): Finding | null {
  const places = [
    ...[...writes.values()].map(({ operation, revision }) => ({ operation, revision, isWrite: true })),
    ...lists.map((operation) => ({ operation, revision: (operation.output as CutListing).revision, isWrite: false })),
  ].filter((place): place is typeof place & { revision: number } => place.revision !== null);
  const byCall = places.toSorted((a, b) => a.operation.call - b.operation.call);
  const byReturn = places
    .filter(({ operation }) => operation.return !== null)
    .sort((a, b) => (a.operation.return ?? 0) - (b.operation.return ?? 0));
  let [ended, latest]: [number, (typeof places)[number] | null] = [0, null];
  for (const place of byCall) {
    for (let next = byReturn[ended]; next !== undefined; next = byReturn[ended]) {
      if ((next.operation.return ?? Infinity) >= place.operation.call) break;
      if (latest === null || next.revision > latest.revision) latest = next;
      ended++;
    }
    if (latest === null) continue;
    if (place.revision < latest.revision || (place.isWrite && place.revision === latest.revision)) {
      const reason = `revision ${place.revision} was called after revision ${latest.revision} had been answered`;
      return bad(reason, latest.operation, place.operation);
    }
  }
  return null;
}
