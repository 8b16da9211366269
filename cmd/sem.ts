/** `kvorum sem NAME --permits N [-- COMMAND …]` */
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS } from './connection.ts';
import { UsageError } from './exit.ts';
import { hold } from './holding.ts';
import { printableName } from './lock-output.ts';
import { ACQUIRE_OPTIONS } from './lock.ts';
import { option, type Options } from './options.ts';
import { integer } from './parse.ts';

const OPTIONS = {
  permits: option({
    flags: '--permits <n>',
    description: 'how many may hold one at a time; the same number for all',
    parse: integer(1, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
  }),
  ...ACQUIRE_OPTIONS,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const sem: CommandDeclaration<typeof OPTIONS> = {
  name: 'sem',
  summary: 'run a command while holding one of several permits',
  description:
    'Run a command while holding a permit of a semaphore: no more than so many at a time, on however many machines.\n' +
    'Environment and exit codes are those of `kvorum lock`; `kvorum lock --inspect NAME` shows who holds permits.',
  args: [['<NAME>', 'any text']],
  options: OPTIONS,
  examples: [['kvorum sem builds --permits 4 --wait forever -- make', 'four builds at a time']],
  takesCommand: true,
  endsAtOnce: true,
  run: async ({ args: [name = ''], values, command }) => {
    const { checkName } = await import('./keys.ts');
    checkName(name);
    const { permits, ttl, wait, owner, delay } = values;
    if (permits === undefined) throw new UsageError('--permits is missing: how many may hold one at a time');
    return await withClient(values, (client) =>
      hold({
        what: `a permit of ${printableName(name)}`,
        command,
        environment: { KVORUM_LOCK: name },
        killAfterMs: values.killAfter,
        releaseMs: values.timeout,
        json: values.output === 'json',
        again: false,
        acquire: (signal) =>
          client.semaphore(name, permits, { ttl, wait, delay, signal, ...(owner !== undefined && { owner }) }),
      }),
    );
  },
};
