/**
 * Keys of a store that counts its writes: stricter than `kv`, over all keys together, and without a search. `key` is the key.
 * - `put` with the value as input, `delete`: output is the revision, or {revision}; {revision, deleted: 0} for a delete
 *   that found nothing, with the revision of the store at that moment.
 * - `casRevision` with input {revision, value}: a put if the key's modRevision is `revision` (0 or null: if there is no such key).
 *   Output is the revision, {revision}, or false.
 * - `get`: output is {value, modRevision} or {value, modRevision, revision}, where `revision` is that of the store; for an absent
 *   key null, or {value: null, modRevision: null, revision}.
 *
 * `init` is the revision of the store before the history, default 0: what keys had up to there is not known. Revisions may
 * have gaps: others may write other keys. The keys of the history are written by nobody else.
 *
 * Why no search is needed: every write that took effect has its own revision, and an order is right for the model
 * exactly if revisions grow along it and each read stands where what it saw was there. So a write of revision r has the
 * level 2r, and a read stands at an odd level: at 2R + 1 if it knows the store's revision R, otherwise at any one between the
 * write that it saw and the next write of its key. levels.ts tells whether that agrees with real time.
 *
 * A write without an answer that somebody saw has the revision at which it was seen. If there are several of the same key
 * and value, they get theirs in order of call; so write every value once where conditions are used too. One that nobody saw may
 * be left out, except that an unseen delete may explain that a key is absent, and an unseen write that a condition was
 * refused. What such a write could explain is let pass: with lost answers the model may miss an error.
 */
import { canonicalText } from '../interner.ts';
import type { Operation } from '../history.ts';
import { exactly, levelConflict, type Leveled } from '../levels.ts';
import { bad, OK, type Finding, type Model } from '../model.ts';
import { operationText, valueText } from '../words.ts';
import {
  changesOf,
  isRevision,
  isWithoutEffect,
  refuseRevisedWrite,
  revisedWrite,
  revisionOf,
  type Change,
} from '../written-revisions.ts';

export const revisions: Model = { name: 'revisions', byKey: false, refuse, check };

interface Found {
  readonly value: unknown;
  readonly modRevision: number | null;
  readonly revision: number | null;
}

interface Write {
  readonly revision: number;
  readonly operation: Operation;
  readonly change: Change;
}

function refuse(operation: Operation): string | null {
  const { op, output, return: returned } = operation;
  if (op === 'batch') return 'the model has no operation "batch"';
  if (op !== 'get') return refuseRevisedWrite(operation);
  return returned === null || foundBy(output) !== null
    ? null
    : 'the output of get is {value, modRevision}, with or without revision, or null';
}

function foundBy(output: unknown): Found | null {
  if (output === null || output === undefined) return { value: null, modRevision: null, revision: null };
  if (typeof output !== 'object' || !('value' in output) || !('modRevision' in output)) return null;
  const { value, modRevision } = output;
  const revision = 'revision' in output ? output.revision : null;
  if (!(modRevision === null || isRevision(modRevision)) || !(revision === null || isRevision(revision))) return null;
  return { value, modRevision, revision };
}

function check(operations: readonly Operation[], init: unknown): Finding {
  return new RevisionCheck(operations, isRevision(init) ? init : 0).run();
}

class RevisionCheck {
  readonly #operations: readonly Operation[];
  readonly #init: number;
  readonly #byRevision = new Map<number, Write>();
  /** By key, in order of revision. */
  readonly #byKey = new Map<string, Write[]>();
  /** Writes without an answer that nobody is known to have seen, by key. */
  readonly #unseen = new Map<string, Operation[]>();

  constructor(operations: readonly Operation[], init: number) {
    this.#operations = operations;
    this.#init = init;
  }

  run(): Finding {
    return this.#collectWrites() ?? this.#findUnanswered() ?? this.#place();
  }

  #collectWrites(): Finding | null {
    for (const operation of this.#operations) {
      const write = revisedWrite(operation);
      const change = write?.changes[0];
      if (write === null || change === undefined) {
        if (operation.op !== 'get' && operation.return === null) {
          const list = this.#unseen.get(operation.key);
          if (list === undefined) this.#unseen.set(operation.key, [operation]);
          else list.push(operation);
        }
        continue;
      }
      const wrong = this.#add({ revision: write.revision, operation, change });
      if (wrong !== null) return wrong;
    }
    for (const writes of this.#byKey.values()) writes.sort((a, b) => a.revision - b.revision);
    return null;
  }

  #add(write: Write): Finding | null {
    const { revision, operation } = write;
    if (revision <= this.#init) {
      return bad(`${operationText(operation)} has a revision that was over before the history began`, [operation]);
    }
    const other = this.#byRevision.get(revision);
    if (other !== undefined) {
      const reason = `revision ${revision} was given twice: to ${operationText(other.operation)} and to ${operationText(operation)}`;
      return bad(reason, [other.operation, operation]);
    }
    this.#byRevision.set(revision, write);
    const writes = this.#byKey.get(operation.key);
    if (writes === undefined) this.#byKey.set(operation.key, [write]);
    else writes.push(write);
    return null;
  }

  /** Reads of revisions that no answer told: each must be that of a write without an answer. */
  #findUnanswered(): Finding | null {
    const seen = new Map<number, { read: Operation; found: Found }>();
    for (const read of this.#operations) {
      if (read.op !== 'get' || read.return === null) continue;
      const found = foundBy(read.output);
      const revision = found?.modRevision ?? null;
      if (found === null || revision === null || revision <= this.#init || this.#byRevision.has(revision)) continue;
      if (!seen.has(revision)) seen.set(revision, { read, found });
    }
    for (const [revision, { read, found }] of [...seen].sort(([a], [b]) => a - b)) {
      const list = this.#unseen.get(read.key) ?? [];
      const candidates = list.filter((write) => write.call <= (read.return ?? 0) && writes(write, found.value));
      const operation = candidates.find((write) => this.#wrongCondition(write, revision) === null) ?? candidates[0];
      const change = operation === undefined ? undefined : changesOf(operation)[0];
      if (operation === undefined || change === undefined) {
        return bad(`${operationText(read)} saw ${valueText(found.value)} at revision ${revision}, which nobody wrote`, [
          read,
        ]);
      }
      list.splice(list.indexOf(operation), 1);
      const wrong = this.#add({ revision, operation, change });
      if (wrong !== null) return wrong;
      this.#byKey.get(read.key)?.sort((a, b) => a.revision - b.revision);
    }
    return null;
  }

  #place(): Finding {
    const items: Leveled[] = [];
    for (const { revision, operation } of this.#byRevision.values()) {
      const wrong = this.#wrongCondition(operation, revision);
      if (wrong !== null) return wrong;
      items.push(exactly(operation, 2 * revision));
    }
    for (const operation of this.#operations) {
      if (operation.return === null) continue;
      const item =
        operation.op === 'get'
          ? this.#placeRead(operation)
          : isWithoutEffect(operation.output)
            ? this.#placeRefused(operation)
            : null;
      if (item !== null && 'verdict' in item) return item;
      if (item !== null) items.push(item);
    }
    const conflict = levelConflict(this.#operations, items);
    if (conflict === null) return OK;
    const { earlier, operation } = conflict;
    const reason = `by their revisions ${operationText(operation)} came before ${operationText(earlier)}, but that one returned before it was called`;
    return bad(reason, [operation, earlier]);
  }

  #placeRead(read: Operation): Leveled | Finding {
    const found = foundBy(read.output);
    const modRevision = found?.modRevision ?? null;
    const revision = found?.revision ?? null;
    if (found === null || modRevision === null) return this.#placeAbsent(read, revision);
    const write = this.#byRevision.get(modRevision);
    if (write !== undefined) {
      const { change, operation } = write;
      if (
        change.key !== read.key ||
        change.type !== 'put' ||
        canonicalText(change.value) !== canonicalText(found.value)
      ) {
        return bad(`${operationText(read)} saw another value than ${operationText(operation)} wrote at that revision`, [
          read,
          operation,
        ]);
      }
    }
    const next = this.#nextWrite(read.key, modRevision);
    if (revision === null)
      return between(read, 2 * modRevision + 1, next === undefined ? Infinity : 2 * next.revision - 1);
    if (revision < modRevision) return bad(`${operationText(read)} saw a revision later than the store's`, [read]);
    if (next !== undefined && next.revision <= revision) {
      const reason = `${operationText(read)} did not see ${operationText(next.operation)}, whose revision ${next.revision} is not after the store's`;
      return bad(reason, [read, next.operation]);
    }
    return exactly(read, 2 * revision + 1);
  }

  /** Absent: where the last write of the key is a delete, or there is none. */
  #placeAbsent(operation: Operation, revision: number | null): Leveled | Finding {
    const isExplained = this.#couldBeUnseen(operation, 'delete');
    const writes = this.#byKey.get(operation.key) ?? [];
    if (revision !== null) {
      const last = writes.findLast((write) => write.revision <= revision);
      if (last?.change.type === 'put' && !isExplained) {
        const reason = `${operationText(operation)} did not see ${operationText(last.operation)}, and nobody deleted it`;
        return bad(reason, [operation, last.operation]);
      }
      return exactly(operation, 2 * revision + 1);
    }
    if (isExplained) return between(operation, 2 * this.#init + 1, Infinity);
    const ranges: [number, number][] = [];
    let start: number | null = 2 * this.#init + 1;
    for (const write of writes) {
      if (start !== null) ranges.push([start, 2 * write.revision - 1]);
      start = write.change.type === 'delete' ? 2 * write.revision + 1 : null;
    }
    if (start !== null) ranges.push([start, Infinity]);
    return oneOf(operation, ranges);
  }

  /** A delete that found nothing, or a condition that did not hold. */
  #placeRefused(operation: Operation): Leveled | Finding {
    if (operation.op === 'delete') return this.#placeAbsent(operation, revisionOf(operation.output));
    const revision = (operation.input as { revision: number | null }).revision ?? 0;
    if (this.#couldBeUnseen(operation, null)) return between(operation, 2 * this.#init + 1, Infinity);
    const writes = this.#byKey.get(operation.key) ?? [];
    if (revision === 0) {
      // There was such a key; what was there before the history began is not known.
      const ranges: [number, number][] = [];
      if (this.#init > 0) ranges.push([1, writes[0] === undefined ? Infinity : 2 * writes[0].revision - 1]);
      writes.forEach(({ change, revision: own }, at) => {
        const next = writes[at + 1];
        if (change.type === 'put') ranges.push([2 * own + 1, next === undefined ? Infinity : 2 * next.revision - 1]);
      });
      return oneOf(operation, ranges);
    }
    const write = this.#byRevision.get(revision);
    const isPut = write !== undefined && write.change.type === 'put' && write.operation.key === operation.key;
    if (!isPut) return between(operation, 1, Infinity);
    const next = this.#nextWrite(operation.key, revision);
    const ranges: [number, number][] = [[1, 2 * revision - 1]];
    if (next !== undefined) ranges.push([2 * next.revision + 1, Infinity]);
    return oneOf(operation, ranges);
  }

  /** A condition that held says what the key's last write was. */
  #wrongCondition(operation: Operation, revision: number): Finding | null {
    if (operation.op !== 'casRevision') return null;
    const wanted = (operation.input as { revision: number | null }).revision ?? 0;
    const writes = this.#byKey.get(operation.key) ?? [];
    const last = writes.findLast((write) => write.revision < revision);
    if (wanted === 0) {
      if (last?.change.type !== 'put' || this.#couldBeUnseen(operation, 'delete')) return null;
      const reason = `${operationText(operation)} held that there is no such key, after ${operationText(last.operation)}`;
      return bad(reason, [operation, last.operation]);
    }
    if (wanted >= revision)
      return bad(`${operationText(operation)} held for a revision that was not there yet`, [operation]);
    if (last !== undefined && last.revision === wanted && last.change.type === 'put') return null;
    if (last !== undefined && last.revision >= wanted) {
      const reason = `${operationText(operation)} held for revision ${wanted}, but before it came ${operationText(last.operation)}`;
      return bad(reason, [operation, last.operation]);
    }
    if (wanted <= this.#init || this.#couldBeUnseen(operation, 'put')) return null;
    return bad(`${operationText(operation)} held for revision ${wanted}, which nobody wrote to this key`, [operation]);
  }

  #nextWrite(key: string, revision: number): Write | undefined {
    return this.#byKey.get(key)?.find((write) => write.revision > revision);
  }

  /** Is there a write of this key without an answer, called before `operation` returned? null: of either type. */
  #couldBeUnseen(operation: Operation, type: Change['type'] | null): boolean {
    const until = operation.return ?? Infinity;
    return (this.#unseen.get(operation.key) ?? []).some(
      (write) => write !== operation && write.call <= until && (type === null || changesOf(write)[0]?.type === type),
    );
  }
}

/** Does this write, if it took effect, leave `value`? */
function writes(operation: Operation, value: unknown): boolean {
  const text = canonicalText(value);
  return changesOf(operation).some((change) => change.type === 'put' && canonicalText(change.value) === text);
}

function between(operation: Operation, low: number, high: number): Leveled {
  return oneOf(operation, [[low, high]]);
}

/** Ranges grow. Levels of reads are odd: between two writes. */
function oneOf(operation: Operation, ranges: readonly (readonly [number, number])[]): Leveled {
  return {
    operation,
    level: (atLeast) => {
      const odd = atLeast === -Infinity ? -Infinity : atLeast % 2 === 0 ? atLeast + 1 : atLeast;
      for (const [low, high] of ranges) if (low <= high && high >= odd) return Math.max(low, odd);
      return null;
    },
  };
}
