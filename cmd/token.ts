/** `kvorum token create` */
import type { Member } from './cluster-view.ts';
import type { CommandDeclaration, CommandGroup } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT } from './exit.ts';
import { option, type Options } from './options.ts';
import { write, writeJson } from './output.ts';
import { duration, oneOf } from './parse.ts';

const MAX_TTL_MS = 30 * 86_400_000;
/** Members to ask: one is enough, several are for when one is down. */
const MAX_JOIN_ADDRESSES = 3;

type Role = 'voter' | 'learner' | 'agent';

const OPTIONS = {
  ttl: option({
    flags: '--ttl <duration>',
    description: 'how long it lets nodes in: 1s to 720h (default: 1h)',
    parse: duration(1000, MAX_TTL_MS),
    fallback: undefined,
    callOnly: true,
  }),
  role: option({
    flags: '--role <role>',
    description: 'lets nodes in as this only: voter, learner or agent (default: as any)',
    parse: oneOf('voter', 'learner', 'agent'),
    fallback: undefined,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

const create: CommandDeclaration<typeof OPTIONS> = {
  name: 'create',
  summary: 'make a token that lets nodes join',
  description:
    'Make a token that lets nodes join without the secret of the cluster, and print it. Standard error says how to use it.\n' +
    'Whoever has it can become a peer until it expires. It cannot be taken back.',
  args: [],
  options: OPTIONS,
  examples: [
    ['kvorum token create', 'for an hour'],
    ['kvorum token create --ttl 10m --role learner', ''],
    ['kvorum token create > /run/kvorum.token', 'the token alone, for --join-token-file'],
  ],
  run: async ({ values }) => {
    const { ttl, role } = values;
    const connection = connectionOf(values);
    const { callJson } = await import('./client.ts');
    const { bestView } = await import('./cluster-view.ts');
    const json = values.output === 'json';
    const members = json ? [] : (await bestView(connection)).members;
    const made = (await callJson(connection, {
      method: 'POST',
      path: '/v1/cluster/tokens',
      json: { ...(ttl !== undefined && { ttl }), ...(role !== undefined && { role }) },
      repeatable: true,
    })) as { readonly token: string; readonly expiresMs: number };
    if (json) {
      await writeJson(made);
      return EXIT.ok;
    }
    await write(`${made.token}\n`);
    // The token has no business in a log, which is where standard error ends up when either of them goes elsewhere.
    const shown = process.stdout.isTTY && process.stderr.isTTY ? made.token : 'TOKEN';
    console.error(
      `kvorum: lets nodes join until ${new Date(made.expiresMs).toISOString()}; on the new machine:\n\n` +
        `  ${joinCommand(shown, role, members)}\n`,
    );
    return EXIT.ok;
  },
};

export const token: CommandGroup = {
  name: 'token',
  summary: 'join tokens: let a node in without giving it the secret beforehand',
  description: 'A join token lets nodes in for a while, in the place of the secret of the cluster.',
  commands: [create],
};

/** What is typed on the new machine. In the environment, because `ps` shows command lines to everybody. */
export function joinCommand(
  joinToken: string,
  role: Role | undefined,
  members: readonly Pick<Member, 'role' | 'addresses' | 'health'>[],
): string {
  const addresses = members
    .filter((member) => member.role === 'voter' && member.health !== 'unreachable')
    .flatMap((member) => member.addresses.slice(0, 1))
    .slice(0, MAX_JOIN_ADDRESSES);
  const join = addresses.length === 0 ? 'HOST:PORT' : addresses.join(',');
  const as = role === undefined || role === 'voter' ? '' : ` --role ${role}`;
  return `KVORUM_JOIN_TOKEN=${joinToken} kvorum start --name NAME --data-dir DIR --listen HOST:PORT --join ${join}${as}`;
}
