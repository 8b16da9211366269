/** `kvorum get KEY` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, KEY_ENCODING_OPTION } from './connection.ts';
import { EXIT } from './exit.ts';
import { option, type Options } from './options.ts';
import { integer, oneOf } from './parse.ts';

export const READ_OPTIONS = {
  consistency: option({
    flags: '--consistency <level>',
    description: 'linearizable sees every acknowledged write; stale asks one node only and works without a majority',
    parse: oneOf('linearizable', 'stale'),
    fallback: 'linearizable' as const,
    shown: 'linearizable',
  }),
  revision: option({
    flags: '--revision <n>',
    description: 'read as of this revision',
    parse: integer(1, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
  }),
} satisfies Options;

const OPTIONS = { ...READ_OPTIONS, ...KEY_ENCODING_OPTION, ...CLIENT_OPTIONS } satisfies Options;

export const get: CommandDeclaration<typeof OPTIONS> = {
  name: 'get',
  summary: 'read a key',
  description:
    'Read a key. Its value goes to standard output byte for byte; only on a terminal a newline follows.\n' +
    'A key that is not there: exit code 3.',
  args: [['<KEY>', 'the key']],
  options: OPTIONS,
  examples: [
    ['kvorum get hello', 'the value'],
    ['kvorum get hello -o json', 'with revisions, version and content type'],
    ['kvorum get photo.jpg > photo.jpg', 'any bytes'],
    ['kvorum get hello --consistency stale', 'what the node that answers has now'],
  ],
  run: async ({ args: [key = ''], values }) => {
    const json = values.output === 'json';
    const { encodeKey } = await import('./keys.ts');
    const encoded = encodeKey(key, values.keyEncoding);
    const { call, jsonOf } = await import('./client.ts');
    const answer = await call(connectionOf(values), {
      method: 'GET',
      path: `/v1/kv/${encoded.path}`,
      query: {
        keyEncoding: encoded.keyEncoding === 'utf8' ? undefined : encoded.keyEncoding,
        consistency: values.consistency === 'stale' ? 'stale' : undefined,
        revision: values.revision,
      },
      headers: json ? { accept: 'application/vnd.kvorum.entry+json' } : {},
    });
    const { write, writeJson } = await import('./output.ts');
    if (json) {
      await writeJson(jsonOf(answer));
    } else {
      await write(answer.body);
      if (process.stdout.isTTY) await write('\n');
    }
    return EXIT.ok;
  },
};
