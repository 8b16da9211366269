/**
 * Transactions that append to lists and read them, several keys at a time. A list is the value of a key. What is appended to is
 * read first, and the transaction is made under the condition that none of it has changed since; a lost race is tried again with
 * what the transaction itself saw. What is only read is read in the transaction. Half of them by the client library.
 */
import { get, modRevision, put, type Client } from '../../../src/client/index.ts';
import type { Operation } from '../../../src/checker/index.ts';
import { type KvClient, type NotDone } from '../kv-client.ts';
import { LibraryClients, outcomeOf } from '../library-clients.ts';
import { PersistentClient } from '../persistent-client.ts';
import type { Chance, Invocation, LabNode, Outcome, Workload } from '../types.ts';
import { ContractError } from '../witness.ts';

const LIBRARY_CLIENTS = 4;
const MAX_TRIES = 6;
const MEMBERS = ['a', 'b', 'c', 'd', 'e'] as const;
const MAX_STEPS = 4;

type Step =
  | readonly ['append', key: string, element: number]
  | readonly ['r', key: string, list: readonly number[] | null];

interface List {
  readonly elements: readonly number[];
  readonly revision: number;
}

interface Seen {
  readonly succeeded: boolean;
  readonly revision: number;
  /** Of the steps that read, in their order. */
  readonly lists: readonly List[];
}

export function txn(client: KvClient): Workload {
  return new Transactions(client);
}

class Transactions implements Workload {
  readonly name = 'txn';
  readonly about = 'transactions that append to lists and read them, up to four keys at once';
  readonly model = 'txn';
  readonly operationsPerKey = 150;
  readonly keysAtOnce = 3;
  readonly #client: KvClient;
  #elements = 0;
  #calls = 0;
  #races = 0;
  #library: LibraryClients | null = null;
  #persistent: PersistentClient | null = null;

  constructor(client: KvClient) {
    this.#client = client;
  }

  open(nodes: readonly LabNode[]): void {
    this.#library = new LibraryClients(nodes, LIBRARY_CLIENTS);
    this.#persistent = new PersistentClient(nodes);
  }

  next: Workload['next'] = (chance, _, key) => ({ op: 'txn', key, input: this.#steps(chance, key) });

  final = (key: string): Invocation => {
    return { op: 'txn', key, input: MEMBERS.map((member): Step => ['r', `${key}/${member}`, null]) };
  };

  async perform({ input }: Invocation, target: LabNode, signal: AbortSignal): Promise<Outcome> {
    const steps = input as readonly Step[];
    const changed = steps.filter(([kind]) => kind === 'append').map(([, key]) => key);
    const before = new Map<string, List>();
    for (const key of changed) {
      const read = await this.#client.get(target, key, signal);
      if (read.type !== 'read') return read;
      before.set(key, read.entry === null ? NONE : listOf(read.entry.value, read.entry.revision));
    }
    const byLibrary = ++this.#calls % 2 === 0;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const seen = byLibrary
        ? await this.#byLibrary(steps, before, signal)
        : await this.#byHttp(steps, before, target, signal);
      if ('type' in seen) return seen;
      if (seen.succeeded) return { type: 'ok', output: outputOf(steps, seen) };
      this.#races++;
      changed.forEach((key, index) => before.set(key, seen.lists[index] ?? NONE));
    }
    return { type: 'fail', error: 'others were faster' };
  }

  figures(operations: readonly Operation[]): string {
    const steps = operations.flatMap(({ input }) => input as readonly Step[]);
    const appends = steps.filter(([kind]) => kind === 'append').length;
    return `${appends} appends and ${steps.length - appends} reads in ${operations.length} transactions, ${this.#races} lost races`;
  }

  async close(): Promise<void> {
    await this.#library?.close();
  }

  #steps(chance: Chance, group: string): Step[] {
    const members = [...MEMBERS];
    const count = chance.between(1, MAX_STEPS);
    return Array.from({ length: count }, (): Step => {
      // No key twice: a transaction writes each key once.
      const [member = ''] = members.splice(chance.between(0, members.length - 1), 1);
      const key = `${group}/${member}`;
      return chance.chance(0.5) ? ['append', key, ++this.#elements] : ['r', key, null];
    });
  }

  async #byHttp(
    steps: readonly Step[],
    before: ReadonlyMap<string, List>,
    target: LabNode,
    signal: AbortSignal,
  ): Promise<Seen | NotDone> {
    const json = {
      if: [...before].map(([key, { revision }]) => ({ key, target: 'modRevision', op: '=', value: revision })),
      then: steps.map(([kind, key, element]) =>
        kind === 'append' ? { put: { key, value: grown(before, key, element) } } : { get: { key } },
      ),
      else: [...before.keys()].map((key) => ({ get: { key } })),
    };
    if (this.#persistent === null) throw new Error('unreachable: the workload was opened');
    // Without a key: what has no answer stays unknown, and may come into force later.
    const result = await this.#persistent.ask(target, { method: 'POST', path: '/v1/txn', json }, signal);
    if (result.type !== 'told') return result;
    const { succeeded, revision, responses } = result.body as unknown as JsonAnswer;
    const lists = responses.flatMap((response) => {
      if (!('get' in response)) return [];
      const entry = response.get;
      return [entry === null ? NONE : listOf(entry.value, entry.modRevision)];
    });
    return { succeeded, revision, lists };
  }

  async #byLibrary(
    steps: readonly Step[],
    before: ReadonlyMap<string, List>,
    signal: AbortSignal,
  ): Promise<Seen | NotDone> {
    const library: Client | undefined = this.#library?.of(this.#calls >> 1);
    if (library === undefined) throw new Error('unreachable: the workload was opened');
    try {
      const { succeeded, revision, responses } = await library.txn(
        {
          if: [...before].map(([key, list]) => modRevision(key).is(list.revision)),
          then: steps.map(([kind, key, element]) =>
            kind === 'append' ? put(key, grown(before, key, element)) : get(key),
          ),
          else: [...before.keys()].map((key) => get(key)),
        },
        { signal },
      );
      const lists = responses.flatMap((response) => {
        if (response.type !== 'get') return [];
        return [response.entry === null ? NONE : listOf(response.entry.value, response.entry.modRevision)];
      });
      return { succeeded, revision, lists };
    } catch (error) {
      return outcomeOf(error, 'a transaction', signal);
    }
  }
}

interface JsonAnswer {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly responses: readonly (
    | { readonly get: { readonly value: string; readonly modRevision: number } | null }
    | { readonly put: object }
  )[];
}

const NONE: List = { elements: [], revision: 0 };

function listOf(text: string, revision: number): List {
  return { elements: text.split(' ').map(Number), revision };
}

function grown(before: ReadonlyMap<string, List>, key: string, element: number | readonly number[] | null): string {
  return [...(before.get(key)?.elements ?? []), element].join(' ');
}

/** What was read in place of null. */
function outputOf(steps: readonly Step[], { lists }: Seen): Step[] {
  let at = 0;
  return steps.map((step): Step => {
    if (step[0] === 'append') return step;
    const list = lists[at++];
    if (list === undefined) throw new ContractError('a transaction answered fewer reads than it had');
    return ['r', step[1], list.revision === 0 ? null : list.elements];
  });
}
