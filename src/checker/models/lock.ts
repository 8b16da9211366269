/**
 * A lock with fencing tokens a key, and the resource that it guards. The lock may be lost at any time by expiry.
 * - `acquire`: output is the token, a number, or null (it was not granted).
 * - `release` with the token as input: output true (it was held), false (it was not, or no more).
 * - `query`: output is the token of the holder, or null.
 * - `write` with the token, or an object with `token`, as input: output true (the resource accepted), false (refused).
 *
 * Tokens grow strictly in the order in which they are granted; what a token is used for happens while it is held; and
 * the resource never accepts a token after a newer one. A refused write says nothing: a resource may always refuse.
 */
import type { Operation } from '../history.ts';
import { exactly, levelConflict } from '../levels.ts';
import { bad, type Budget, type Finding, type Model } from '../model.ts';
import { checkBySearch, classNumbers } from '../search-model.ts';
import type { Machine } from '../search.ts';
import { operationText } from '../words.ts';

export const lock: Model = { name: 'lock', byKey: true, refuse, check };

function refuse(operation: Operation): string | null {
  const { op, output, return: returned } = operation;
  const known = returned !== null;
  switch (op) {
    case 'acquire':
    case 'query':
      if (!known || output === null || isToken(output)) return null;
      return `the output of ${op} is a token, a number above 0, or null`;
    case 'release':
    case 'write':
      if (!isToken(givenToken(operation))) return `the input of ${op} is a token, a number above 0`;
      return !known || typeof output === 'boolean' ? null : `the output of ${op} is true or false`;
    default:
      return `the model has no operation ${JSON.stringify(op)}`;
  }
}

function isToken(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function givenToken({ input }: Operation): unknown {
  return typeof input === 'object' && input !== null && 'token' in input ? input.token : input;
}

function check(operations: readonly Operation[], _init: unknown, budget: Budget): Finding {
  const wrong = wrongTokens(operations);
  if (wrong !== null) return wrong;
  // What has no answer can be left out of every order. A release makes possible only that nobody holds the lock, which
  // expiry does too; a write only forbids. An acquire matters if a token is used that no known acquire got.
  const telling = operations.filter(
    ({ op, output, return: returned }) =>
      (returned !== null || op === 'acquire') &&
      !(op === 'acquire' && returned !== null && output === null) &&
      !(op === 'write' && output === false),
  );
  return checkBySearch(telling, new TokenMachine(telling), budget);
}

/** What can be said in a sentence: a token granted twice, out of order, to nobody, or accepted after a newer one. */
function wrongTokens(operations: readonly Operation[]): Finding | null {
  const grants = new Map<number, Operation>();
  for (const operation of operations) {
    if (operation.op !== 'acquire' || operation.return === null || !isToken(operation.output)) continue;
    const other = grants.get(operation.output);
    if (other !== undefined) {
      return bad(
        `token ${operation.output} was granted twice: to client ${other.client} and to client ${operation.client}`,
        [other, operation],
      );
    }
    grants.set(operation.output, operation);
  }
  const inOrder = levelConflict(
    operations,
    [...grants].map(([token, operation]) => exactly(operation, token)),
  );
  if (inOrder !== null) {
    const { earlier, operation } = inOrder;
    const reason = `tokens do not grow: ${operationText(earlier)} returned before ${operationText(operation)} was called`;
    return bad(reason, [earlier, operation]);
  }
  const accepted = operations.filter(
    ({ op, output, return: returned }) => op === 'write' && returned !== null && output === true,
  );
  const stale = levelConflict(
    operations,
    accepted.map((operation) => exactly(operation, givenToken(operation) as number)),
  );
  if (stale !== null) {
    const { earlier, operation } = stale;
    const reason = `a stale token was accepted: ${operationText(operation)} was called after ${operationText(earlier)} had returned`;
    return bad(reason, [earlier, operation]);
  }
  // A token that nobody is known to have got needs an acquire without an answer.
  if (operations.some(({ op, return: returned }) => op === 'acquire' && returned === null)) return null;
  for (const operation of operations) {
    const token = usedToken(operation);
    if (token === null || grants.has(token)) continue;
    return bad(`token ${token} was granted to nobody: ${operationText(operation)}`, [operation]);
  }
  return null;
}

/** The token that an answer says was valid, if any. */
function usedToken(operation: Operation): number | null {
  const { op, output, return: returned } = operation;
  if (returned === null || op === 'acquire') return null;
  const token = op === 'query' ? output : output === true ? givenToken(operation) : null;
  return isToken(token) ? token : null;
}

interface TokenState {
  readonly holder: number;
  /** The newest token granted, and the newest accepted. */
  readonly granted: number;
  readonly accepted: number;
  /** Acquires without an answer that may yet turn out to have been granted a token. */
  readonly unanswered: number;
}

const FREE: TokenState = { holder: 0, granted: 0, accepted: 0, unanswered: 0 };

/**
 * Expiry is not an operation; it happens when an answer needs it, which allows all that an earlier expiry would allow. So
 * does the grant to an acquire without an answer: it happens when its token is first used, or when a larger one is granted.
 */
class TokenMachine implements Machine {
  readonly initial: number;
  readonly classes: readonly number[];
  readonly readOnly: readonly boolean[];
  readonly #operations: readonly Operation[];
  /** Tokens that known acquires got, and others that are used. */
  readonly #known: ReadonlySet<unknown>;
  readonly #foreign: readonly number[];
  readonly #states: TokenState[] = [];
  readonly #numbers = new Map<string, number>();

  constructor(operations: readonly Operation[]) {
    this.#operations = operations;
    const isGrant = ({ op, return: returned }: Operation) => op === 'acquire' && returned !== null;
    this.#known = new Set(operations.filter(isGrant).map(({ output }) => output));
    const used = new Set(operations.flatMap((operation) => usedToken(operation) ?? []));
    this.#foreign = [...used].filter((token) => !this.#known.has(token));
    this.classes = classNumbers(
      operations.map((operation) => {
        const { op, output, return: returned } = operation;
        return `${op} ${returned === null ? '?' : `${String(givenToken(operation))} ${String(output)}`}`;
      }),
    );
    this.readOnly = operations.map(({ op, output }) => op === 'query' && this.#known.has(output));
    this.initial = this.#number(FREE);
  }

  step(number: number, index: number): number {
    const state = this.#states[number] ?? FREE;
    const operation = this.#operations[index];
    if (operation === undefined) return -1;
    const { op, output, return: returned } = operation;
    if (op === 'acquire' && returned === null) {
      return this.#number({ ...state, unanswered: Math.min(this.#foreign.length, state.unanswered + 1) });
    }
    const token = op === 'acquire' || op === 'query' ? output : givenToken(operation);
    if (op === 'query' && token === null) return this.#number({ ...state, holder: 0 });
    if (!isToken(token)) return -1;
    if (op === 'release' && output === false) {
      return state.holder === token ? this.#number({ ...state, holder: 0 }) : number;
    }
    const granted = op === 'acquire' || !this.#known.has(token) ? this.#grant(state, token, op === 'acquire') : state;
    if (op === 'acquire') return granted === null ? -1 : this.#number(granted);
    if (op === 'write') {
      const after = granted ?? state;
      return token >= after.accepted && token <= after.granted ? this.#number({ ...after, accepted: token }) : -1;
    }
    if (granted === null || granted.holder !== token) return -1;
    return this.#number(op === 'release' ? { ...granted, holder: 0 } : granted);
  }

  describe(number: number): string {
    const { holder, granted, accepted } = this.#states[number] ?? FREE;
    const held = holder === 0 ? 'the lock free' : `token ${holder} holding the lock`;
    return `${held}, ${granted} the newest token granted and ${accepted} the newest accepted`;
  }

  /**
   * The state after `token` was granted; the same one if it was before; null if it cannot be granted. Smaller tokens
   * that are used at some time were granted by then, because they cannot be later.
   */
  #grant(state: TokenState, token: number, isKnown: boolean): TokenState | null {
    if (token <= state.granted) return isKnown ? null : state;
    const others = this.#foreign.filter((other) => other > state.granted && other <= token).length;
    if (others > state.unanswered) return null;
    return { ...state, holder: token, granted: token, unanswered: state.unanswered - others };
  }

  #number(state: TokenState): number {
    const text = `${state.holder} ${state.granted} ${state.accepted} ${state.unanswered}`;
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#states.push(state) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }
}
