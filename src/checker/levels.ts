/**
 * For histories whose answers say in which order things happened: each operation has a level, and an order is right for
 * the model exactly if levels do not fall along it. Then there is nothing to search: such an order keeps real
 * time exactly if nothing of a higher level returned before something of a lower level was called. (If nothing did, levels and
 * real time together have no cycle: within a level real time is free of cycles, and between levels it never points down.)
 *
 * Some operations may have one of several levels. They take the lowest one that is not below what returned before
 * their call: a lower level of an operation never forbids anything to those called after it.
 */
import type { Operation } from './history.ts';

export interface Leveled {
  readonly operation: Operation;
  /** The lowest level allowed that is not below `atLeast`; null when there is none. */
  readonly level: (atLeast: number) => number | null;
}

export interface LevelConflict {
  /** It returned before `operation` was called, and is of a higher level than that one may have. */
  readonly earlier: Operation;
  readonly operation: Operation;
}

/** `operations` gives the order of the record, which counts where times are equal. */
export function levelConflict(operations: readonly Operation[], items: readonly Leveled[]): LevelConflict | null {
  const place = new Map(operations.map((operation, index) => [operation, index]));
  const byCall = items.toSorted(
    ({ operation: a }, { operation: b }) =>
      a.call - b.call || returnOf(a) - returnOf(b) || (place.get(a) ?? 0) - (place.get(b) ?? 0),
  );
  const byReturn = byCall.toSorted((a, b) => returnOf(a.operation) - returnOf(b.operation));
  const levels = new Map<Operation, number>();
  const lastOfClient = new Map<string | number, Operation>();
  let highest: { operation: Operation; level: number } | null = null;
  let returned = 0;
  for (const { operation, level } of byCall) {
    for (; returned < byReturn.length; returned++) {
      const before = byReturn[returned]?.operation;
      if (before === undefined || returnOf(before) >= operation.call) break;
      const its = levels.get(before) ?? 0;
      if (highest === null || its > highest.level) highest = { operation: before, level: its };
    }
    let bound: { operation: Operation; level: number } | null = highest;
    // One client does one thing after the other, also when its clock says that both were at the same time.
    const last = lastOfClient.get(operation.client);
    if (last !== undefined && last.return === operation.call && operation.return !== null) {
      const its = levels.get(last) ?? 0;
      if (bound === null || its > bound.level) bound = { operation: last, level: its };
    }
    lastOfClient.set(operation.client, operation);
    const taken = level(bound === null ? -Infinity : bound.level);
    if (taken === null)
      return bound === null ? { earlier: operation, operation } : { earlier: bound.operation, operation };
    levels.set(operation, taken);
  }
  return null;
}

/** Exactly this level. */
export function exactly(operation: Operation, level: number): Leveled {
  return { operation, level: (atLeast) => (level >= atLeast ? level : null) };
}

/** This level or any higher one. */
export function from(operation: Operation, level: number): Leveled {
  return { operation, level: (atLeast) => Math.max(level, atLeast) };
}

function returnOf(operation: Operation): number {
  // Not Infinity, because the difference of two is taken.
  return operation.return ?? Number.MAX_VALUE;
}
