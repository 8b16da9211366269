/** `kvorum lock NAME [-- COMMAND …]`, and locks as others see them. */
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT, UsageError, type ExitCode } from './exit.ts';
import { COMMAND_OPTIONS, HOLDING_OPTIONS, hold } from './holding.ts';
import { printableName, showLocks, showLock, type JsonLock } from './lock-output.ts';
import { option, type Options, type Values } from './options.ts';
import { tell } from './output.ts';
import { allPages } from './pages.ts';
import { duration, flag, oneOf, wait } from './parse.ts';

/** Shared with semaphores, which are locks of several permits. */
export const ACQUIRE_OPTIONS = {
  wait: option({
    flags: '--wait <duration>',
    description: 'how long to stand in the queue, or forever (default: not at all)',
    parse: wait,
    fallback: 0,
    callOnly: true,
  }),
  ...HOLDING_OPTIONS,
  delay: option({
    flags: '--delay <duration>',
    description: 'when a holder was lost, let nobody in for this long (default: 0s)',
    parse: duration(0, 24 * 3_600_000),
    fallback: 0,
    callOnly: true,
  }),
  ...COMMAND_OPTIONS,
} satisfies Options;

const OPTIONS = {
  mode: option({
    flags: '--mode <mode>',
    description: 'read shares with read, write with nobody (default: write)',
    parse: oneOf('read', 'write'),
    fallback: 'write' as const,
    callOnly: true,
  }),
  ...ACQUIRE_OPTIONS,
  inspect: option({
    flags: '--inspect',
    description: 'show who holds NAME and who waits: exit code 3 when nobody does',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Instead of acquiring:',
  }),
  list: option({
    flags: '--list',
    description: 'show all names in use, or those that begin with NAME',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Instead of acquiring:',
  }),
  break: option({
    flags: '--break',
    description: 'take NAME from all who hold it, whatever they are doing',
    parse: flag,
    fallback: false,
    callOnly: true,
    group: 'Instead of acquiring:',
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

export const lock: CommandDeclaration<typeof OPTIONS> = {
  name: 'lock',
  summary: 'run a command while holding a lock',
  description:
    'Run a command while holding a lock.\n' +
    'It sees the fencing token in KVORUM_FENCE, the name in KVORUM_LOCK, the lease in KVORUM_LEASE. ' +
    'Without a command: hold it until Ctrl-C, and print the token.\n' +
    "Exit code: the command's own (128+n when signal n ended it); 4 when another holds the lock and --wait is over; " +
    '70 when it was lost: then the command was stopped.',
  args: [['[NAME]', 'any text']],
  options: OPTIONS,
  examples: [
    ['kvorum lock nightly -- ./backup.sh', 'not at all when another runs it'],
    ['kvorum lock nightly --wait 10m -- ./backup.sh', 'after the other'],
    ['kvorum lock config --mode read -- ./serve', 'many readers, or one writer'],
    ['kvorum lock --inspect nightly', 'who has it'],
    ['kvorum lock --break nightly', 'for operators'],
    ['kvorum lock -- -x -- make', 'a name that begins with a dash'],
  ],
  notes:
    'Signals are passed on. Whoever is paused for longer than --ttl (a closed laptop, SIGSTOP) has\n' +
    'lost the lock and cannot know it before it goes on: let what is protected refuse a token\n' +
    'smaller than one that it has seen.',
  takesCommand: true,
  endsAtOnce: true,
  run: async ({ args: [name], values, given, command }) => {
    const modes = (['inspect', 'list', 'break'] as const).filter((mode) => values[mode]);
    if (modes.length > 1) throw new UsageError('give one of --inspect, --list, --break');
    const [mode] = modes;
    if (mode !== undefined) {
      const idle = Object.keys(ACQUIRE_OPTIONS)
        .concat('mode')
        .filter((key) => given.has(key));
      if (command.length > 0 || idle.length > 0) {
        throw new UsageError(`--${mode} acquires nothing: it goes with neither a command nor options for acquiring`);
      }
      if (mode === 'list') return await list(name ?? '', values);
    }
    if (name === undefined) throw new UsageError('NAME is missing');
    const { checkName } = await import('./keys.ts');
    checkName(name);
    if (mode === 'inspect') return await inspect(name, values);
    if (mode === 'break') return await breakLock(name, values);
    const { ttl, wait: waitMs, owner, delay } = values;
    return await withClient(values, (client) =>
      hold({
        what: `lock ${printableName(name)}`,
        command,
        environment: { KVORUM_LOCK: name },
        killAfterMs: values.killAfter,
        releaseMs: values.timeout,
        json: values.output === 'json',
        again: false,
        acquire: (signal) =>
          client.lock(name, {
            ...{ mode: values.mode, ttl, wait: waitMs, delay, signal },
            ...(owner !== undefined && { owner }),
          }),
      }),
    );
  },
};

async function inspect(name: string, values: Values<typeof OPTIONS>): Promise<ExitCode> {
  const { callJson } = await import('./client.ts');
  const { encodeName } = await import('./keys.ts');
  const request = { method: 'GET', path: `/v1/locks/${encodeName(name)}` } as const;
  const found = (await callJson(connectionOf(values), request)) as JsonLock;
  await tell(values, found, showLock(found));
  return found.holders.length + found.queue.length === 0 ? EXIT.notFound : EXIT.ok;
}

async function list(prefix: string, values: Values<typeof OPTIONS>): Promise<ExitCode> {
  const query = { prefix: prefix || undefined };
  const locks = await allPages<JsonLock>(connectionOf(values), '/v1/locks', 'locks', query);
  await tell(values, { locks }, showLocks(locks));
  return EXIT.ok;
}

async function breakLock(name: string, values: Values<typeof OPTIONS>): Promise<ExitCode> {
  const { callJson } = await import('./client.ts');
  const { encodeName } = await import('./keys.ts');
  const request = { method: 'DELETE', path: `/v1/locks/${encodeName(name)}` } as const;
  const result = (await callJson(connectionOf(values), request)) as { readonly broken: number };
  await tell(values, result, `broken ${result.broken}\n`);
  return EXIT.ok;
}
