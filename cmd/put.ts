/** `kvorum put KEY [VALUE|-]` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, KEY_ENCODING_OPTION, ONCE_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { readStandardInput } from './input.ts';
import { option, type Options } from './options.ts';
import type { JsonEntry } from './output.ts';
import { filePath, flag, integer, leaseId, text } from './parse.ts';

/** What a pipe may bring: far above every sensible value limit, far below what would hurt this machine. */
const MAX_INPUT_BYTES = 256 * 1024 * 1024;

export const CONDITION_OPTIONS = {
  ifRevision: option({
    flags: '--if-revision <n>',
    description: 'only if the key was last written at this revision',
    parse: integer(0, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
    group: 'Conditions:',
  }),
  ifExists: option({
    flags: '--if-exists',
    description: 'only if the key is there',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Conditions:',
  }),
} satisfies Options;

const OPTIONS = {
  file: option({
    flags: '-f, --file <file>',
    description: 'take the value from a file, byte for byte',
    parse: filePath,
    fallback: undefined,
    callOnly: true,
  }),
  contentType: option({
    flags: '--content-type <type>',
    description: 'media type that is kept with the value (default: application/octet-stream)',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  prev: option({
    flags: '--prev',
    description: 'show what was there before',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  lease: option({
    flags: '--lease <id>',
    description: 'the key goes when this lease ends (`kvorum lease grant`)',
    parse: leaseId,
    fallback: undefined,
    callOnly: true,
  }),
  ...ONCE_OPTION,
  ...KEY_ENCODING_OPTION,
  ifAbsent: option({
    flags: '--if-absent',
    description: 'only if the key is not there',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Conditions:',
  }),
  ...CONDITION_OPTIONS,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const put: CommandDeclaration<typeof OPTIONS> = {
  name: 'put',
  summary: 'write a key',
  description:
    'Write a key. It is acknowledged when a majority of the nodes has it on disk.\n' +
    'Without VALUE, or with -, the value is read from standard input, byte for byte.',
  args: [
    ['<KEY>', 'the key'],
    ['[VALUE]', 'the value, or - for standard input'],
  ],
  options: OPTIONS,
  examples: [
    ['kvorum put hello world', 'write the value "world"'],
    ['kvorum put config/app --file app.json --content-type application/json', ''],
    ['date | kvorum put now', 'from a pipe'],
    ['kvorum put hello again --if-revision 7', 'compare and set: exit code 4 if another write came first'],
    ['kvorum put job/1 mine --if-absent', 'only the first one gets it'],
    ['kvorum put orders/42 paid --once "$PAYMENT"', 'sent again, it is still done once'],
    ['kvorum put workers/7 up --lease 41', 'gone when lease 41 ends'],
    ['kvorum put temperature -- -5', 'a value that begins with a dash'],
  ],
  notes:
    'A write whose outcome is unknown is not sent again: exit code 5, and `kvorum get` shows what became of it.\n' +
    'With --once it is sent until it is answered, and the same command line may be run again.',
  run: async ({ args, values }) => {
    const [key = '', value] = args;
    const headers = conditionHeaders(values);
    if (value !== undefined && values.file !== undefined) throw new UsageError('give VALUE or --file, not both');
    if (values.contentType !== undefined) headers['content-type'] = values.contentType;
    const { encodeKey } = await import('./keys.ts');
    const encoded = encodeKey(key, values.keyEncoding);
    const connection = connectionOf(values);
    const body = await readValue(value, values.file);
    const { call, jsonOf } = await import('./client.ts');
    const answer = await call(connection, {
      method: 'PUT',
      path: `/v1/kv/${encoded.path}`,
      query: {
        keyEncoding: encoded.keyEncoding === 'utf8' ? undefined : encoded.keyEncoding,
        prev: values.prev ? true : undefined,
        lease: values.lease,
      },
      headers,
      body,
      once: values.once,
    });
    const { printableValue, write, writeJson } = await import('./output.ts');
    const result = jsonOf(answer) as { revision: number; created: boolean; prev?: JsonEntry | null };
    if (values.output === 'json') {
      await writeJson(result);
    } else {
      await write(`revision ${result.revision}${result.created ? ' (created)' : ''}\n`);
      if (result.prev) await write(`before (revision ${result.prev.modRevision}): ${printableValue(result.prev)}\n`);
    }
    return EXIT.ok;
  },
};

/** At most one condition fits a request. */
export function conditionHeaders(values: {
  readonly ifRevision: number | undefined;
  readonly ifExists: boolean;
  readonly ifAbsent?: boolean;
}): Record<string, string> {
  const headers: Record<string, string>[] = [];
  if (values.ifRevision !== undefined) headers.push({ 'if-match': `"${values.ifRevision}"` });
  if (values.ifExists) headers.push({ 'if-match': '*' });
  if (values.ifAbsent === true) headers.push({ 'if-none-match': '*' });
  if (headers.length > 1) throw new UsageError('give one of --if-revision, --if-exists, --if-absent');
  return headers[0] ?? {};
}

/** The value of the command line, of a file, or of standard input. */
export async function readValue(value: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if (value !== undefined && value !== '-') {
    if (value.includes('\uFFFD')) {
      throw new UsageError('the value is not UTF-8 (or holds U+FFFD); give it with --file or on standard input');
    }
    return Buffer.from(value, 'utf8');
  }
  if (file !== undefined) {
    const { readFile } = await import('node:fs/promises');
    try {
      return await readFile(file);
    } catch (error) {
      throw new UsageError(`--file: ${(error as Error).message}`);
    }
  }
  return await readStandardInput('the value', MAX_INPUT_BYTES);
}
