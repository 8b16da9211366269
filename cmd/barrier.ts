/** `kvorum barrier NAME --parties N` */
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { HOLDING_OPTIONS } from './holding.ts';
import { option, type Options } from './options.ts';
import { write, writeJson } from './output.ts';
import { flag, integer, wait } from './parse.ts';
import { exitCodeOfSignal, Signals } from './signals.ts';

const OPTIONS = {
  parties: option({
    flags: '--parties <n>',
    description: 'how many have to arrive; the same number for all',
    parse: integer(1, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
  }),
  wait: option({
    flags: '--wait <duration>',
    description: 'how long to wait for the others, or forever (default: forever)',
    parse: wait,
    fallback: Infinity,
    callOnly: true,
  }),
  inspect: option({
    flags: '--inspect',
    description: 'show who is there, and do not enter',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...HOLDING_OPTIONS,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const barrier: CommandDeclaration<typeof OPTIONS> = {
  name: 'barrier',
  summary: 'wait until a number of processes have arrived',
  description:
    'Wait until so many have entered the barrier; then all of them go on, and it is closed again.\n' +
    'Exit code 4 when they did not come in time.',
  args: [['<NAME>', 'any text; the same for all']],
  options: OPTIONS,
  examples: [
    ['kvorum barrier deploy --parties 3 && ./deploy', ''],
    ['kvorum barrier deploy --inspect', 'how many are there'],
  ],
  endsAtOnce: true,
  run: async ({ args: [name = ''], values }) => {
    const { checkName, encodeName } = await import('./keys.ts');
    checkName(name);
    const json = values.output === 'json';
    if (values.inspect) {
      const { callJson } = await import('./client.ts');
      const request = { method: 'GET', path: `/v1/barriers/${encodeName(name)}` } as const;
      const info = (await callJson(connectionOf(values), request)) as { parties: number; entered: number };
      if (json) await writeJson(info);
      else await write(info.entered === 0 ? 'nobody is there\n' : `${info.entered} of ${info.parties} are there\n`);
      return EXIT.ok;
    }
    const { parties, ttl, wait: waitMs, owner } = values;
    if (parties === undefined) throw new UsageError('--parties is missing: how many have to arrive');
    const giveUp = new AbortController();
    const signals = new Signals();
    signals.mean(() => giveUp.abort());
    return await withClient(values, async (client) => {
      try {
        const { token } = await client.barrier(name, parties).enter({
          ...{ ttl, wait: waitMs, signal: giveUp.signal },
          ...(owner !== undefined && { owner }),
        });
        if (json) await writeJson({ name, token });
        else await write(`all ${parties} are there\n`);
        return EXIT.ok;
      } catch (error) {
        if (signals.asked !== null) return exitCodeOfSignal(signals.asked);
        throw error;
      }
    });
  },
};
