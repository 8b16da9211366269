/** The HTTP API as the tests call it: connections are kept, every status is an answer. */
import http from 'node:http';

import { pathOfKey } from '../../src/http/key-path.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The connection is given up after this long without an answer. Default 20 s. */
  readonly deadlineMs?: number;
}

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly outcome: 'none' | 'unknown';
  readonly retryable: boolean;
  readonly [more: string]: unknown;
}

export interface ClusterView {
  readonly clusterId: string;
  readonly name: string;
  readonly leader: string | null;
  readonly term: number;
  readonly revision: number;
  readonly members: readonly {
    readonly name: string;
    readonly role: string;
    readonly health: string;
    readonly appliedIndex: number | null;
  }[];
}

export interface Page {
  readonly revision: number;
  readonly entries: readonly { readonly key: string; readonly value?: string; readonly modRevision: number }[];
  readonly count: number;
  readonly nextCursor: string | null;
}

export class Api {
  readonly #base: () => string;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 512 });

  /** `base` is asked for each call: a node that comes back may have another port. */
  constructor(base: () => string) {
    this.#base = base;
  }

  /** Rejects only when there is no answer: refused, reset, or `deadlineMs` is over. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const url = new URL(this.#base());
    const query = new URLSearchParams(
      Object.entries(options.query ?? {}).map(([name, value]): [string, string] => [name, String(value)]),
    );
    const search = query.size === 0 ? '' : `${path.includes('?') ? '&' : '?'}${query.toString()}`;
    const body = typeof options.body === 'string' ? Buffer.from(options.body) : options.body;
    return await new Promise((resolve, reject) => {
      const outgoing = http.request(
        {
          host: url.hostname,
          port: url.port,
          method,
          path: path + search,
          agent: this.#agent,
          headers: { ...options.headers, ...(body === undefined ? {} : { 'content-length': body.byteLength }) },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) });
          });
        },
      );
      outgoing.setTimeout(options.deadlineMs ?? 20_000, () => outgoing.destroy(new Error('no answer')));
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  async put(key: string | Uint8Array, value: string | Uint8Array, options: CallOptions = {}): Promise<Answer> {
    return await this.call('PUT', pathOfKey(key), { ...options, body: value });
  }

  async get(key: string | Uint8Array, options: CallOptions = {}): Promise<Answer> {
    return await this.call('GET', pathOfKey(key), options);
  }

  async cluster(): Promise<ClusterView> {
    return json(await this.call('GET', '/v1/cluster', { deadlineMs: 5000 })) as ClusterView;
  }

  async ready(): Promise<boolean> {
    return (await this.call('GET', '/readyz', { deadlineMs: 5000 })).status === 200;
  }

  /** Every entry with the prefix, page by page, all of one revision. */
  async *list(prefix: string, query: CallOptions['query'] = {}): AsyncGenerator<Page['entries'][number]> {
    let cursor: string | null = null;
    do {
      const answer = await this.call('GET', '/v1/kv', {
        query: { prefix, limit: 1000, ...query, ...(cursor === null ? {} : { cursor }) },
      });
      if (answer.status !== 200) throw new Error(`list: ${answer.status} ${answer.body.toString()}`);
      const page = json(answer) as Page;
      yield* page.entries;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** One value of /metrics, of the group if it has one. */
  async metric(name: string): Promise<number> {
    const text = (await this.call('GET', '/metrics')).body.toString();
    const line = text
      .split('\n')
      .find((candidate) => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`));
    if (line === undefined) throw new Error(`there is no metric ${name}`);
    return Number(line.slice(line.lastIndexOf(' ') + 1));
  }

  close(): void {
    this.#agent.destroy();
  }
}

export function json(answer: Answer): unknown {
  return JSON.parse(answer.body.toString()) as unknown;
}

export function problem(answer: Answer): Problem {
  return json(answer) as Problem;
}
