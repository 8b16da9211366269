/** Lists of the HTTP API that come in pages. */
import type { Connection, Request } from './client.ts';

/** All that stands under `field`: page after page, each with `next` of the one before as its `after`. */
export async function allPages<T>(
  connection: Connection,
  path: string,
  field: string,
  query: Request['query'] = {},
): Promise<readonly T[]> {
  const { callJson } = await import('./client.ts');
  const all: T[] = [];
  for (let after: string | null | undefined; after !== null;) {
    const page = (await callJson(connection, { method: 'GET', path, query: { ...query, after } })) as {
      readonly next: string | null;
    } & Readonly<Record<string, readonly T[]>>;
    all.push(...page[field]!);
    after = page.next;
  }
  return all;
}
