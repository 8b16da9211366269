/** Transactions as callers see them: checked and turned into byte keys on the way in, into the contract's shapes on the way out. */
import type { Compare, CompareOperator, TxnResponse, TxnStep } from '../kv/types.ts';
import { checkTxn } from '../kv/store.ts';
import { checkCount, checkLeaseId, checkName, invalid, typed, written, type Calls } from './calls.ts';
import type {
  KeySpan,
  MutationOptions,
  TxnAnswer,
  TxnAnswerStep,
  TxnCompare,
  TxnRequest,
  TxnRequestStep,
} from './coordination.ts';

/** Conditions, and steps of one branch. */
const MAX_OPERATIONS = 128;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>'];

export class TxnService {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  async txn(request: TxnRequest, options: MutationOptions = {}): Promise<TxnAnswer> {
    const { if: compare = [], then = [], else: otherwise = [] } = request;
    for (const [name, list] of Object.entries({ if: compare, then, else: otherwise })) {
      if (!Array.isArray(list)) throw invalid(`${name} must be a list`);
      if (list.length > MAX_OPERATIONS) {
        throw invalid(`${name} has ${list.length} operations, ${MAX_OPERATIONS} are allowed`);
      }
    }
    const operation = {
      type: 'txn',
      compare: compare.map((one) => this.#compare(one)),
      then: then.map((step) => this.#step(step)),
      otherwise: otherwise.map((step) => this.#step(step)),
    } as const;
    for (const steps of [operation.then, operation.otherwise]) {
      const asked = steps.reduce((sum, step) => sum + (step.type === 'range' ? step.limit : 0), 0);
      if (asked > MAX_LIMIT)
        throw invalid(`the ranges of one branch ask for ${asked} entries, ${MAX_LIMIT} are allowed`);
    }
    const fault = checkTxn(operation);
    if (fault !== null) throw invalid(fault);
    const result = typed(await this.#calls.propose(operation, options), 'txn');
    return { ...written(result), succeeded: result.succeeded, responses: result.responses.map(answerOf) };
  }

  #compare(compare: TxnCompare): Compare {
    const { operator, target } = compare;
    if (!OPERATORS.includes(operator)) throw invalid(`operator must be =, !=, < or >, not ${operator}`);
    switch (target) {
      case 'token':
        return { target, lock: checkName(compare.lock), operator, value: checkCount('value', compare.value) };
      case 'value':
        return { target, key: this.#calls.key(compare.key), operator, value: this.#calls.value(compare.value) };
      case 'lease': {
        const value = compare.value === null ? null : checkLeaseId(compare.value);
        return { target, key: this.#calls.key(compare.key), operator, value };
      }
      case 'version':
      case 'createRevision':
      case 'modRevision':
        return { target, key: this.#calls.key(compare.key), operator, value: checkCount('value', compare.value) };
      default:
        throw invalid(`target ${String(target)} is none that is known`);
    }
  }

  #step(step: TxnRequestStep): TxnStep {
    if ('put' in step) {
      const { key, value, contentType, lease, prev } = step.put;
      return {
        type: 'put',
        key: this.#calls.key(key),
        value: this.#calls.value(value),
        contentType: contentType ?? null,
        lease: lease === undefined ? null : checkLeaseId(lease),
        prev: prev ?? false,
      };
    }
    if ('delete' in step) {
      const { delete: what } = step;
      if ('key' in what) return { type: 'delete', key: this.#calls.key(what.key), prev: what.prev ?? false };
      return { type: 'deleteRange', ...this.#calls.span(what) };
    }
    if ('get' in step) return { type: 'get', key: this.#calls.key(step.get.key) };
    if ('range' in step) {
      const { limit = DEFAULT_LIMIT, keysOnly = false } = step.range;
      const span: KeySpan = step.range;
      return { type: 'range', ...this.#calls.span(span), limit: checkCount('limit', limit, 1, MAX_LIMIT), keysOnly };
    }
    throw invalid('a step is one of put, delete, get and range');
  }
}

function answerOf(response: TxnResponse): TxnAnswerStep {
  switch (response.type) {
    case 'put':
      return { put: response.prev === undefined ? {} : { prev: response.prev } };
    case 'delete': {
      const { deleted, prev } = response;
      return { delete: prev === undefined ? { deleted } : { deleted, prev } };
    }
    case 'get':
      return { get: response.entry };
    case 'range':
      return { range: { entries: response.entries, count: response.count } };
  }
}
