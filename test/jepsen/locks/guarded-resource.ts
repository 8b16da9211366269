/**
 * What a lock protects: something outside of the cluster that is written to over HTTP, `PUT /NAME` with the headers
 * `Fencing-Token` and `Holder`. It takes a write only if its token is at least the highest that it has seen (Kleppmann, "How to
 * do distributed locking", 2016), and writes down all that was asked, in the order in which it came.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { callNode } from '../http-client.ts';

export interface GuardedWrite {
  readonly name: string;
  readonly token: number;
  readonly holder: string;
  readonly accepted: boolean;
}

export class GuardedResource {
  readonly writes: GuardedWrite[] = [];
  /** False: whoever comes may write, as where nobody thought of tokens. */
  readonly #checks: boolean;
  readonly #highest = new Map<string, number>();
  readonly #server: Server;

  private constructor(checks: boolean) {
    this.#checks = checks;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async open({ checks = true }: { readonly checks?: boolean } = {}): Promise<GuardedResource> {
    const resource = new GuardedResource(checks);
    await new Promise<void>((resolve) => resource.#server.listen(0, '127.0.0.1', resolve));
    resource.#server.unref();
    return resource;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** 200: taken. 409: the token is older than one that was seen. */
  write(name: string, token: number, holder: string): boolean {
    const highest = this.#highest.get(name) ?? 0;
    const accepted = !this.#checks || token >= highest;
    this.#highest.set(name, Math.max(highest, token));
    this.writes.push({ name, token, holder, accepted });
    return accepted;
  }

  /** What must not be in the record of what was taken: tokens that fall, sections that interleave, a token of two holders. */
  problems(): string[] {
    return problemsOf(this.writes);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const name = decodeURIComponent((request.url ?? '/').slice(1));
    const token = Number(request.headers['fencing-token']);
    const holder = String(request.headers['holder']);
    request.resume();
    request.on('end', () => {
      response.statusCode = Number.isSafeInteger(token) && this.write(name, token, holder) ? 200 : 409;
      response.end();
    });
  }
}

export function problemsOf(writes: readonly GuardedWrite[]): string[] {
  const problems: string[] = [];
  const last = new Map<string, GuardedWrite>();
  for (const write of writes) {
    if (!write.accepted) continue;
    const before = last.get(write.name);
    last.set(write.name, write);
    if (before === undefined || (before.token === write.token && before.holder === write.holder)) continue;
    if (write.token > before.token) continue;
    const both = `token ${write.token} of ${write.holder} after token ${before.token} of ${before.holder}`;
    problems.push(`${write.name} took a write with ${both}`);
  }
  return problems;
}

const DEADLINE_MS = 10_000;

/** A holder's write; null when nobody knows. */
export async function writeTo(url: string, name: string, token: number, holder: string): Promise<boolean | null> {
  const answer = await callNode(url, {
    method: 'PUT',
    path: `/${encodeURIComponent(name)}`,
    headers: { 'fencing-token': String(token), holder },
    deadlineMs: DEADLINE_MS,
  });
  if (answer.type !== 'answer') return null;
  return answer.status === 200;
}
