/** `kvorum status`: every endpoint is asked for its own view; those that are down are shown as such. */
import type { Connection } from './client.ts';
import type { Cluster, Member } from './cluster-view.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT } from './exit.ts';
import type { Options } from './options.ts';

const OPTIONS = { ...CLIENT_OPTIONS } satisfies Options;

/** One line of the table. Null: not known, because the node did not answer. */
interface NodeStatus {
  readonly name: string | null;
  readonly endpoint: string | null;
  readonly role: string | null;
  /** The leader that this node knows. */
  readonly leader: string | null;
  readonly term: number | null;
  readonly revision: number | null;
  readonly appliedIndex: number | null;
  readonly health: 'ready' | 'not ready' | 'alive' | 'suspect' | 'unreachable';
  readonly error: string | null;
}

export const status: CommandDeclaration<typeof OPTIONS> = {
  name: 'status',
  summary: 'show every node: role, leader, term, revision, health',
  description:
    'Ask every endpoint for its own view of the cluster. It works when some nodes are down.\n' +
    'Exit code 0 when a node answers and knows a leader, 5 otherwise.',
  args: [],
  options: OPTIONS,
  examples: [
    ['kvorum status', ''],
    ['kvorum status --endpoints http://10.0.0.1:7101,http://10.0.0.2:7101', ''],
    ['kvorum status -o json', 'for programs'],
  ],
  run: async ({ values }) => {
    const connection = connectionOf(values);
    const { newestOf, noNode } = await import('./cluster-view.ts');
    const { table, write, writeJson } = await import('./output.ts');
    const views = await Promise.all(connection.endpoints.map((endpoint) => view(connection, endpoint)));
    const clusters = views.map(({ cluster }) => cluster).filter((cluster) => cluster !== null);
    const newest = newestOf(clusters);
    if (newest === undefined) throw noNode(views.map(({ node }) => node.error ?? ''));
    const nodes = views.map(({ node }) => (node.name === null ? named(node, newest) : node));
    for (const member of newest.members) {
      if (!nodes.some((node) => node.name === member.name)) nodes.push(notAsked(member));
    }
    const leader = clusters.find((cluster) => cluster.term === newest.term && cluster.leader !== null)?.leader ?? null;
    if (values.output === 'json') {
      const { clusterId, term, revision, members } = newest;
      await writeJson({ clusterId, leader, term, revision, nodes, members });
    } else {
      const head = `cluster ${newest.clusterId}, leader ${leader ?? 'unknown'}, term ${newest.term}`;
      await write(`${head}${rolesOf(newest.members)}\n\n`);
      await write(
        table(
          ['NAME', 'ENDPOINT', 'ROLE', 'LEADER', 'TERM', 'REVISION', 'APPLIED', 'HEALTH'],
          nodes.map((node) => [
            show(node.name),
            show(node.endpoint),
            show(node.role),
            show(node.leader),
            show(node.term),
            show(node.revision),
            show(node.appliedIndex),
            node.error === null ? node.health : `${node.health} (${node.error})`,
          ]),
        ),
      );
      if (new Set(clusters.map(({ clusterId }) => clusterId)).size > 1) {
        console.error('kvorum: these endpoints belong to different clusters');
      }
    }
    return leader === null ? EXIT.unavailable : EXIT.ok;
  },
};

async function view(connection: Connection, endpoint: URL): Promise<{ node: NodeStatus; cluster: Cluster | null }> {
  const { attempt } = await import('./client.ts');
  const { clusterAt, messageOf } = await import('./cluster-view.ts');
  try {
    const cluster = await clusterAt(connection, endpoint);
    const ready = await attempt(connection, endpoint, { method: 'GET', path: '/readyz' });
    const own = cluster.members.find(({ name }) => name === cluster.name);
    const leads = cluster.leader === cluster.name;
    const node: NodeStatus = {
      name: cluster.name,
      endpoint: endpoint.origin,
      role: leads ? 'leader' : own?.role === 'voter' ? 'follower' : (own?.role ?? null),
      leader: cluster.leader,
      term: cluster.term,
      revision: cluster.revision,
      appliedIndex: own?.appliedIndex ?? null,
      health: ready.status === 200 ? 'ready' : 'not ready',
      error: null,
    };
    return { node, cluster };
  } catch (error) {
    const node: NodeStatus = {
      name: null,
      endpoint: endpoint.origin,
      role: null,
      leader: null,
      term: null,
      revision: null,
      appliedIndex: null,
      health: 'unreachable',
      error: messageOf(error),
    };
    return { node, cluster: null };
  }
}

/** How many vote is what a majority is counted of; said where not all do. */
function rolesOf(members: readonly Member[]): string {
  const counts = new Map<string, number>();
  for (const { role } of members) counts.set(role, (counts.get(role) ?? 0) + 1);
  if (counts.size < 2) return '';
  const parts = ['voter', 'learner', 'agent'].map((role) => [role, counts.get(role) ?? 0] as const);
  const shown = parts
    .filter(([, count]) => count > 0)
    .map(([role, count]) => `${count} ${role}${count > 1 ? 's' : ''}`);
  return `: ${shown.join(', ')}`;
}

/** Gives an endpoint that did not answer the name under which the others know it. */
function named(node: NodeStatus, { members }: Cluster): NodeStatus {
  const member = members.find(({ http }) => http !== null && node.endpoint !== null && sameHost(http, node.endpoint));
  return member === undefined ? node : { ...node, name: member.name };
}

function sameHost(a: string, b: string): boolean {
  return hostOf(a) !== undefined && hostOf(a) === hostOf(b);
}

function hostOf(address: string): string | undefined {
  return URL.parse(/^https?:\/\//.test(address) ? address : `http://${address}`)?.host;
}

function show(value: string | number | null): string {
  return value === null ? '-' : String(value);
}

/** A member that no endpoint covers: what the others say of it. */
function notAsked(member: Member): NodeStatus {
  return {
    name: member.name,
    endpoint: member.http,
    role: member.role,
    leader: null,
    term: null,
    revision: null,
    appliedIndex: member.appliedIndex,
    health: member.health === 'alive' || member.health === 'suspect' ? member.health : 'unreachable',
    error: 'not asked: as the others see it',
  };
}
