/** `kvorum txn [FILE|-]` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, ONCE_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { readStandardInput } from './input.ts';
import { option, type Options } from './options.ts';
import { printableKey, printableValue, write, writeJson, type JsonEntry } from './output.ts';
import { flag } from './parse.ts';

/** What a node takes is less. */
const MAX_INPUT_BYTES = 16 * 1024 * 1024;

const OPTIONS = {
  elseOk: option({
    flags: '--else-ok',
    description: 'exit code 0 also when the conditions did not hold and `else` was done',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...ONCE_OPTION,
  ...CLIENT_OPTIONS,
} satisfies Options;

interface Result {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly responses: readonly Response[];
}

type Response =
  | { readonly put: { readonly prev?: JsonEntry | null } }
  | { readonly delete: { readonly deleted: number; readonly prev?: JsonEntry | null } }
  | { readonly get: JsonEntry | null }
  | { readonly range: { readonly entries: readonly JsonEntry[]; readonly count: number } };

export const txn: CommandDeclaration<typeof OPTIONS> = {
  name: 'txn',
  summary: 'several reads and writes at once, under conditions',
  description:
    'A transaction: when every condition of `if` holds, what `then` says, otherwise what `else` says, all in one ' +
    'revision.\nIt is read as JSON, in the shape of POST /v1/txn, from FILE or standard input.\n' +
    'Exit code 4 when the conditions did not hold, unless --else-ok is given.',
  args: [['[FILE]', 'the transaction, or - for standard input']],
  options: OPTIONS,
  examples: [
    ['kvorum txn transfer.json', ''],
    [`echo '{"then":[{"put":{"key":"a","value":"1"}},{"put":{"key":"b","value":"1"}}]}' | kvorum txn`, ''],
    [
      `echo '{"if":[{"key":"a","target":"version","op":"=","value":0}],"then":[…],"else":[…]}' | kvorum txn -o json`,
      '',
    ],
  ],
  notes:
    'It carries a key, so that it is sent until it is answered and done once. A condition on a lock\n' +
    'makes a late write fail:\n' +
    '{"lock":"orders","target":"token","op":"=","value":41}, the token being KVORUM_FENCE of `kvorum lock`.',
  run: async ({ args: [file], values }) => {
    const source = file === undefined || file === '-' ? 'standard input' : file;
    const transaction = parse(await read(file), source);
    const { callJson } = await import('./client.ts');
    const { once } = values;
    const request = { method: 'POST', path: '/v1/txn', json: transaction, once } as const;
    const result = (await callJson(connectionOf(values), request)) as Result;
    if (values.output === 'json') {
      await writeJson(result);
    } else {
      const what = result.succeeded ? 'succeeded' : 'the conditions did not hold';
      await write(`${what}, revision ${result.revision}\n${result.responses.map(shown).join('')}`);
    }
    return result.succeeded || values.elseOk ? EXIT.ok : EXIT.condition;
  },
};

async function read(file: string | undefined): Promise<Uint8Array> {
  if (file === undefined || file === '-') {
    return await readStandardInput('the transaction as JSON', MAX_INPUT_BYTES);
  }
  const { readFile } = await import('node:fs/promises');
  try {
    return await readFile(file);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parse(content: Uint8Array, source: string): unknown {
  try {
    // A broken byte would become another character, and that another key.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content)) as unknown;
  } catch (error) {
    throw new UsageError(`${source} is not JSON: ${(error as Error).message}`);
  }
}

function shown(response: Response): string {
  if ('put' in response) return `put${before(response.put.prev)}\n`;
  if ('delete' in response) return `deleted ${response.delete.deleted}${before(response.delete.prev)}\n`;
  if ('get' in response) return response.get === null ? 'get: no such key\n' : `get: ${line(response.get)}`;
  const { entries, count } = response.range;
  return `range: ${entries.length} of ${count}\n${entries.map((entry) => `  ${line(entry)}`).join('')}`;
}

function line(entry: JsonEntry): string {
  return `${printableKey(entry)}${entry.value === undefined ? '' : `\t${printableValue(entry)}`}\n`;
}

function before(prev: JsonEntry | null | undefined): string {
  if (prev === undefined) return '';
  return ` (before: ${prev === null ? 'nothing' : printableValue(prev)})`;
}
