/** `kvorum del KEY`, `kvorum del --prefix P` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, KEY_ENCODING_OPTION, ONCE_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { option, type Options } from './options.ts';
import type { JsonEntry } from './output.ts';
import { flag, text } from './parse.ts';
import { CONDITION_OPTIONS, conditionHeaders } from './put.ts';

const OPTIONS = {
  prefix: option({
    flags: '--prefix <prefix>',
    description: 'delete every key that begins with this',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  all: option({
    flags: '--all',
    description: 'delete every key there is',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  prev: option({
    flags: '--prev',
    description: 'show what was deleted (one key)',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...ONCE_OPTION,
  ...KEY_ENCODING_OPTION,
  ...CONDITION_OPTIONS,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const del: CommandDeclaration<typeof OPTIONS> = {
  name: 'del',
  summary: 'delete a key, or all keys with a prefix',
  description:
    'Delete a key, or all keys with a prefix at once.\n' +
    'It says how many keys went; a key that was not there is no failure.',
  args: [['[KEY]', 'the key']],
  options: OPTIONS,
  examples: [
    ['kvorum del hello', 'one key'],
    ['kvorum del --prefix session/', 'a whole prefix, atomically'],
    ['kvorum del hello --if-revision 7', 'only if nobody wrote it since: exit code 4 otherwise'],
  ],
  run: async ({ args: [key], values }) => {
    const targets = [key !== undefined, values.prefix !== undefined, values.all].filter(Boolean).length;
    if (targets !== 1) throw new UsageError('give a KEY, --prefix or --all, and only one of them');
    const headers = conditionHeaders(values);
    if (key === undefined && (Object.keys(headers).length > 0 || values.prev)) {
      throw new UsageError('--if-revision, --if-exists and --prev belong to one KEY, not to --prefix or --all');
    }
    const { encodeKey, encodePrefix } = await import('./keys.ts');
    const { call, jsonOf } = await import('./client.ts');
    const target = key === undefined ? null : encodeKey(key, values.keyEncoding);
    const range =
      target === null ? encodePrefix(values.prefix ?? '', values.prefix ? values.keyEncoding : 'utf8') : null;
    const encoding = (target ?? range)?.keyEncoding;
    const answer = await call(connectionOf(values), {
      method: 'DELETE',
      path: target === null ? '/v1/kv' : `/v1/kv/${target.path}`,
      query: {
        keyEncoding: encoding === 'utf8' ? undefined : encoding,
        prefix: range?.prefix || undefined,
        all: values.all ? true : undefined,
        prev: values.prev ? true : undefined,
      },
      headers,
      once: values.once,
    });
    const { printableValue, write, writeJson } = await import('./output.ts');
    const result = jsonOf(answer) as { revision: number; deleted: number; prev?: JsonEntry | null };
    if (values.output === 'json') {
      await writeJson(result);
    } else {
      await write(`deleted ${result.deleted}\n`);
      if (result.prev) await write(`before (revision ${result.prev.modRevision}): ${printableValue(result.prev)}\n`);
    }
    return EXIT.ok;
  },
};
