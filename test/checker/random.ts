/** Seeded random histories. */
import type { Operation } from '../../src/checker/index.ts';

/** mulberry32 (Tommy Ettinger): [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(random: () => number, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

export interface Script {
  /** One operation: what it is asked to do. */
  ask(random: () => number): { op: string; key?: string; input: unknown };
  /** What it does to the state, and its answer. */
  apply(state: unknown, op: string, input: unknown): { state: unknown; output: unknown };
}

export interface Shape {
  readonly operations: number;
  readonly clients: number;
  /** Chance that an operation gets no answer; half of these happen all the same. Default 0. */
  readonly unanswered?: number;
  /** Chance of a certain failure. Default 0. */
  readonly failed?: number;
  /** How many distinct times there are; few make many equal ones. Default: all distinct. */
  readonly times?: number;
  readonly init?: unknown;
}

/**
 * A correct history: each operation takes effect at one moment between its call and its return, in one state for each key.
 * A client that got no answer goes on as another one.
 */
export function correctHistory(random: () => number, script: Script, shape: Shape): Operation[] {
  interface Pending {
    client: number;
    op: string;
    key: string;
    input: unknown;
    call: number;
    effectAt: number;
    returnAt: number | null;
    fail: boolean;
    output: unknown;
  }
  const pending: Pending[] = [];
  const free = Array.from({ length: shape.clients }, () => 0);
  const names = free.map((_, index) => index);
  let next = shape.clients;
  for (let made = 0; made < shape.operations; made++) {
    const client = Math.floor(random() * shape.clients);
    const call = (free[client] ?? 0) + random() * 10;
    const duration = random() < 0.1 ? random() * 100 : random() * 10;
    const { op, key = 'k', input } = script.ask(random);
    const fate = random();
    const fail = fate < (shape.failed ?? 0);
    const lost = !fail && fate < (shape.failed ?? 0) + (shape.unanswered ?? 0);
    const happens = !fail && (!lost || random() < 0.5);
    pending.push({
      client: names[client] ?? 0,
      op,
      key,
      input,
      call,
      effectAt: happens ? call + random() * (lost ? 200 : duration) : Infinity,
      returnAt: lost || fail ? null : call + duration,
      fail,
      output: null,
    });
    free[client] = call + duration + 0.001;
    if (lost) names[client] = next++;
  }
  const states = new Map<string, unknown>();
  for (const operation of pending.toSorted((a, b) => a.effectAt - b.effectAt)) {
    if (operation.effectAt === Infinity) continue;
    const state = states.has(operation.key) ? states.get(operation.key) : (shape.init ?? null);
    const after = script.apply(state, operation.op, operation.input);
    states.set(operation.key, after.state);
    operation.output = after.output;
  }
  return pending
    .map(({ client, op, key, input, output, call, returnAt, fail }) => ({
      client,
      op,
      key,
      input,
      output: returnAt === null ? null : output,
      call,
      return: returnAt,
      ...(fail ? { fail } : {}),
    }))
    .sort((a, b) => a.call - b.call);
}

const WORDS = ['a', 'b', 'ab'] as const;

export const registerScript: Script = {
  ask: (random) => {
    const op = pick(random, ['get', 'get', 'put', 'cas', 'delete']);
    const value = () => Math.floor(random() * 3);
    return { op, input: op === 'put' ? value() : op === 'cas' ? [value(), value()] : null };
  },
  apply: applyValue,
};

export const appendScript: Script = {
  ask: (random) => {
    const op = pick(random, ['get', 'get', 'put', 'append', 'append', 'cas', 'delete']);
    const word = () => pick(random, WORDS);
    return { op, input: op === 'put' || op === 'append' ? word() : op === 'cas' ? [word(), word()] : null };
  },
  apply: applyValue,
};

function applyValue(state: unknown, op: string, input: unknown): { state: unknown; output: unknown } {
  switch (op) {
    case 'get':
      return { state, output: state };
    case 'put':
      return { state: input, output: null };
    case 'append':
      return { state: `${(state as string | null) ?? ''}${String(input)}`, output: null };
    case 'delete':
      return { state: null, output: state !== null };
    case 'cas': {
      const [old, next] = input as [unknown, unknown];
      return state === old ? { state: next, output: true } : { state, output: false };
    }
    default:
      throw new Error(op);
  }
}

export const counterScript: Script = {
  ask: (random) => (random() < 0.5 ? { op: 'read', input: null } : { op: 'add', input: pick(random, [1, 1, 2, -1]) }),
  apply: (state, op, input) => {
    const sum = (state as number) + (op === 'add' ? (input as number) : 0);
    return { state: sum, output: op === 'read' ? sum : null };
  },
};

/** Adds that tell the sum, too. */
export const tellingCounterScript: Script = {
  ask: counterScript.ask,
  apply: (state, op, input) => {
    const after = counterScript.apply(state, op, input);
    return { state: after.state, output: after.state };
  },
};

export function sorted(elements: readonly unknown[]): unknown[] {
  return elements.toSorted((a, b) => String(a).localeCompare(String(b)));
}

export function setScript(ops: readonly string[], tells: boolean): Script {
  return {
    ask: (random) => {
      const op = pick(random, ops);
      return { op, input: op === 'read' ? null : pick(random, ['a', 'b', 'c', 'd']) };
    },
    apply: (state, op, input) => {
      const before = state as unknown[];
      if (op === 'read') return { state, output: before };
      const without = before.filter((element) => element !== input);
      const after = op === 'add' ? sorted([...without, input]) : without;
      return { state: after, output: tells ? after.length !== before.length : null };
    },
  };
}

/** Elements are unique unless `values` are given. */
export function listScript(tells: boolean, values?: readonly string[]): Script {
  let next = 0;
  return {
    ask: (random) =>
      random() < 0.5 ? { op: 'read', input: null } : { op: 'append', input: values ? pick(random, values) : next++ },
    apply: (state, op, input) => {
      const before = state as unknown[];
      if (op === 'read') return { state, output: before };
      return { state: [...before, input], output: tells ? before.length + 1 : null };
    },
  };
}

export const lockScript: Script = {
  ask: (random) => {
    const op = pick(random, ['acquire', 'acquire', 'release', 'query', 'write', 'write']);
    return { op, input: op === 'release' || op === 'write' ? pick(random, [1, 2, 3]) : null };
  },
  apply: (state, op, input) => {
    const before = state as { holder: number; newest: number; accepted: number; tokens: number[] };
    const { holder, newest, accepted } = before;
    switch (op) {
      case 'acquire':
        return {
          state: { ...before, holder: newest + 1, newest: newest + 1, tokens: [...before.tokens, newest + 1] },
          output: newest + 1,
        };
      case 'release':
        return { state: { ...before, holder: holder === input ? 0 : holder }, output: holder === input };
      case 'query':
        return { state, output: holder === 0 ? null : holder };
      default: {
        const isFresh = (input as number) >= accepted && (input as number) <= newest;
        return { state: { ...before, accepted: isFresh ? input : accepted }, output: isFresh };
      }
    }
  },
};
export const LOCK_INIT = { holder: 0, newest: 0, accepted: 0, tokens: [] };

/** Two keys, each element unique. */
export function txnScript(): Script {
  let next = 0;
  return {
    ask: (random) => ({
      op: 'txn',
      input: Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
        const key = pick(random, ['x', 'y']);
        return random() < 0.5 ? ['r', key, null] : ['append', key, next++];
      }),
    }),
    apply: (state, _op, input) => {
      const lists = structuredClone(state ?? {}) as Record<string, unknown[]>;
      const output = (input as [string, string, unknown][]).map(([kind, key, element]) => {
        const list = (lists[key] ??= []);
        if (kind === 'append') list.push(element);
        return [kind, key, kind === 'append' ? element : [...list]];
      });
      return { state: lists, output };
    },
  };
}

/** For `revisions`: all keys share one state, so `key` is part of the input until `withKeys` puts it in its place. */
export function revisionScript(): Script {
  let next = 0;
  return {
    ask: (random) => {
      const op = pick(random, ['get', 'get', 'put', 'delete', 'casRevision']);
      const key = pick(random, ['x', 'y']);
      const value = next++;
      const input =
        op === 'put' ? value : op === 'casRevision' ? { revision: pick(random, [0, 1, 2, 3]), value } : null;
      return { op, input: { key, input, tells: random() < 0.5 } };
    },
    apply: (state, op, asked) => {
      const { revision, keys } = state as {
        revision: number;
        keys: Record<string, { value: unknown; modRevision: number }>;
      };
      const { key, input, tells } = asked as { key: string; input: unknown; tells: boolean };
      const current = keys[key];
      const { [key]: _, ...others } = keys;
      if (op === 'get') {
        const { value = null, modRevision = null } = current ?? {};
        return { state, output: { value, modRevision, ...(tells ? { revision } : {}) } };
      }
      if (op === 'delete' && current === undefined) return { state, output: { revision, deleted: 0 } };
      const own = revision + 1;
      if (op === 'delete') return { state: { revision: own, keys: others }, output: { revision: own, deleted: 1 } };
      const wanted = op === 'casRevision' ? (input as { revision: number }).revision : null;
      if (wanted !== null && wanted !== (current?.modRevision ?? 0)) return { state, output: false };
      const value = op === 'put' ? input : (input as { value: unknown }).value;
      return {
        state: { revision: own, keys: { ...others, [key]: { value, modRevision: own } } },
        output: { revision: own },
      };
    },
  };
}
export const STORE_INIT = { revision: 0, keys: {} };

export function withKeys(history: readonly Operation[]): Operation[] {
  return history.map((operation) => {
    const { key, input } = operation.input as { key: string; input: unknown };
    return { ...operation, key, input };
  });
}

/** Puts times on a coarse clock, so that many are equal; the order of call and return of each client stays. */
export function coarse(history: readonly Operation[], unit: number): Operation[] {
  return history.map((operation) => ({
    ...operation,
    call: Math.floor(operation.call / unit),
    return: operation.return === null ? null : Math.floor(operation.return / unit),
  }));
}

/** Changes one thing at random: an output, a time, or whether there is an answer at all. */
export function changed(history: readonly Operation[], random: () => number, mayLose = true): Operation[] {
  const at = Math.floor(random() * history.length);
  const other = pick(random, history);
  return history.map((operation, index) => {
    if (index !== at) return operation;
    const kind = random();
    if (kind < 0.7 && operation.op === 'txn' && operation.return !== null) {
      return { ...operation, output: changedReads(operation.output as unknown[][], random) };
    }
    if (kind < 0.2 && Array.isArray(operation.output) && operation.return !== null) {
      const elements = operation.output as unknown[];
      return { ...operation, output: random() < 0.5 ? elements.slice(0, -1) : [...elements, ...elements.slice(0, 1)] };
    }
    if (kind < 0.7 && operation.return !== null && other.op === operation.op && other.return !== null)
      return { ...operation, output: other.output };
    if (kind < 0.7 && operation.op === 'cas' && operation.return !== null) {
      return { ...operation, output: operation.output !== true };
    }
    if ((kind < 0.9 || !mayLose) && operation.return !== null) {
      return { ...operation, return: operation.call + (operation.return - operation.call) * random() * 0.2 };
    }
    return mayLose ? { ...operation, return: null, output: null, client: `lost ${index}` } : operation;
  });
}

/** A read list loses its end, or two of its elements change places. */
function changedReads(steps: readonly (readonly unknown[])[], random: () => number): unknown[] {
  return steps.map((step) => {
    const [kind, key, value] = step;
    if (kind !== 'r' || !Array.isArray(value) || random() < 0.5) return step;
    if (random() < 0.7) return ['r', key, value.slice(0, -1)];
    return ['r', key, value.toReversed()];
  });
}
