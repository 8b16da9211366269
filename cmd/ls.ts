/** `kvorum ls [PREFIX]` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, KEY_ENCODING_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { READ_OPTIONS } from './get.ts';
import { option, type Options } from './options.ts';
import type { JsonEntry } from './output.ts';
import { flag, integer, text } from './parse.ts';

const OPTIONS = {
  all: option({
    flags: '--all',
    description: 'every key, page after page, all of one revision',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  limit: option({
    flags: '--limit <n>',
    description: 'most keys to show (with --all: keys a request)',
    parse: integer(1, 1000),
    fallback: undefined,
    shown: '100',
    callOnly: true,
  }),
  keysOnly: option({
    flags: '--keys-only',
    description: 'no values',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  cursor: option({
    flags: '--cursor <cursor>',
    description: 'go on where the list before stopped (nextCursor of -o json)',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  ...READ_OPTIONS,
  ...KEY_ENCODING_OPTION,
  ...CLIENT_OPTIONS,
} satisfies Options;

interface Page {
  readonly revision: number;
  readonly entries: readonly JsonEntry[];
  readonly count: number;
  readonly nextCursor: string | null;
}

export const ls: CommandDeclaration<typeof OPTIONS> = {
  name: 'ls',
  summary: 'list keys',
  description: "List keys and values in the order of the keys' bytes: a line each, a tab between key and value.",
  args: [['[PREFIX]', 'only keys that begin with this']],
  options: OPTIONS,
  examples: [
    ['kvorum ls', 'the first 100 keys'],
    ['kvorum ls config/ --keys-only', 'keys with a prefix'],
    ['kvorum ls --all -o json', 'everything, as one JSON document'],
  ],
  notes: 'Lines escape control characters and show bytes that are not text by their number; programs use -o json.',
  run: async ({ args: [prefix = ''], values }) => {
    if (values.all && values.cursor !== undefined) throw new UsageError('give --all or --cursor, not both');
    const { encodePrefix } = await import('./keys.ts');
    const { call, jsonOf } = await import('./client.ts');
    const { printableKey, printableValue, write, writeJson } = await import('./output.ts');
    const connection = connectionOf(values);
    const range = prefix === '' ? null : encodePrefix(prefix, values.keyEncoding);
    const json = values.output === 'json';
    const page = async (cursor: string | undefined): Promise<Page> =>
      jsonOf(
        await call(connection, {
          method: 'GET',
          path: '/v1/kv',
          query: {
            prefix: range?.prefix,
            keyEncoding: range === null || range.keyEncoding === 'utf8' ? undefined : range.keyEncoding,
            limit: values.limit,
            keysOnly: values.keysOnly ? true : undefined,
            revision: values.revision,
            consistency: values.consistency === 'stale' ? 'stale' : undefined,
            cursor,
          },
        }),
      ) as Page;
    const lines = (entries: readonly JsonEntry[]): string =>
      entries.map((entry) => printableKey(entry) + (values.keysOnly ? '\n' : `\t${printableValue(entry)}\n`)).join('');

    let current = await page(values.cursor);
    if (!values.all) {
      if (json) {
        await writeJson(current);
      } else {
        await write(lines(current.entries));
        if (current.nextCursor !== null) {
          console.error(`${current.entries.length} of ${current.count} keys; --all shows every one`);
        }
      }
      return EXIT.ok;
    }
    // One page in memory at a time, however many there are; with json, one document all the same.
    if (json) await write(`{"revision":${current.revision},"count":${current.count},"entries":[`);
    for (let first = true; ; first = false) {
      if (json) {
        const joined = current.entries.map((entry) => JSON.stringify(entry)).join(',');
        await write(first || joined === '' ? joined : `,${joined}`);
      } else {
        await write(lines(current.entries));
      }
      if (current.nextCursor === null) break;
      current = await page(current.nextCursor);
    }
    if (json) await write('],"nextCursor":null}\n');
    return EXIT.ok;
  },
};
