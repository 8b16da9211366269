/** `kvorum counter NAME` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, ONCE_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { option, type Options } from './options.ts';
import { write, writeJson } from './output.ts';
import { flag, integer } from './parse.ts';

const OPTIONS = {
  add: option({
    flags: '--add <n>',
    description: 'add this; less than nothing subtracts',
    parse: integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
  }),
  delete: option({
    flags: '--delete',
    description: 'delete it: it is 0 again',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...ONCE_OPTION,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const counter: CommandDeclaration<typeof OPTIONS> = {
  name: 'counter',
  summary: 'read a counter, or add to it',
  description: 'Show the value of a counter, or add to it and show the sum. One that was never added to is 0.',
  args: [['<NAME>', 'any text']],
  options: OPTIONS,
  examples: [
    ['kvorum counter visits', ''],
    ['kvorum counter visits --add 1', 'counted once, also when a node fails meanwhile'],
    ['kvorum counter visits --add -3', ''],
  ],
  run: async ({ args: [name = ''], values }) => {
    if (values.add !== undefined && values.delete) throw new UsageError('give --add or --delete, not both');
    if (values.once !== undefined && values.add === undefined && !values.delete) {
      throw new UsageError('--once belongs to --add or --delete');
    }
    const { encodeName } = await import('./keys.ts');
    const { callJson } = await import('./client.ts');
    const connection = connectionOf(values);
    const path = `/v1/counters/${encodeName(name)}`;
    const { once } = values;
    const json = values.output === 'json';
    if (values.delete) {
      const result = (await callJson(connection, { method: 'DELETE', path, once })) as { readonly deleted: boolean };
      if (json) await writeJson(result);
      else await write(`deleted ${result.deleted ? 1 : 0}\n`);
      return EXIT.ok;
    }
    const result = (await callJson(
      connection,
      values.add === undefined
        ? { method: 'GET', path }
        : { method: 'POST', path: `${path}/add`, json: { delta: values.add }, once },
    )) as { readonly value: number };
    if (json) await writeJson(result);
    else await write(`${result.value}\n`);
    return EXIT.ok;
  },
};
