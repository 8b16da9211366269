/** A node as far as the CLI can tell: it speaks the HTTP contract from a map, and fails on demand. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

interface Stored {
  value: Buffer;
  createRevision: number;
  modRevision: number;
  version: number;
  contentType: string;
}

export interface Seen {
  readonly method: string;
  /** As it came over the wire. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface FakeMember {
  readonly id: string;
  readonly name: string;
  role: 'voter' | 'learner' | 'agent';
  readonly address: string;
  readonly http: string | null;
  health: 'alive' | 'suspect' | 'unreachable';
  matchIndex: number | null;
}

export type Failure = (request: Seen, response: http.ServerResponse) => boolean;

export class FakeNode {
  readonly seen: Seen[] = [];
  /** By key, one character a byte. */
  readonly store = new Map<string, Stored>();
  revision = 1;
  name = 'n1';
  leader: string | null = 'n1';
  term = 3;
  /** Answers instead of the node when it returns true. */
  failure: Failure = () => false;
  pageSize = 100;
  members: FakeMember[] = [];
  readonly #server: http.Server;

  private constructor() {
    this.#server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const [path = '', search = ''] = (request.url ?? '').split('?');
        const { method = '', headers } = request;
        const seen = { method, path, query: new URLSearchParams(search), headers, body: Buffer.concat(chunks) };
        this.seen.push(seen);
        if (!this.failure(seen, response)) this.#answer(seen, response);
      });
    });
  }

  static async start(): Promise<FakeNode> {
    const node = new FakeNode();
    node.#server.listen(0, '127.0.0.1');
    await once(node.#server, 'listening');
    const common = { role: 'voter', matchIndex: null } as const;
    node.members = [
      { ...common, id: '101', name: 'n1', address: '10.0.0.1:7201', http: node.url, health: 'alive' },
      { ...common, id: '102', name: 'n2', address: '10.0.0.2:7201', http: 'http://127.0.0.1:1', health: 'unreachable' },
    ];
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  set(key: string, value: string | Uint8Array): void {
    const bytes = Buffer.from(key).toString('latin1');
    const old = this.store.get(bytes);
    this.revision++;
    this.store.set(bytes, {
      value: Buffer.from(value),
      createRevision: old?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (old?.version ?? 0) + 1,
      contentType: 'application/octet-stream',
    });
  }

  #answer(request: Seen, response: http.ServerResponse): void {
    const { method, path, query } = request;
    if (path === '/readyz') return json(response, this.leader === null ? 503 : 200, {});
    if (path === '/v1/cluster') return json(response, 200, this.#cluster());
    if (path === '/v1/cluster/tokens') return json(response, 201, { token: 'kvt1.abc', expiresMs: 1_800_000_000_000 });
    if (path.startsWith('/v1/cluster/members')) return this.#changeMembers(request, response);
    if (path === '/v1/kv')
      return method === 'DELETE' ? this.#deletePrefix(query, response) : this.#list(query, response);
    if (!path.startsWith('/v1/kv/')) return problem(response, 404, 'ERR_NOT_FOUND');
    const raw = path.slice('/v1/kv/'.length);
    const key =
      query.get('keyEncoding') === 'base64url'
        ? Buffer.from(raw, 'base64url').toString('latin1')
        : Buffer.from(decodeURIComponent(raw)).toString('latin1');
    const found = this.store.get(key);
    const failed = this.#conditionFails(request, found);
    if (failed) return problem(response, 412, 'ERR_CAS_FAILED', { current: found ? entry(key, found) : null });
    if (method === 'PUT') {
      this.set(Buffer.from(key, 'latin1').toString(), request.body);
      const stored = this.store.get(key);
      if (stored !== undefined) stored.contentType = request.headers['content-type'] ?? 'application/octet-stream';
      const prev = query.get('prev') === 'true' ? { prev: found ? entry(key, found) : null } : {};
      return json(response, 200, { revision: this.revision, created: found === undefined, ...prev });
    }
    if (method === 'DELETE') {
      if (this.store.delete(key)) this.revision++;
      return json(response, 200, { revision: this.revision, deleted: found === undefined ? 0 : 1 });
    }
    if (found === undefined) return problem(response, 404, 'ERR_KEY_NOT_FOUND');
    if (request.headers.accept === 'application/vnd.kvorum.entry+json') return json(response, 200, entry(key, found));
    response.writeHead(200, { 'content-type': found.contentType }).end(found.value);
  }

  #conditionFails({ headers }: Seen, found: Stored | undefined): boolean {
    const match = headers['if-match'];
    if (headers['if-none-match'] === '*' && found !== undefined) return true;
    if (match === undefined) return false;
    return found === undefined || (match !== '*' && match !== `"${found.modRevision}"`);
  }

  #deletePrefix(query: URLSearchParams, response: http.ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    if (prefix === '' && query.get('all') !== 'true') return problem(response, 400, 'ERR_INVALID_ARGUMENT');
    const gone = [...this.store.keys()].filter((key) => key.startsWith(prefix));
    for (const key of gone) this.store.delete(key);
    json(response, 200, { revision: ++this.revision, deleted: gone.length });
  }

  #list(query: URLSearchParams, response: http.ServerResponse): void {
    const prefix =
      query.get('keyEncoding') === 'base64url'
        ? Buffer.from(query.get('prefix') ?? '', 'base64url').toString('latin1')
        : Buffer.from(query.get('prefix') ?? '').toString('latin1');
    const keys = [...this.store.keys()].filter((key) => key.startsWith(prefix)).toSorted();
    const from = Number(query.get('cursor') ?? 0);
    const limit = Number(query.get('limit') ?? this.pageSize);
    const entries = keys.slice(from, from + limit).map((key) => {
      const found = entry(key, this.store.get(key) as Stored);
      if (query.get('keysOnly') !== 'true') return found;
      const { value: _, encoding: __, contentType: ___, ...rest } = found;
      return rest;
    });
    const nextCursor = from + limit < keys.length ? String(from + limit) : null;
    json(response, 200, { revision: this.revision, entries, count: keys.length, nextCursor });
  }

  #cluster(): object {
    const { name, leader, term, revision } = this;
    const members = this.members.map(({ address, ...member }) => ({
      ...{ ...member, peerId: member.name, addresses: [address] },
      ...{ pid: 1, appliedIndex: 7 },
    }));
    return { clusterId: 'c1', name, leader, term, revision, members };
  }

  #changeMembers({ method, path, body }: Seen, response: http.ServerResponse): void {
    const [id = '', what] = path.slice('/v1/cluster/members/'.length).split('/').map(decodeURIComponent);
    const given = (body.length === 0 ? {} : JSON.parse(body.toString())) as {
      name?: string;
      address?: string;
      by?: string;
    };
    const find = (wanted: string | undefined): FakeMember | undefined =>
      this.members.find((member) => member.id === wanted || member.name === wanted);
    const old = find(id);
    if (method === 'DELETE') {
      this.members = this.members.filter((member) => member !== old);
      return json(response, 200, { removed: old !== undefined });
    }
    if (what === undefined) {
      const { name = '', address = '' } = given;
      const added = {
        id: '103',
        name,
        address,
        role: 'learner',
        http: null,
        health: 'suspect',
        matchIndex: 5,
      } as const;
      this.members.push({ ...added });
      return json(response, 201, { id: added.id, name, role: added.role });
    }
    const changed = what === 'replace' ? find(given.by) : old;
    if (old === undefined || changed === undefined) return problem(response, 404, 'ERR_NOT_FOUND');
    if (what === 'replace') this.members = this.members.filter((member) => member !== old);
    changed.role = what === 'demote' ? 'learner' : 'voter';
    json(response, 200, { id: changed.id, name: changed.name, role: changed.role });
  }
}

export function json(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function problem(response: http.ServerResponse, status: number, code: string, more: object = {}): void {
  const outcome = code === 'ERR_TIMEOUT' ? 'unknown' : 'none';
  const body = { type: 'about:blank', title: code, status, detail: `detail of ${code}`, code, outcome, ...more };
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
}

function entry(key: string, { value, ...rest }: Stored): Record<string, unknown> {
  const bytes = Buffer.from(key, 'latin1');
  const text = bytes.toString();
  const isText = Buffer.from(text).equals(bytes);
  const valueText = value.toString();
  const valueIsText = Buffer.from(valueText).equals(value);
  return {
    ...(isText ? { key: text } : { key: bytes.toString('base64url'), keyEncoding: 'base64url' }),
    value: valueIsText ? valueText : value.toString('base64'),
    encoding: valueIsText ? 'utf8' : 'base64',
    lease: null,
    ...rest,
  };
}
