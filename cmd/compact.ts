/** `kvorum compact REVISION` */
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import type { Options } from './options.ts';
import { write, writeJson } from './output.ts';
import { integer } from './parse.ts';

const OPTIONS = { ...CLIENT_OPTIONS } satisfies Options;

export const compact: CommandDeclaration<typeof OPTIONS> = {
  name: 'compact',
  summary: 'forget history',
  description:
    'Forget what was superseded before REVISION, which stays readable. Older reads and watches get ERR_COMPACTED.\n' +
    'A node also compacts by itself.',
  args: [['<REVISION>', 'the oldest revision that shall stay readable']],
  options: OPTIONS,
  examples: [['kvorum compact 1200', '']],
  run: async ({ args: [written = ''], values }) => {
    const revision = revisionOf(written);
    const { callJson } = await import('./client.ts');
    const request = { method: 'POST', path: '/v1/compact', json: { revision } } as const;
    const result = (await callJson(connectionOf(values), request)) as { readonly compactedRevision: number };
    if (values.output === 'json') await writeJson(result);
    else await write(`compacted: revision ${result.compactedRevision} is the oldest\n`);
    return EXIT.ok;
  },
};

function revisionOf(written: string): number {
  try {
    return integer(1, Number.MAX_SAFE_INTEGER)(written, { base: '.' });
  } catch (error) {
    throw new UsageError(`REVISION: "${written}" ${(error as Error).message}`);
  }
}
