/** The public client library, as applications use it, and what its errors say of the outcome. */
import { connect, KvorumError, type Client, type ConnectOptions, type Fetch } from '../../src/client/index.ts';
import type { NotDone } from './kv-client.ts';
import type { LabNode } from './types.ts';
import { ContractError } from './witness.ts';

/** What a call may end with though it was asked rightly. */
const EXCUSES: ReadonlySet<string> = new Set([
  ...['ERR_TIMEOUT', 'ERR_UNAVAILABLE', 'ERR_NO_LEADER', 'ERR_OVERLOADED', 'ERR_CLOSED', 'ERR_QUOTA'],
  ...['ERR_REQUEST_TIMEOUT', 'ERR_STORE_POISONED', 'ERR_CORRUPT', 'ERR_SESSION_EXPIRED'],
]);

export class LibraryClients {
  readonly #clients: readonly Client[];

  /** So many, each with sessions of its own; short ones end now and then while nobody can be reached. */
  constructor(nodes: readonly LabNode[], count: number, options: ConnectOptions = {}) {
    const urls = nodes.map(({ url }) => url);
    this.#clients = Array.from({ length: count }, (_, index) =>
      connect(urls, { sessionTtl: index % 2 === 0 ? '60s' : '5s', fetch: forgetful(), ...options }),
    );
  }

  /** Any number is of one of them. */
  of(number: number): Client {
    const client = this.#clients[number % this.#clients.length];
    if (client === undefined) throw new Error('unreachable: there is one at least');
    return client;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map(async (client) => await client.close()));
  }
}

/** Of so many writes, one is answered and the answer is lost: it has to be sent again though it was made. */
const LOSE_EVERY = 12;

function forgetful(): Fetch {
  let writes = 0;
  return async (url, init) => {
    const answer = await fetch(url, init);
    if (init?.method === undefined || init.method === 'GET' || ++writes % LOSE_EVERY !== 0) return answer;
    await answer.body?.cancel();
    throw new TypeError('the answer was lost');
  };
}

/** What a rejected call says of the outcome. Throws ContractError for an error that it may not end with. */
export function outcomeOf(error: unknown, what: string, signal: AbortSignal): NotDone {
  if (signal.aborted) return { type: 'unknown', error: 'the run is over' };
  if (!KvorumError.is(error)) throw error;
  if (!EXCUSES.has(error.code)) throw new ContractError(`${what}: ${error.code}: ${error.message}`);
  return { type: error.outcome === 'none' ? 'fail' : 'unknown', error: `client: ${error.code}` };
}
