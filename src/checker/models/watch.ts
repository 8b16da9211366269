/**
 * Watch streams, held against the writes of the store: ordered, unique, atomic by revision, complete, resumable.
 *
 * `watch` is one connection of a watcher, from its call to its end (`return`; null: it was not closed in order, and what
 * it got up to then counts all the same, so give its output). `key` is the prefix that it watches; "" is everything.
 * - input {watcher, from, key?}: the name of the watcher, the same for all its connections; the first revision that it wants; and, with
 *   `key: true`, that `key` is a single key and not a prefix.
 * - output {batches, upTo?}: batches are [{revision, events: [{type: "put" or "delete", key, value}], at?}] as they
 *   arrived, one for each revision. `upTo` is the revision up to which the stream claims to be complete; default that of
 *   the last batch, or none. `at` is when the batch arrived, on the clock of the record.
 *
 * Writes: `put`, `delete`, `casRevision` as in the model `revisions`, and `batch`, several changes at one
 * revision: input [{op: "put" or "delete", key, value}], output the revision or {revision}. A key is given once in a batch.
 *
 * Nothing is searched: each rule looks at one stream, or at one stream and one write or other stream.
 */
import { canonicalText } from '../interner.ts';
import type { Operation } from '../history.ts';
import { bad, OK, type Finding, type Model } from '../model.ts';
import { operationText, valueText } from '../words.ts';
import { changesOf, isRevision, refuseRevisedWrite, revisedWrite, type Change } from '../written-revisions.ts';

export const watch: Model = { name: 'watch', byKey: false, refuse, check };

interface Batch {
  readonly revision: number;
  readonly events: readonly Change[];
  readonly at?: number;
}

interface Stream {
  readonly operation: Operation;
  readonly watcher: string;
  readonly from: number;
  readonly batches: readonly Batch[];
  /** Complete up to here; below `from` when nothing is claimed. */
  readonly upTo: number;
}

interface Known {
  readonly operation: Operation;
  readonly change: Change;
}

function refuse(operation: Operation): string | null {
  if (operation.op === 'get') return null;
  if (operation.op !== 'watch') return refuseRevisedWrite(operation);
  const { input, output, return: returned } = operation;
  if (
    typeof input !== 'object' ||
    input === null ||
    !('watcher' in input) ||
    !('from' in input) ||
    !isRevision(input.from)
  ) {
    return 'the input of watch is {watcher, from}';
  }
  if (returned === null && (output === null || output === undefined)) return null;
  if (typeof output !== 'object' || output === null || !('batches' in output) || !Array.isArray(output.batches)) {
    return 'the output of watch is {batches}';
  }
  if ('upTo' in output && !isRevision(output.upTo)) return 'upTo is a revision';
  return output.batches.every(isBatch) ? null : 'a batch is {revision, events: [{type, key, value}]}';
}

function isBatch(batch: unknown): boolean {
  if (typeof batch !== 'object' || batch === null || !('revision' in batch) || !('events' in batch)) return false;
  return isRevision(batch.revision) && Array.isArray(batch.events) && batch.events.every(isEvent);
}

function isEvent(event: unknown): boolean {
  if (typeof event !== 'object' || event === null || !('type' in event) || !('key' in event)) return false;
  return (event.type === 'put' || event.type === 'delete') && typeof event.key === 'string';
}

function streamOf(operation: Operation): Stream {
  const { watcher, from } = operation.input as { watcher: string | number; from: number };
  const output = (operation.output ?? { batches: [] }) as { batches: Batch[]; upTo?: number };
  const last = output.batches.reduce((revision, batch) => Math.max(revision, batch.revision), from - 1);
  return { operation, watcher: String(watcher), from, batches: output.batches, upTo: output.upTo ?? last };
}

function check(operations: readonly Operation[]): Finding {
  const streams = operations.filter(({ op }) => op === 'watch').map(streamOf);
  for (const stream of streams) {
    const wrong = wrongOrder(stream) ?? wrongScope(stream);
    if (wrong !== null) return wrong;
  }
  return wrongConnection(streams) ?? new WrittenEvents(operations).check(streams);
}

/** Ordered, unique, and a revision never in two pieces. */
function wrongOrder({ operation, from, batches, upTo }: Stream): Finding | null {
  let last = -1;
  for (const { revision, events } of batches) {
    const said = (words: string) => bad(`${streamText(operation)} ${words}`, [operation]);
    if (revision === last)
      return said(`got revision ${revision} in two pieces or twice: a revision arrives as a whole, once`);
    if (revision < last) return said(`got revision ${revision} after ${last}: out of order`);
    if (revision < from) return said(`got revision ${revision}, but was asked for ${from} and later ones`);
    if (revision > upTo) return said(`claims to be complete up to ${upTo}, but got revision ${revision}`);
    if (events.length === 0) return said(`got revision ${revision} without an event`);
    if (new Set(events.map(({ key }) => key)).size < events.length)
      return said(`got a key twice at revision ${revision}`);
    last = revision;
  }
  return null;
}

function wrongScope({ operation, batches }: Stream): Finding | null {
  for (const { revision, events } of batches) {
    const foreign = events.find(({ key }) => !isWatched(operation, key));
    if (foreign === undefined) continue;
    const reason = `${streamText(operation)} got ${valueText(foreign.key)} at revision ${revision}, which it does not watch`;
    return bad(reason, [operation]);
  }
  return null;
}

function isWatched({ key: prefix, input }: Operation, key: string): boolean {
  const isSingle = (input as { key?: unknown }).key === true;
  return isSingle ? key === prefix : key.startsWith(prefix);
}

/** Resumed without a gap and without repeating: a connection begins right after what the last one got, or was complete to. */
function wrongConnection(streams: readonly Stream[]): Finding | null {
  const lastOf = new Map<string, Stream>();
  for (const stream of streams.toSorted((a, b) => a.operation.call - b.operation.call)) {
    const name = `${stream.watcher} ${stream.operation.key}`;
    const before = lastOf.get(name);
    lastOf.set(name, stream);
    if (before === undefined) continue;
    const got = Math.max(before.from - 1, before.batches.at(-1)?.revision ?? -1);
    const said = (words: string) =>
      bad(`${streamText(stream.operation)} ${words}`, [before.operation, stream.operation]);
    if (stream.from > Math.max(got, before.upTo) + 1) {
      return said(`resumed at ${stream.from}, but had nothing after ${Math.max(got, before.upTo)}: a gap`);
    }
    if (stream.from <= got) return said(`resumed at ${stream.from}, but had revision ${got} already`);
  }
  return null;
}

class WrittenEvents {
  /** By revision and key. */
  readonly #known = new Map<number, Map<string, Known>>();
  readonly #unanswered: Operation[] = [];
  /** Which revision each write without an answer was seen at. */
  readonly #revisionOf = new Map<Operation, number>();

  constructor(operations: readonly Operation[]) {
    for (const operation of operations) {
      if (operation.op === 'watch' || operation.op === 'get') continue;
      const write = revisedWrite(operation);
      if (write === null) {
        if (operation.return === null) this.#unanswered.push(operation);
        continue;
      }
      for (const change of write.changes) at(this.#known, write.revision).set(change.key, { operation, change });
    }
  }

  check(streams: readonly Stream[]): Finding {
    for (const stream of streams) {
      for (const batch of stream.batches) {
        const wrong = this.#wrongBatch(stream, batch);
        if (wrong !== null) return wrong;
      }
    }
    for (const stream of streams) {
      const missing = this.#missing(stream);
      if (missing !== null) return missing;
    }
    return OK;
  }

  /** Every event is of a write that was called before it arrived, and says what that wrote. */
  #wrongBatch({ operation: stream }: Stream, batch: Batch): Finding | null {
    const { revision, events } = batch;
    for (const event of events) {
      const told = eventText(event, revision);
      const known = this.#known.get(revision)?.get(event.key);
      if (known !== undefined && !isSame(known.change, event)) {
        const reason = `${streamText(stream)} got ${told}, but that revision is of ${operationText(known.operation)}`;
        return bad(reason, [stream, known.operation]);
      }
      const writer = known?.operation ?? this.#unansweredWriter(stream, batch, event);
      if (writer === undefined) return bad(`${streamText(stream)} got ${told}, which nobody wrote`, [stream]);
      if (writer.call > (batch.at ?? stream.return ?? Infinity)) {
        return bad(`${streamText(stream)} got ${told} before it was written: ${operationText(writer)}`, [
          stream,
          writer,
        ]);
      }
    }
    return null;
  }

  /** The write without an answer that this event is of, from now on known by its revision. Best is one of which nothing is missing. */
  #unansweredWriter(stream: Operation, batch: Batch, event: Change): Operation | undefined {
    const candidates = this.#unanswered.filter((write) => {
      const revision = this.#revisionOf.get(write);
      if (revision !== undefined && revision !== batch.revision) return false;
      return changesOf(write).some((change) => change.key === event.key && isSame(change, event));
    });
    const isWhole = (write: Operation) =>
      changesOf(write).every(
        (change) =>
          !isWatched(stream, change.key) || batch.events.some((got) => got.key === change.key && isSame(got, change)),
      );
    const writer = candidates.find(isWhole) ?? candidates[0];
    if (writer === undefined) return undefined;
    this.#revisionOf.set(writer, batch.revision);
    for (const change of changesOf(writer))
      at(this.#known, batch.revision).set(change.key, { operation: writer, change });
    return writer;
  }

  /** Complete: what was written, or seen by another stream, between `from` and `upTo` is there, each revision as a whole. */
  #missing(stream: Stream): Finding | null {
    const got = new Map(stream.batches.map((batch) => [batch.revision, new Set(batch.events.map(({ key }) => key))]));
    for (const [revision, changes] of this.#known) {
      if (revision < stream.from || revision > stream.upTo) continue;
      for (const { operation, change } of changes.values()) {
        if (!isWatched(stream.operation, change.key) || got.get(revision)?.has(change.key) === true) continue;
        const part = got.has(revision) ? 'only a part of that revision' : 'nothing of that revision';
        const reason = `${streamText(stream.operation)} misses ${eventText(change, revision)} and got ${part}: ${operationText(operation)}`;
        return bad(reason, [stream.operation, operation]);
      }
    }
    return null;
  }
}

function at<V>(map: Map<number, Map<string, V>>, revision: number): Map<string, V> {
  let inner = map.get(revision);
  if (inner === undefined) {
    inner = new Map();
    map.set(revision, inner);
  }
  return inner;
}

function isSame(a: Change, b: Change): boolean {
  return a.type === b.type && (a.type === 'delete' || canonicalText(a.value) === canonicalText(b.value));
}

function eventText({ type, key, value }: Change, revision: number): string {
  return `${type} ${valueText(key)}${type === 'put' ? ` = ${valueText(value)}` : ''} at revision ${revision}`;
}

function streamText({ client, key, input, call }: Operation): string {
  const { watcher, from } = input as { watcher: string | number; from: number };
  return `watcher ${watcher} (client ${client}, on ${valueText(key)} from revision ${from}, opened at ${call})`;
}
