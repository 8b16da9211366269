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

/** Puts times on a coarse clock, so that many are equal; the order of call and return of each client stays. */
export function coarse(history: readonly Operation[], unit: number): Operation[] {
  return history.map((operation) => ({
    ...operation,
    call: Math.floor(operation.call / unit),
    return: operation.return === null ? null : Math.floor(operation.return / unit),
  }));
}

/** Changes one thing at random: an output, a time, or whether there is an answer at all. */
export function changed(history: readonly Operation[], random: () => number): Operation[] {
  const at = Math.floor(random() * history.length);
  const other = pick(random, history);
  return history.map((operation, index) => {
    if (index !== at) return operation;
    const kind = random();
    if (kind < 0.7 && other.op === operation.op && other.return !== null) return { ...operation, output: other.output };
    if (kind < 0.7 && operation.op === 'cas' && operation.return !== null) {
      return { ...operation, output: operation.output !== true };
    }
    if (kind < 0.9 && operation.return !== null) {
      return { ...operation, return: operation.call + (operation.return - operation.call) * random() * 0.2 };
    }
    return { ...operation, return: null, output: null, client: `lost ${index}` };
  });
}
