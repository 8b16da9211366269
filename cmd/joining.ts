/** Options of `kvorum start` for a node that joins a running cluster. */
import type { NodeOptions } from '../src/node/types.ts';
import { UsageError } from './exit.ts';
import { option, type Options, type Values } from './options.ts';
import { addresses, filePath, nodeName, oneOf, reachableAddress, text } from './parse.ts';
import { readJoinToken } from './secret.ts';

const JOINING = 'Joining a running cluster:';

export const JOIN_OPTIONS = {
  join: option({
    flags: '--join <host:port,...>',
    description: 'peer ports of members to ask, one is enough; ignored once the data directory is in use',
    parse: addresses,
    fallback: undefined,
    group: JOINING,
  }),
  role: option({
    flags: '--role <role>',
    description: 'voter once it has caught up, learner (has the log, no vote), or agent (has neither)',
    parse: oneOf('voter', 'learner', 'agent'),
    fallback: undefined,
    shown: 'voter',
    group: JOINING,
  }),
  replace: option({
    flags: '--replace <name>',
    description: 'name or id of the member whose place it takes, once it has caught up',
    parse: nodeName,
    fallback: undefined,
    group: JOINING,
  }),
  joinToken: option({
    flags: '--join-token <token>',
    description: 'what `kvorum token create` gave, in the place of the secret',
    parse: text,
    fallback: undefined,
    callOnly: true,
    group: JOINING,
  }),
  joinTokenFile: option({
    flags: '--join-token-file <file>',
    description: 'file with the token; the token may be in KVORUM_JOIN_TOKEN',
    parse: filePath,
    fallback: undefined,
    group: JOINING,
  }),
  advertise: option({
    flags: '--advertise <host:port>',
    description: 'what the others reach the peer port at, when that is not what it listens on',
    parse: reachableAddress,
    fallback: undefined,
    shown: '--listen',
    group: JOINING,
  }),
} satisfies Options;

type JoinNodeOptions = Pick<NodeOptions, 'join' | 'role' | 'replaces' | 'joinToken' | 'advertise'>;

/** Whether there is a secret or a token where one is needed, only the node can tell: once its data directory is in use it needs neither. @throws KvorumError */
export function joinOptions(
  values: Values<typeof JOIN_OPTIONS> & { readonly initialCluster: NodeOptions['initialCluster'] | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): JoinNodeOptions {
  const { join, role, replace, advertise, initialCluster, joinTokenFile } = values;
  if (values.joinToken !== undefined && joinTokenFile !== undefined) {
    throw new UsageError('give --join-token or --join-token-file, not both');
  }
  const joinToken = readJoinToken(values.joinToken, joinTokenFile, environment);
  if (join !== undefined && initialCluster !== undefined) {
    throw new UsageError('--join and --initial-cluster exclude each other: a cluster is joined, or it is made');
  }
  if (join === undefined) {
    const of = { '--role': role, '--replace': replace, 'a join token': joinToken };
    const [useless] = Object.entries(of).find(([, value]) => value !== undefined) ?? [];
    if (useless !== undefined) throw new UsageError(`${useless} belongs to --join, which is missing`);
  }
  if (role === 'agent' && replace !== undefined) {
    throw new UsageError('an agent takes the place of no member: --replace is for a voter or a learner');
  }
  return {
    ...(join !== undefined && { join }),
    ...(role !== undefined && { role }),
    ...(replace !== undefined && { replaces: replace }),
    ...(joinToken !== undefined && { joinToken }),
    ...(advertise !== undefined && { advertise }),
  };
}
