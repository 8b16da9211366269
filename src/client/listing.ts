/** Lists of more than a page: all of one revision, or begun again. */
import { KvorumError } from '../errors.ts';
import type {
  ClientTransport,
  Consistency,
  Key,
  KeySpan,
  ListAnswer,
  RawEntry,
  RawKeyEntry,
  WatchRequest,
} from './api.ts';
import { keyAfter } from './bytes.ts';
import type { RunOptions } from './caller.ts';
import type { Core } from './core.ts';

const MAX_LISTS = 5;
const PAGE = 1000;

/** A list whose revision was compacted before its last page came is begun again, five times at most. */
export async function listedAnew<T>(list: () => Promise<T>): Promise<T> {
  for (let lists = 1; ; lists++) {
    try {
      return await list();
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_COMPACTED') || lists === MAX_LISTS) throw error;
    }
  }
}

/** Everything there is now, in one revision. */
export async function listAll(
  core: Core,
  span: WatchRequest['span'],
  run: RunOptions,
  consistency?: Consistency,
): Promise<{ readonly revision: number; readonly entries: readonly (RawEntry | RawKeyEntry)[] }> {
  return listedAnew(async () => {
    const entries: (RawEntry | RawKeyEntry)[] = [];
    let revision = 0;
    for await (const page of listPages(core, span, run, consistency)) {
      ({ revision } = page);
      for (const entry of page.entries) entries.push(entry);
    }
    return { revision, entries };
  });
}

/** All pages of what is there now, of one revision. */
export async function* listPages(
  core: Core,
  span: WatchRequest['span'],
  run: RunOptions,
  consistency?: Consistency,
): AsyncGenerator<ListAnswer, undefined> {
  const bounds = listBounds(span);
  let cursor: string | undefined;
  for (;;) {
    const request = { ...bounds, limit: PAGE, cursor, consistency };
    const page = await core.caller.run('read', run, (transport: ClientTransport, attempt) =>
      transport.list(request, attempt),
    );
    yield page;
    if (page.nextCursor === null) return undefined;
    cursor = page.nextCursor;
  }
}

function listBounds(span: { readonly key: Key } | KeySpan): {
  readonly prefix?: Key;
  readonly start?: Key;
  readonly end?: Key;
} {
  if ('key' in span) return { start: span.key, end: keyAfter(span.key) };
  if ('prefix' in span) return span.prefix.length === 0 ? {} : { prefix: span.prefix };
  return span.end === null ? { start: span.start } : { start: span.start, end: span.end };
}
