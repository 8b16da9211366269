/** `kvorum elect NAME [-- COMMAND …]`, and elections as others see them. */
import type { ElectionInfo } from '../src/client/index.ts';
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT, UsageError, type ExitCode } from './exit.ts';
import { COMMAND_OPTIONS, HOLDING_OPTIONS, hold } from './holding.ts';
import { printableName, showOwner } from './lock-output.ts';
import { option, type Options, type Values } from './options.ts';
import { printable, write, writeJson } from './output.ts';
import { flag, text, wait } from './parse.ts';
import { Signals } from './signals.ts';

const CAMPAIGN_OPTIONS = {
  value: option({
    flags: '--value <text>',
    description: 'what the leader stands for, such as its address: shown to all once it is elected',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  wait: option({
    flags: '--wait <duration>',
    description: 'how long to stand for election, or forever (default: forever)',
    parse: wait,
    fallback: Infinity,
    callOnly: true,
  }),
  once: option({
    flags: '--once',
    description: 'when the lead was lost, end with exit code 70 instead of standing again',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...HOLDING_OPTIONS,
  ...COMMAND_OPTIONS,
} satisfies Options;

const OPTIONS = {
  ...CAMPAIGN_OPTIONS,
  inspect: option({
    flags: '--inspect',
    description: 'show who leads: exit code 3 when nobody does',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Instead of standing for election:',
  }),
  observe: option({
    flags: '--observe',
    description: 'show who leads, and every change, until Ctrl-C',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Instead of standing for election:',
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

export const elect: CommandDeclaration<typeof OPTIONS> = {
  name: 'elect',
  summary: 'run a command while being the leader',
  description:
    'Stand for election, and run a command while leading.\n' +
    'It sees its term in KVORUM_FENCE, the name in KVORUM_ELECTION, the lease in KVORUM_LEASE. ' +
    'When the lead is lost the command is stopped, and run again after the next election that is won. ' +
    'When it ends by itself, so does the lead. Without a command: lead until Ctrl-C, and print the term.\n' +
    "Exit code: the command's own (128+n when signal n ended it); 4 when --wait is over; 70 with --once.",
  args: [['<NAME>', 'any text']],
  options: OPTIONS,
  examples: [
    ['kvorum elect relay --value 10.0.0.7:8080 -- ./relay', 'one at a time, another when it fails'],
    ['kvorum elect relay --inspect', 'who leads'],
    ['kvorum elect relay --observe -o json', 'a line a change'],
  ],
  takesCommand: true,
  endsAtOnce: true,
  run: async ({ args: [name = ''], values, given, command }) => {
    const { checkName } = await import('./keys.ts');
    checkName(name);
    if (values.inspect || values.observe) {
      if (values.inspect && values.observe) throw new UsageError('give --inspect or --observe, not both');
      if (command.length > 0 || Object.keys(CAMPAIGN_OPTIONS).some((key) => given.has(key))) {
        throw new UsageError(
          `--${values.inspect ? 'inspect' : 'observe'} only looks: it goes with neither a command nor options for standing`,
        );
      }
      return values.inspect ? await inspect(name, values) : await observe(name, values);
    }
    const { value, ttl, wait: waitMs, owner } = values;
    return await withClient(values, (client) =>
      hold({
        what: `the lead of ${printableName(name)}`,
        command,
        environment: { KVORUM_ELECTION: name },
        killAfterMs: values.killAfter,
        releaseMs: values.timeout,
        json: values.output === 'json',
        again: !values.once,
        acquire: (signal) =>
          client.election(name).campaign({
            ...{ ttl, wait: waitMs, signal },
            ...(value !== undefined && { value }),
            ...(owner !== undefined && { owner }),
          }),
      }),
    );
  },
};

async function inspect(name: string, values: Values<typeof OPTIONS>): Promise<ExitCode> {
  const { callJson } = await import('./client.ts');
  const { encodeName } = await import('./keys.ts');
  const request = { method: 'GET', path: `/v1/elections/${encodeName(name)}` } as const;
  const found = (await callJson(connectionOf(values), request)) as ElectionInfo;
  await show(found, values);
  return found.leader === null ? EXIT.notFound : EXIT.ok;
}

async function observe(name: string, values: Values<typeof OPTIONS>): Promise<ExitCode> {
  const ended = new AbortController();
  const signals = new Signals();
  signals.mean(() => ended.abort());
  return await withClient(values, async (client) => {
    for await (const info of client.election(name).observe({ signal: ended.signal })) await show(info, values);
    return EXIT.ok;
  });
}

async function show(info: ElectionInfo, { output }: Values<typeof OPTIONS>): Promise<void> {
  if (output === 'json') return await writeJson(info);
  const { leader, value, token } = info;
  if (leader === null) return await write('nobody leads\n');
  const stands = value === null ? '' : `, value ${JSON.stringify(printable(value))}`;
  await write(`leader: ${showOwner(leader.owner)}${stands}, term ${token}, lease ${leader.lease}\n`);
}
