/** `kvorum member list | add | promote | demote | replace | remove` */
import type { Connection, Request } from './client.ts';
import type { CommandDeclaration, CommandGroup } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import type { MemberInfo } from '../src/client/index.ts';
import { EXIT, UsageError, type ExitCode } from './exit.ts';
import { encodeName } from './keys.ts';
import { option, type Options, type Values } from './options.ts';
import { printable, table, tell } from './output.ts';
import { flag, nodeName, oneOf, peerId, reachableAddress } from './parse.ts';

/** As the HTTP API gives it. */
interface MemberAnswer {
  readonly id: string;
  readonly name: string;
  readonly role: 'voter' | 'learner';
}

type ClientValues = Values<typeof CLIENT_OPTIONS>;

const MEMBER: readonly [string, string] = ['<NAME>', 'name or id of the member'];
const WAITS = 'It waits until the learner has caught up, for as long as --timeout says: exit code 4 when it has not.';

const LIST_OPTIONS = {
  watch: option({
    flags: '--watch',
    description: 'show them again whenever something has changed, until Ctrl-C',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

const list: CommandDeclaration<typeof LIST_OPTIONS> = {
  name: 'list',
  summary: 'show who belongs to the cluster',
  description:
    'Show the members: as the leader sees them when it is among the endpoints, otherwise as the node that knows most.\n' +
    'MATCH is how much of the log a member has; only the leader knows it of others.\n' +
    'HEALTH is suspect when it did not answer of late, unreachable when it has left or is taken for dead.',
  args: [],
  options: LIST_OPTIONS,
  examples: [
    ['kvorum member list', ''],
    ['kvorum member list --watch', 'as it changes'],
    ['kvorum member list -o json', 'for programs'],
  ],
  run: async ({ values }) => {
    if (values.watch) return await watchList(values);
    const { bestView } = await import('./cluster-view.ts');
    const { clusterId, leader, members } = await bestView(connectionOf(values));
    await tell(values, { clusterId, leader, members }, listed(members));
    return EXIT.ok;
  },
};

/** As the node that answers sees them, which may be another one after a failure. */
async function watchList(values: Values<typeof LIST_OPTIONS>): Promise<ExitCode> {
  const { withClient } = await import('./cluster-client.ts');
  const { Signals } = await import('./signals.ts');
  const ended = new AbortController();
  const signals = new Signals();
  signals.mean(() => ended.abort());
  return await withClient(values, async (client) => {
    let isFirst = true;
    for await (const members of client.members.watch({ signal: ended.signal })) {
      await tell(values, { members }, `${isFirst ? '' : '\n'}${listed(members)}`);
      isFirst = false;
    }
    return EXIT.ok;
  });
}

type Listed = Pick<MemberInfo, 'name' | 'id' | 'addresses' | 'http' | 'matchIndex'> & {
  readonly role: string;
  readonly health: string;
};

function listed(members: readonly Listed[]): string {
  return table(
    ['NAME', 'ID', 'ROLE', 'ADDRESS', 'HTTP', 'HEALTH', 'MATCH'],
    members.map(({ name, id, role, addresses, http, health, matchIndex }) =>
      [name, id, role, addresses.join(',') || '-', http ?? '-', health, String(matchIndex ?? '-')].map(printable),
    ),
  );
}

const ADD_OPTIONS = {
  peerId: option({
    flags: '--peer-id <id>',
    description: 'identity of the node: its libp2p peer id',
    parse: peerId,
    fallback: undefined,
    callOnly: true,
  }),
  address: option({
    flags: '--address <host:port>',
    description: 'its peer port, as the others reach it',
    parse: reachableAddress,
    fallback: undefined,
    callOnly: true,
  }),
  role: option({
    flags: '--role <role>',
    description: 'voter: a learner that is made a voter once it has caught up; learner: it stays one (default: voter)',
    parse: oneOf('voter', 'learner'),
    fallback: undefined,
    callOnly: true,
  }),
  replaces: option({
    flags: '--replaces <name>',
    description: 'name or id of the member whose place it takes',
    parse: nodeName,
    fallback: undefined,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

const add: CommandDeclaration<typeof ADD_OPTIONS> = {
  name: 'add',
  summary: 'add a node that does not add itself',
  description:
    'Add a node to the cluster. One that is started with --join adds itself, and needs this not.\n' +
    'It begins as a learner, which gets the log and has no vote.',
  args: [['<NAME>', 'name of the new member']],
  options: ADD_OPTIONS,
  examples: [
    ['kvorum member add n4 --peer-id 12D3KooW… --address 10.0.0.4:7201', 'a voter, once it has caught up'],
    ['kvorum member add n4 --peer-id 12D3KooW… --address 10.0.0.4:7201 --role learner', 'reads only'],
    ['kvorum member add n3 --peer-id 12D3KooW… --address 10.0.0.4:7201 --replaces n3', 'n3 has lost its disk'],
  ],
  run: async ({ args: [written = ''], values }) => {
    const { peerId: identity, address, role, replaces } = values;
    const name = newName(written);
    if (identity === undefined) throw new UsageError('--peer-id is missing');
    if (address === undefined) throw new UsageError('--address is missing');
    const json = { name, peerId: identity, address, ...(role && { role }), ...(replaces && { replaces }) };
    const added = (await change(values, { method: 'POST', path: '/v1/cluster/members', json })) as MemberAnswer;
    await tell(values, added, `${shown(added)} is a ${added.role}${whatFollows(added, role, replaces)}\n`);
    return EXIT.ok;
  },
};

const promote: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'promote',
  summary: 'make a learner a voter',
  description: `Make a learner a voter. One that is a voter already is no failure.\n${WAITS}`,
  args: [MEMBER],
  options: CLIENT_OPTIONS,
  examples: [
    ['kvorum member promote n4', ''],
    ['kvorum member promote n4 --timeout 60s', 'wait longer for it to catch up'],
  ],
  run: async ({ args: [member = ''], values }) => {
    const promoted = (await change(values, post(member, 'promote'))) as MemberAnswer;
    await tell(values, promoted, `${shown(promoted)} is a voter; it counts for the majority from now on\n`);
    return EXIT.ok;
  },
};

const demote: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'demote',
  summary: 'make a voter a learner',
  description: 'Make a voter a learner: it keeps the log and serves reads. The last voter cannot be: exit code 4.',
  args: [MEMBER],
  options: CLIENT_OPTIONS,
  examples: [['kvorum member demote n3', 'before its machine is taken away for a while']],
  run: async ({ args: [member = ''], values }) => {
    const demoted = (await change(values, post(member, 'demote'))) as MemberAnswer;
    const what = `${shown(demoted)} is a learner; it has no vote until \`kvorum member promote ${demoted.name}\`\n`;
    await tell(values, demoted, what);
    return EXIT.ok;
  },
};

const replace: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'replace',
  summary: 'let another member take the place of one',
  description:
    'Let a member, usually a learner, take the place of another, which is removed.\n' +
    `It is one change: at no moment is there a voter less.\n${WAITS}`,
  args: [
    ['<OLD>', 'name or id of the member that goes'],
    ['<NEW>', 'name or id of the member that takes its place'],
  ],
  options: CLIENT_OPTIONS,
  examples: [['kvorum member replace n3 n4', '']],
  run: async ({ args: [old = '', by = ''], values }) => {
    encodeName(by);
    const answer = (await change(values, { ...post(old, 'replace'), json: { by } })) as MemberAnswer;
    const what = `${shown(answer)} is a ${answer.role} in the place of ${printable(old)}, which is removed: its node stops\n`;
    await tell(values, answer, what);
    return EXIT.ok;
  },
};

const remove: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'remove',
  summary: 'remove a member',
  description:
    'Remove a member. One that is not there is no failure. The last voter cannot be removed: exit code 4.\n' +
    'Its name is free then, and its identity never comes back: to join again, its node needs an empty data directory.',
  args: [MEMBER],
  options: CLIENT_OPTIONS,
  examples: [['kvorum member remove n3', '']],
  run: async ({ args: [written = ''], values }) => {
    const named = encodeName(written);
    const connection = connectionOf(values);
    const { bestView } = await import('./cluster-view.ts');
    const known = memberIn((await bestView(connection)).members, written);
    // It was a member and will be none, whichever attempt does it. By its id, because by then another may bear the name.
    if (known !== undefined) {
      await change(values, { method: 'DELETE', path: `/v1/cluster/members/${encodeName(known.id)}` });
    }
    const removed = known !== undefined || (await removeUnknown(connection, named));
    const what = known === undefined ? printable(written) : shown(known);
    const line = removed
      ? `removed ${what}: its node stops, and can only join again with an empty data directory\n`
      : `there is no member ${what}: nothing to remove\n`;
    await tell(values, { removed }, line);
    return EXIT.ok;
  },
};

function memberIn<M extends Pick<MemberInfo, 'id' | 'name'> & { readonly role: string }>(
  members: readonly M[],
  written: string,
): M | undefined {
  // An agent is none, and goes when its process ends.
  const known = members.filter(({ role }) => role !== 'agent');
  return known.find(({ id }) => id === written) ?? known.find(({ name }) => name === written);
}

/** The node that told who there is may be behind. Sent once: asked again after a lost answer, a node would say that there is no such member whether or not there was one. */
async function removeUnknown(connection: Connection, name: string): Promise<boolean> {
  const { call, jsonOf } = await import('./client.ts');
  const answer = await call(connection, { method: 'DELETE', path: `/v1/cluster/members/${name}` });
  return (jsonOf(answer) as { readonly removed: boolean }).removed;
}

export const member: CommandGroup = {
  name: 'member',
  summary: 'who belongs to the cluster: list, add, promote, demote, replace, remove',
  description:
    'Who belongs to the cluster. A change needs a majority, happens while reads and writes go on, and may be repeated.\n' +
    'A new node usually adds itself: see `kvorum help start`, --join.',
  commands: [list, add, promote, demote, replace, remove],
};

function post(member: string, what: string): Pick<Request, 'method' | 'path'> {
  return { method: 'POST', path: `/v1/cluster/members/${encodeName(member)}/${what}` };
}

/** What is done already is answered as done, so it is sent until a node answers. */
async function change(
  values: ClientValues,
  request: Pick<Request, 'method' | 'path'> & { readonly json?: unknown },
): Promise<unknown> {
  const { callJson } = await import('./client.ts');
  const connection: Connection = connectionOf(values);
  return await callJson(connection, { ...request, repeatable: true });
}

function shown({ name, id }: Pick<MemberAnswer, 'name' | 'id'>): string {
  return `${printable(name)} (id ${printable(id)})`;
}

/** What a member that was added has still before it. */
function whatFollows({ name, role }: MemberAnswer, wanted: string | undefined, replaces: string | undefined): string {
  if (role === 'voter') return '';
  const removed = replaces === name ? `; the ${name} before it is removed` : '';
  const place = replaces === undefined || replaces === name ? '' : `takes the place of ${replaces}`;
  if (wanted === 'learner') {
    const then = place === '' ? '' : `; it ${place} once it has caught up`;
    return `${removed}${then}; it has no vote until \`kvorum member promote ${name}\``;
  }
  const then = place === '' ? 'becomes a voter' : `becomes a voter and ${place}`;
  return `${removed}; it ${then} once it has caught up: see \`kvorum member list\``;
}

function newName(written: string): string {
  try {
    return nodeName(written, { base: '.' });
  } catch (error) {
    throw new UsageError(`NAME: "${written}" ${(error as Error).message}`);
  }
}
