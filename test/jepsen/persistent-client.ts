/**
 * Clients that want to know what became of a write: they send the same request with the same Idempotency-Key to one node
 * after the other until an answer is definite, and nobody may do it twice.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { callNode, type NodeAnswer } from './http-client.ts';
import { CLIENT_DEADLINE_MS, EXCUSES, json, notDone, problemOf, SERVER_TIMEOUT_MS, type NotDone } from './kv-client.ts';
import type { LabNode } from './types.ts';

export interface Request {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST';
  /** Encoded. */
  readonly path: string;
  /** Default none: a JSON body. */
  readonly json?: unknown;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Codes of errors that are an answer. */
  readonly answers?: readonly string[];
  /** The node may take so much longer: it stands in a queue there. */
  readonly waitMs?: number;
}

/** `code`: of an error that is an answer; null for success. */
export interface Told {
  readonly type: 'told';
  readonly code: string | null;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const GIVE_UP_MS = 15_000;
const BETWEEN_MS = 150;
/** Of so many writes, one is answered and the answer is lost: it has to be sent again though it was made. */
const LOSE_EVERY = 12;

/** Of all clients of this process. */
let keys = 0;

export class PersistentClient {
  /** Answers that were kept from an earlier request. */
  replays = 0;
  /** Requests that were sent once more, because nobody knew what had become of them. */
  retries = 0;
  readonly #nodes: readonly LabNode[];

  constructor(nodes: readonly LabNode[]) {
    this.#nodes = nodes;
  }

  /** One attempt. Throws ContractError. */
  async ask(target: LabNode, request: Request, signal: AbortSignal): Promise<Told | NotDone> {
    const answer = await send(target, request, {}, signal);
    return told(answer, request);
  }

  /** A write, sent until it is known what became of it, or until it has taken too long. Now and then an answer is lost. */
  async insist(first: LabNode, request: Request, signal: AbortSignal): Promise<Told | NotDone> {
    const number = ++keys;
    const header = { 'idempotency-key': `lab-${process.pid}-${number}` };
    let isLost = number % LOSE_EVERY === 0;
    const giveUpAt = performance.now() + GIVE_UP_MS + (request.waitMs ?? 0);
    let unknown: NotDone | null = null;
    for (let turn = this.#nodes.indexOf(first); ; turn++) {
      const target = this.#nodes[turn % this.#nodes.length] ?? first;
      const answer = await send(target, request, header, signal);
      const result = isLost ? LOST : told(answer, request);
      isLost = false;
      if (result.type === 'told') {
        if (result.headers['idempotency-replayed'] === 'true') this.replays++;
        return result;
      }
      // A refusal says nothing of what was sent before.
      if (result.type === 'unknown') unknown = result;
      if (performance.now() > giveUpAt || signal.aborted) return unknown ?? result;
      this.retries++;
      await delay(BETWEEN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

const LOST: NotDone = { type: 'unknown', error: 'the answer was lost' };

async function send(
  target: LabNode,
  request: Request,
  more: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<NodeAnswer> {
  const { method, path, json: value, text, headers = {}, waitMs = 0 } = request;
  const body = value === undefined ? text : JSON.stringify(value);
  const type = value === undefined ? (text === undefined ? null : 'text/plain') : 'application/json';
  return await callNode(target.url, {
    method,
    path: `${path}${path.includes('?') ? '&' : '?'}timeout=${SERVER_TIMEOUT_MS}ms`,
    headers: { ...(type === null ? {} : { 'content-type': type }), ...headers, ...more },
    ...(body === undefined ? {} : { body }),
    ...{ deadlineMs: CLIENT_DEADLINE_MS + waitMs, signal },
  });
}

function told(answer: NodeAnswer, { method, path, answers = [] }: Request): Told | NotDone {
  const what = `${method} ${path}`;
  if (answer.type !== 'answer') return notDone(answer, what);
  const { status, headers } = answer;
  if (status === 200 || status === 201) {
    const isJson = headers['content-type']?.startsWith('application/json') === true;
    const body = (isJson ? json(answer, what) : {}) as Told['body'];
    return { type: 'told', code: null, body, headers };
  }
  const problem = problemOf(answer, what);
  if (!EXCUSES.has(problem.code) && answers.includes(problem.code)) {
    return { type: 'told', code: problem.code, body: problem as unknown as Told['body'], headers };
  }
  return notDone(answer, what);
}
