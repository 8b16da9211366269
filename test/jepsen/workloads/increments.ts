/**
 * Increments that are sent again after every unknown outcome, to other nodes, until an answer is definite: by the client
 * library, whose sessions number its writes, and by clients that send an Idempotency-Key. Each carries an id that nobody
 * else has, so that one that was made twice shows, and is not taken for one that got no answer.
 *
 * A key is one of three kinds, by its number: a counter; a list of ids in a key, put under `If-Match`; the same by transactions.
 */
import { KvorumError, modRevision, put, get, type Client } from '../../../src/client/index.ts';
import type { Operation } from '../../../src/checker/index.ts';
import type { KvClient, NotDone } from '../kv-client.ts';
import { LibraryClients, outcomeOf } from '../library-clients.ts';
import { PersistentClient, type Request } from '../persistent-client.ts';
import type { Invocation, LabNode, Outcome, Workload } from '../types.ts';
import { once, tallyOf } from './once-model.ts';

const LIBRARY_CLIENTS = 6;
const MAX_TRIES = 8;
/** So many bits that the sum of some is hardly ever the sum of others. */
const MAX_AMOUNT = 2 ** 28;

type Kind = 'counter' | 'put' | 'txn';

/** The list, and the revision of its key; 0 for none. */
interface Ids {
  readonly ids: readonly string[];
  readonly revision: number;
}

type Tried = { readonly type: 'written'; readonly revision: number } | { readonly type: 'refused'; readonly now: Ids };

/** Adds an id where the list is still that of the revision. */
type Try = (key: string, before: Ids, id: string) => Promise<Tried | NotDone>;

export function increments(client: KvClient): Workload {
  return new Increments(client);
}

class Increments implements Workload {
  readonly name = 'increments';
  readonly about = 'increments sent again after every unknown outcome, by sessions of the client library and by keys';
  readonly model = once;
  readonly operationsPerKey = 120;
  readonly keysAtOnce = 6;
  readonly #client: KvClient;
  readonly #amounts = new Set<number>();
  #ids = 0;
  #library: LibraryClients | null = null;
  #persistent: PersistentClient | null = null;

  constructor(client: KvClient) {
    this.#client = client;
  }

  open(nodes: readonly LabNode[]): void {
    this.#library = new LibraryClients(nodes, LIBRARY_CLIENTS);
    this.#persistent = new PersistentClient(nodes);
  }

  next: Workload['next'] = (chance, _, key) => {
    if (chance.chance(0.2)) return { op: 'read', key, input: null };
    const id = ++this.#ids;
    if (kindOf(key) !== 'counter') return { op: 'append', key, input: `${chance.chance(0.5) ? 'L' : 'K'}${id}` };
    let amount: number;
    do amount = chance.between(1, MAX_AMOUNT);
    while (this.#amounts.has(amount));
    this.#amounts.add(amount);
    return { op: 'add', key, input: amount };
  };

  final = (key: string): Invocation => ({ op: 'read', key, input: null });

  async perform({ op, key, input }: Invocation, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    switch (op) {
      case 'read':
        return kindOf(key) === 'counter'
          ? await this.#readCounter(key, target, signal)
          : await this.#readIds(key, target, signal);
      case 'add':
        return await this.#add(key, Number(input), target, signal);
      case 'append':
        return await this.#append(key, String(input), target, signal);
      default:
        throw new Error(`this workload has no ${op}`);
    }
  }

  figures(operations: readonly Operation[]): string {
    const byKey = new Map<string, Operation[]>();
    for (const operation of operations) {
      const those = byKey.get(operation.key);
      if (those === undefined) byKey.set(operation.key, [operation]);
      else those.push(operation);
    }
    const sum = { acknowledged: 0, unknown: 0, made: 0 };
    for (const one of byKey.values()) {
      const { acknowledged, unknown, made } = tallyOf(one);
      sum.acknowledged += acknowledged;
      sum.unknown += unknown;
      sum.made += made ?? 0;
    }
    const { replays = 0, retries = 0 } = this.#persistent ?? {};
    return (
      `${sum.acknowledged} increments acknowledged, ${sum.unknown} unknown, of which ${sum.made} were made; counters are ` +
      `${sum.acknowledged + sum.made} in all. Keyed requests sent again: ${retries}, answered from what was kept: ${replays}`
    );
  }

  async close(): Promise<void> {
    await this.#library?.close();
  }

  async #readCounter(key: string, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    const result = await this.#insistent.ask(target, { method: 'GET', path: counterPath(key) }, signal);
    return result.type === 'told'
      ? { type: 'ok', output: result.body['value'] }
      : { type: 'fail', error: result.error };
  }

  async #readIds(key: string, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    const read = await this.#client.get(target, key, signal);
    return read.type === 'read' ? { type: 'ok', output: idsOf(read.entry).ids } : read;
  }

  async #add(key: string, amount: number, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    if (amount % 2 === 0) {
      const request = { method: 'POST', path: `${counterPath(key)}/add`, json: { delta: amount } } as const;
      const result = await this.#insistent.insist(target, request, signal);
      return result.type === 'told' ? { type: 'ok', output: result.body['value'] } : result;
    }
    try {
      const value = await this.#libraryClient(amount).counter(key).add(amount, { signal });
      return { type: 'ok', output: value };
    } catch (error) {
      return outcomeOf(error, `add to ${key}`, signal);
    }
  }

  async #append(key: string, id: string, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    const read = await this.#client.get(target, key, signal);
    if (read.type !== 'read') return read;
    const attempt = id.startsWith('L') ? this.#byLibrary(id, signal) : this.#byKey(kindOf(key), target, signal);
    let before = idsOf(read.entry);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const tried = await attempt(key, before, id);
      if (tried.type === 'written') {
        this.#client.witness.wrote(key, tried.revision, textOf([...before.ids, id]));
        return { type: 'ok', output: null };
      }
      if (tried.type !== 'refused') return tried;
      if (tried.now.revision === before.revision)
        throw new Error(`${key}: refused, though ${before.revision} is there`);
      // Refused for certain: it was not made, so what comes next is another request.
      before = tried.now;
    }
    return { type: 'fail', error: 'others were faster' };
  }

  #byLibrary(id: string, signal: AbortSignal): Try {
    const library = this.#libraryClient(Number(id.slice(1)));
    return async (key, before, added) => {
      const text = textOf([...before.ids, added]);
      try {
        return kindOf(key) === 'txn'
          ? await txnByLibrary(library, key, before, text, signal)
          : await putByLibrary(library, key, before, text, signal);
      } catch (error) {
        return outcomeOf(error, `append to ${key}`, signal);
      }
    };
  }

  #byKey(kind: Kind, target: LabNode, signal: AbortSignal): Try {
    return async (key, before, added) => {
      const text = textOf([...before.ids, added]);
      if (kind === 'txn') {
        const request: Request = {
          method: 'POST',
          path: '/v1/txn',
          json: {
            if: [{ key, target: 'modRevision', op: '=', value: before.revision }],
            then: [{ put: { key, value: text } }],
            else: [{ get: { key } }],
          },
        };
        const result = await this.#insistent.insist(target, request, signal);
        if (result.type !== 'told') return result;
        const { succeeded, revision, responses } = result.body as unknown as TxnAnswer;
        if (succeeded) return { type: 'written', revision };
        return { type: 'refused', now: idsOf(entryOf(responses[0]?.get ?? null)) };
      }
      const condition: Record<string, string> =
        before.revision === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${before.revision}"` };
      const result = await this.#insistent.insist(
        target,
        { method: 'PUT', path: `/v1/kv/${key}`, text, headers: condition, answers: ['ERR_CAS_FAILED'] },
        signal,
      );
      if (result.type !== 'told') return result;
      if (result.code === null) return { type: 'written', revision: Number(result.body['revision']) };
      return { type: 'refused', now: idsOf(entryOf(result.body['current'] as JsonEntry | null)) };
    };
  }

  #libraryClient(number: number): Client {
    if (this.#library === null) throw new Error('unreachable: the workload was opened');
    return this.#library.of(number >> 1);
  }

  get #insistent(): PersistentClient {
    if (this.#persistent === null) throw new Error('unreachable: the workload was opened');
    return this.#persistent;
  }
}

interface JsonEntry {
  readonly value: string;
  readonly modRevision: number;
}

interface TxnAnswer {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly responses: readonly { readonly get?: JsonEntry | null }[];
}

async function putByLibrary(
  library: Client,
  key: string,
  { revision }: Ids,
  text: string,
  signal: AbortSignal,
): Promise<Tried> {
  try {
    const condition = revision === 0 ? ('absent' as const) : revision;
    const written = await library.put(key, text, { condition, contentType: 'text/plain', signal });
    return { type: 'written', revision: written.revision };
  } catch (error) {
    if (!KvorumError.is(error, 'ERR_CAS_FAILED')) throw error;
    return { type: 'refused', now: idsOf(entryOf(error.details['current'] as JsonEntry | null)) };
  }
}

async function txnByLibrary(
  library: Client,
  key: string,
  { revision }: Ids,
  text: string,
  signal: AbortSignal,
): Promise<Tried> {
  const result = await library.txn(
    { if: [modRevision(key).is(revision)], then: [put(key, text)], else: [get(key)] },
    { signal },
  );
  if (result.succeeded) return { type: 'written', revision: result.revision };
  return { type: 'refused', now: idsOf(entryOf(result.responses[0].entry)) };
}

function kindOf(key: string): Kind {
  const kinds = ['counter', 'put', 'txn'] as const;
  return kinds[Number(key.slice(key.lastIndexOf('/') + 1)) % kinds.length] ?? 'counter';
}

function counterPath(key: string): string {
  return `/v1/counters/${encodeURIComponent(key)}`;
}

function entryOf(entry: JsonEntry | null): { readonly value: string; readonly revision: number } | null {
  return entry === null ? null : { value: entry.value, revision: entry.modRevision };
}

function idsOf(entry: { readonly value: string; readonly revision: number } | null): Ids {
  if (entry === null) return { ids: [], revision: 0 };
  return { ids: entry.value.split(' '), revision: entry.revision };
}

function textOf(ids: readonly string[]): string {
  return ids.join(' ');
}
