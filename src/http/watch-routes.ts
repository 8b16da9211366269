/** Watches as server-sent events: /v1/watch. */
import { Buffer } from 'node:buffer';

import { KvorumError } from '../errors.ts';
import type { Watch, WatchBatch, WatchEvent, WatchOptions } from '../node/coordination.ts';
import { callOptions } from './call.ts';
import type { Open } from './call.ts';
import { entryJson } from './entry-json.ts';
import type { EventSource } from './event-stream.ts';
import type { Exchange } from './exchange.ts';
import { keyOfOption } from './key-path.ts';
import { flag, integer, invalidOption, oneOf, text, TIMEOUT } from './query.ts';
import { READS } from './route.ts';
import type { Route } from './route.ts';

const QUERY = {
  key: text('Only this key'),
  prefix: text('Only keys that begin so'),
  start: text('Only keys from this one on'),
  end: text('Only keys before this one'),
  from: integer('First revision wanted. Default: what comes next', 1, Number.MAX_SAFE_INTEGER),
  prev: flag('With each event the entry that was there before, null for none'),
  filter: oneOf('Only puts, or only deletions', ['put', 'delete']),
  keyEncoding: oneOf('How key, prefix, start and end are written', ['utf8', 'base64url']),
  timeout: TIMEOUT,
};

function watchKeys(exchange: Exchange): void {
  const query = exchange.query(QUERY);
  const { from, prev, filter, keyEncoding, timeout } = query;
  const options: Open<WatchOptions> = callOptions(exchange, timeout);
  const given = (['key', 'prefix', 'start', 'end'] as const).filter((name) => (query[name] ?? '') !== '');
  for (const name of given) options[name] = keyOfOption(query[name]!, keyEncoding);
  if (given.length > 1 && given[0] !== 'start') throw invalidOption(given[0]!, `excludes "${given[1]!}"`);
  if (from !== undefined) options.from = from;
  if (prev === true) options.prev = true;
  if (filter !== undefined) options.filter = filter;
  const { group } = exchange.service.node.head();
  const last = exchange.request.headers['last-event-id'];
  if (typeof last === 'string' && last !== '') options.from = revisionOf(last, group) + 1;
  const refused = exchange.service.streamRefusal();
  if (refused !== null) throw refused;
  exchange.settle(exchange.service.node.watch(options), (self, watch) => self.stream(new WatchSource(watch, group)));
}

// --- positions ---------------------------------------------------------------------------------------------------

const POSITION = /^(\d{1,10})\.(\d{1,15})$/u;

/** Everything up to and with this revision was told. Opaque to clients, so that it can say more one day. */
function positionOf(group: number, revision: number): string {
  return Buffer.from(`${group}.${revision}`, 'latin1').toString('base64url');
}

function revisionOf(position: string, group: number): number {
  const match = POSITION.exec(Buffer.from(position, 'base64url').toString('latin1'));
  if (match === null || Number(match[1]) !== group || positionOf(group, Number(match[2])) !== position) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'Last-Event-ID is not an id that a watch has given', {
      details: { header: 'last-event-id' },
    });
  }
  return Number(match[2]);
}

// --- events ------------------------------------------------------------------------------------------------------

const MAX_CACHED_BYTES = 8 * 1024 * 1024;
const MAX_CACHED_BATCHES = 4096;

/**
 * Batches as they were written, for all watchers to whom the node gives the same object: a thousand of them cost one
 * piece of JSON a revision. First in, first out, up to so many bytes; batches come in order, so what is old is not asked for again soon.
 */
class FrameCache {
  readonly #frames = new Map<WatchBatch, Buffer>();
  #bytes = 0;

  frameOf(batch: WatchBatch, group: number): Buffer {
    const known = this.#frames.get(batch);
    if (known !== undefined) return known;
    const { revision, events } = batch;
    const frame = Buffer.from(
      `id: ${positionOf(group, revision)}\ndata: {"revision":${revision},"events":[${events.map(eventJson).join(',')}]}\n\n`,
    );
    this.#frames.set(batch, frame);
    this.#bytes += frame.length;
    for (const [oldest, { length }] of this.#frames) {
      const fits = this.#bytes <= MAX_CACHED_BYTES && this.#frames.size <= MAX_CACHED_BATCHES;
      if (fits || oldest === batch) break;
      this.#frames.delete(oldest);
      this.#bytes -= length;
    }
    return frame;
  }
}

const frames = new FrameCache();

function eventJson({ type, entry, prev }: WatchEvent): string {
  const before = prev === undefined ? '' : `,"prev":${prev === null ? 'null' : entryJson(prev)}`;
  return `{"type":"${type}",${entryJson(entry).slice(1, -1)}${before}}`;
}

function progressFrame(revision: number, group: number): Buffer {
  return Buffer.from(`event: progress\nid: ${positionOf(group, revision)}\ndata: {"revision":${revision}}\n\n`);
}

class WatchSource implements EventSource {
  readonly #watch: Watch;
  readonly #group: number;
  /** The last revision that was told, -1 before the stream began. */
  #told = -1;

  constructor(watch: Watch, group: number) {
    this.#watch = watch;
    this.#group = group;
  }

  take(): Buffer | null {
    // A client can come back to where it began even if nothing happens until then.
    if (this.#told === -1) return this.#progress(this.#watch.position - 1);
    const batch = this.#watch.poll();
    if (batch === null) return null;
    if (batch.events.length === 0) return this.#progress(batch.revision);
    this.#told = batch.revision;
    return frames.frameOf(batch, this.#group);
  }

  rest(wake: () => void): void {
    this.#watch.changed(wake);
  }

  /** A watch that sees little moves on all the same: otherwise its client would come back to what is compacted by then. */
  beat(): Buffer | null {
    const revision = this.#watch.position - 1;
    return revision > this.#told ? this.#progress(revision) : null;
  }

  close(): void {
    this.#watch.close();
  }

  #progress(revision: number): Buffer {
    this.#told = revision;
    return progressFrame(revision, this.#group);
  }
}

export const WATCH_ROUTES: readonly Route[] = [
  {
    ...READS,
    operationId: 'watchKeys',
    method: 'GET',
    path: '/v1/watch',
    tag: 'watches',
    summary: 'Watch keys',
    description:
      'Server-sent events: whatever changes, revision by revision, in order, each once. The id of an event is a position, ' +
      'with which any node goes on (Last-Event-ID). A progress event tells the position where the stream begins, and how ' +
      'far it is when there is nothing to tell. A comment comes every 10 s. What ends the stream is told by an error ' +
      'event, with the problem.',
    query: QUERY,
    headers: { 'Last-Event-ID': 'id of the last event that came: go on after it; overrides from' },
    answers: {
      200: {
        description: 'Events until either side ends it',
        content: [{ type: 'text/event-stream', schema: 'WatchEvents' }],
      },
    },
    errors: ['ERR_BAD_KEY', 'ERR_COMPACTED', 'ERR_TOO_LARGE'],
    handle: watchKeys,
  },
];
