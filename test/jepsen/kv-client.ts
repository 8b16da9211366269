/**
 * The key-value API as a client of the lab sees it: each answer becomes what it says about the outcome (docs/errors.md), and
 * an answer that the contract does not have is an error of the run. Values are text.
 */
import { callNode, type NodeAnswer, type NodeCall } from './http-client.ts';
import type { LabNode, Outcome } from './types.ts';
import { ContractError, type Witness } from './witness.ts';

/** How long the node may take, and how long the client waits for it: some of the waiting is the network's. */
export const SERVER_TIMEOUT_MS = 2000;
export const CLIENT_DEADLINE_MS = 2500;

export interface Entry {
  readonly value: string;
  readonly revision: number;
}

export type Condition =
  | { readonly type: 'always' }
  | { readonly type: 'absent' }
  | { readonly type: 'revision'; readonly revision: number };

export const ALWAYS: Condition = { type: 'always' };

export type NotDone = Exclude<Outcome, { type: 'ok' }>;
export type ReadResult = { readonly type: 'read'; readonly entry: Entry | null } | NotDone;
export type WriteResult =
  | { readonly type: 'written'; readonly revision: number }
  /** The condition does not hold; this is what is there. */
  | { readonly type: 'refused'; readonly current: Entry | null }
  | NotDone;
export type DeleteResult =
  | { readonly type: 'deleted'; readonly count: number }
  | Exclude<WriteResult, { type: 'written' }>;
export interface Listing {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Entry>;
}
export type ListResult = ({ readonly type: 'listed' } & Listing) | NotDone;

interface ListedEntry {
  readonly key: string;
  readonly value: string;
  readonly encoding: 'utf8';
  readonly modRevision: number;
}

interface Page {
  readonly revision: number;
  readonly entries: readonly ListedEntry[];
  readonly nextCursor: string | null;
}

/** Codes with which a node may refuse or give up what is asked rightly. */
export const EXCUSES: ReadonlySet<string> = new Set([
  ...['ERR_NO_LEADER', 'ERR_OVERLOADED', 'ERR_CLOSED', 'ERR_TIMEOUT', 'ERR_QUOTA', 'ERR_REQUEST_TIMEOUT'],
  // The node is about to stop, and says so to those who asked last.
  ...['ERR_STORE_POISONED', 'ERR_CORRUPT'],
]);

export class KvClient {
  /** What was said of revisions: also by those who write in other ways. */
  readonly witness: Witness;
  readonly #query: string;

  /** `staleReads`: gets and lists ask for `consistency=stale`, which a run with cuts has to find out. */
  constructor(witness: Witness, options: { readonly staleReads?: boolean } = {}) {
    this.witness = witness;
    this.#query = options.staleReads === true ? '&consistency=stale' : '';
  }

  async get(target: LabNode, key: string, signal: AbortSignal): Promise<ReadResult> {
    const answer = await this.#call(target, {
      method: 'GET',
      path: pathOf(key) + this.#query,
      deadlineMs: CLIENT_DEADLINE_MS,
      signal,
    });
    if (answer.type === 'answer' && answer.status === 200) {
      const entry = { value: answer.body.toString(), revision: revisionOf(answer) };
      this.witness.saw(key, entry.revision, entry.value);
      return { type: 'read', entry };
    }
    if (answer.type === 'answer' && answer.status === 404) {
      const { code } = problemOf(answer, `GET ${key}`);
      if (code === 'ERR_KEY_NOT_FOUND') return { type: 'read', entry: null };
    }
    // A read that was not answered changed nothing.
    return { type: 'fail', error: notDone(answer, `GET ${key}`).error };
  }

  async put(
    target: LabNode,
    key: string,
    value: string,
    condition: Condition,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const headers = { 'content-type': 'text/plain', ...conditionHeaders(condition) };
    const answer = await this.#call(target, {
      ...{ method: 'PUT', path: pathOf(key), headers, body: value, deadlineMs: CLIENT_DEADLINE_MS, signal },
    });
    if (answer.type === 'answer' && answer.status === 200) {
      const { revision } = json(answer, `PUT ${key}`) as { revision: number };
      this.witness.wrote(key, revision, value);
      return { type: 'written', revision };
    }
    return this.#refused(answer, `PUT ${key}`, key, condition);
  }

  async delete(target: LabNode, key: string, condition: Condition, signal: AbortSignal): Promise<DeleteResult> {
    const answer = await this.#call(target, {
      ...{ method: 'DELETE', path: pathOf(key), headers: conditionHeaders(condition) },
      ...{ deadlineMs: CLIENT_DEADLINE_MS, signal },
    });
    if (answer.type === 'answer' && answer.status === 200) {
      const { revision, deleted } = json(answer, `DELETE ${key}`) as { revision: number; deleted: number };
      if (deleted !== 0) this.witness.wrote(key, revision, null);
      return { type: 'deleted', count: deleted };
    }
    return this.#refused(answer, `DELETE ${key}`, key, condition);
  }

  /** All pages. `pageSize` below what is there makes it several, which have to be of one revision all the same. */
  async list(
    target: LabNode,
    prefix: string,
    options: { readonly pageSize?: number; readonly stale?: boolean; readonly signal: AbortSignal },
  ): Promise<ListResult> {
    const entries = new Map<string, Entry>();
    let revision: number | null = null;
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ prefix, limit: String(options.pageSize ?? 1000) });
      if (options.stale === true) query.set('consistency', 'stale');
      if (cursor !== null) query.set('cursor', cursor);
      const path = `/v1/kv?${query.toString()}&timeout=${SERVER_TIMEOUT_MS}ms${options.stale === true || cursor !== null ? '' : this.#query}`;
      const call: NodeCall = { method: 'GET', path, deadlineMs: CLIENT_DEADLINE_MS, signal: options.signal };
      const answer = await this.#call(target, call);
      // Its revision was compacted between two pages: an answer of its own kind, and nothing was read.
      if (answer.type === 'answer' && answer.status === 410) return { type: 'fail', error: 'ERR_COMPACTED' };
      if (answer.type !== 'answer' || answer.status !== 200) {
        return { type: 'fail', error: notDone(answer, `list ${prefix}`).error };
      }
      const page = json(answer, `list ${prefix}`) as Page;
      revision ??= page.revision;
      if (page.revision !== revision) {
        throw new ContractError(`pages of one list are of revisions ${revision} and ${page.revision}`);
      }
      for (const { key, value, modRevision } of page.entries) {
        if (!key.startsWith(prefix)) throw new ContractError(`list ${prefix} has ${key}`);
        if (entries.has(key)) throw new ContractError(`list ${prefix} has ${key} twice`);
        if (modRevision > revision) {
          throw new ContractError(`list ${prefix} of revision ${revision} has ${key} of revision ${modRevision}`);
        }
        this.witness.saw(key, modRevision, value);
        entries.set(key, { value, revision: modRevision });
      }
      cursor = page.nextCursor;
    } while (cursor !== null);
    return { type: 'listed', revision, entries };
  }

  #refused(
    answer: NodeAnswer,
    what: string,
    key: string,
    condition: Condition,
  ): Exclude<WriteResult, { type: 'written' }> {
    if (answer.type !== 'answer' || answer.status !== 412) return notDone(answer, what);
    if (condition.type === 'always') throw new ContractError(`${what} without a condition: 412`);
    const { current } = problemOf(answer, what) as unknown as { current: ListedEntry | null };
    if (current === null) return { type: 'refused', current: null };
    this.witness.saw(key, current.modRevision, current.value);
    if (condition.type === 'revision' && condition.revision === current.modRevision) {
      throw new ContractError(`${what} if revision ${condition.revision}: refused, though that is what is there`);
    }
    return { type: 'refused', current: { value: current.value, revision: current.modRevision } };
  }

  async #call(target: LabNode, call: NodeCall): Promise<NodeAnswer> {
    return await callNode(target.url, call);
  }
}

/** What to think of an answer that is not the one hoped for. Throws ContractError when it may not be given. */
export function notDone(answer: NodeAnswer, what: string): NotDone {
  if (answer.type === 'unreached') return { type: 'fail', error: answer.error };
  if (answer.type === 'unanswered') return { type: 'unknown', error: answer.error };
  const { code, outcome, detail } = problemOf(answer, what);
  if (!EXCUSES.has(code)) throw new ContractError(`${what}: ${answer.status} ${code}: ${detail}`);
  return outcome === 'none' ? { type: 'fail', error: code } : { type: 'unknown', error: code };
}

export interface ProblemDocument {
  readonly code: string;
  readonly outcome: 'none' | 'unknown';
  readonly detail: string;
}

export function problemOf(answer: NodeAnswer & { type: 'answer' }, what: string): ProblemDocument {
  const document = json(answer, what) as Partial<ProblemDocument>;
  const { code, outcome, detail = '' } = document;
  if (typeof code !== 'string' || (outcome !== 'none' && outcome !== 'unknown')) {
    throw new ContractError(`${what}: ${answer.status} without a problem document: ${answer.body.toString()}`);
  }
  return { ...document, code, outcome, detail };
}

export function json(answer: NodeAnswer & { type: 'answer' }, what: string): unknown {
  try {
    return JSON.parse(answer.body.toString()) as unknown;
  } catch {
    throw new ContractError(`${what}: ${answer.status} with a body that is no JSON: ${answer.body.toString()}`);
  }
}

function revisionOf(answer: NodeAnswer & { type: 'answer' }): number {
  const [, digits] = /^"(\d+)"$/.exec(answer.headers.etag ?? '') ?? [];
  if (digits === undefined) throw new ContractError(`the ETag of a value is ${answer.headers.etag ?? 'missing'}`);
  return Number(digits);
}

function conditionHeaders(condition: Condition): Record<string, string> {
  if (condition.type === 'absent') return { 'if-none-match': '*' };
  return condition.type === 'revision' ? { 'if-match': `"${condition.revision}"` } : {};
}

/** The lab's keys need no escapes. */
function pathOf(key: string): string {
  return `/v1/kv/${key}?timeout=${SERVER_TIMEOUT_MS}ms`;
}
