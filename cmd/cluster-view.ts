/** The cluster as its nodes see it: each endpoint is asked for its own view. */
import { KvorumError } from '../src/errors.ts';
import type { Connection } from './client.ts';

export interface Member {
  readonly id: string;
  readonly name: string;
  readonly peerId: string;
  readonly role: string;
  readonly addresses: readonly string[];
  readonly http: string | null;
  readonly health: string;
  readonly matchIndex: number | null;
  readonly appliedIndex: number | null;
}

/** As of GET /v1/cluster. */
export interface Cluster {
  readonly clusterId: string;
  /** Of the node that answered. */
  readonly name: string;
  readonly leader: string | null;
  readonly term: number;
  readonly revision: number;
  readonly members: readonly Member[];
}

/** The view of one node. @throws KvorumError */
export async function clusterAt(connection: Connection, endpoint: URL): Promise<Cluster> {
  const { attempt, jsonOf, problemOf } = await import('./client.ts');
  const answer = await attempt(connection, endpoint, { method: 'GET', path: '/v1/cluster' });
  if (answer.status >= 400) throw problemOf(answer, { method: 'GET' });
  return jsonOf(answer) as Cluster;
}

/** The highest term is the newest word on who leads and who belongs. */
export function newestOf(views: readonly Cluster[]): Cluster | undefined {
  return views.toSorted((a, b) => b.term - a.term || b.revision - a.revision)[0];
}

/** That of the leader when it is among the endpoints, because it alone knows how far the others are; else the newest. @throws KvorumError ERR_UNAVAILABLE */
export async function bestView(connection: Connection): Promise<Cluster> {
  const answers = await Promise.allSettled(connection.endpoints.map((endpoint) => clusterAt(connection, endpoint)));
  const views = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const newest = newestOf(views);
  if (newest === undefined) {
    const reasons = answers.map((answer) => (answer.status === 'rejected' ? messageOf(answer.reason) : ''));
    throw noNode(reasons);
  }
  return views.find(({ name, leader, term }) => name === leader && term === newest.term) ?? newest;
}

/** Why no node has answered. */
export function noNode(reasons: readonly string[]): KvorumError {
  return new KvorumError(
    'ERR_UNAVAILABLE',
    `no node could be reached: ${reasons.join('; ')} (is a cluster running? see \`kvorum local --help\`)`,
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
