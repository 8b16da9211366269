/** Members that are removed and come back as new nodes: what scenarios and nemeses do through the API and the command line. */
import { until } from '../integration/until.ts';
import { emptyDirectory } from './faults/files.ts';
import { expectEnds, shimOf } from './faults/equipment.ts';
import { callNode } from './http-client.ts';
import type { Lab, LabNode } from './types.ts';

const CALL_DEADLINE_MS = 8000;
const REMOVED = 'ERR_MEMBER_REMOVED';

export interface MemberView {
  readonly name: string;
  readonly id: string;
  readonly role: string;
  readonly health: string;
}

/** As this node knows them; null when it does not answer. */
export async function membersAt(node: LabNode): Promise<readonly MemberView[] | null> {
  const answer = await callNode(node.url, { method: 'GET', path: '/v1/cluster', deadlineMs: 1000 });
  if (answer.type !== 'answer' || answer.status !== 200) return null;
  return (JSON.parse(answer.body.toString()) as { members: readonly MemberView[] }).members;
}

/** Asks once. The problem's code, `done`, or why nobody answered. */
export async function askToRemove(asked: LabNode, name: string): Promise<string> {
  const path = `/v1/cluster/members/${name}?timeout=5s`;
  const answer = await callNode(asked.url, { method: 'DELETE', path, deadlineMs: CALL_DEADLINE_MS });
  if (answer.type !== 'answer') return answer.error;
  if (answer.status === 200) return 'done';
  return String((JSON.parse(answer.body.toString()) as { code?: string }).code);
}

/** Asks the others until it is done; they may be busy, or without a leader for a while. The node then stops by itself, and that is right. */
export async function remove(lab: Lab, node: LabNode, timeoutMs: number): Promise<void> {
  expectEnds(node, [REMOVED]);
  await until(
    async () => {
      const others = lab.nodes.filter((other) => other !== node && other.alive && !other.paused);
      return others.length > 0 && (await askToRemove(lab.chance.pick(others), node.name)) === 'done';
    },
    { timeoutMs, what: `${node.name} is removed`, pollMs: 100 },
  );
}

/** The node is no process: what it starts as from now on is a new node on an empty disk. */
export async function makeNew(lab: Lab, node: LabNode, options: { readonly replaces: boolean }): Promise<void> {
  emptyDirectory(node.dataDir);
  (await shimOf(lab, node))?.forget();
  node.becomeNew(options);
  expectEnds(node, []);
}

/** Until every node that answers has it among its voters, under the identity that it has now. */
export async function isVoterEverywhere(lab: Lab, node: LabNode, before: string | null): Promise<boolean> {
  const views = await Promise.all(lab.nodes.map(membersAt));
  return views.every((members) => {
    const member = members?.find(({ name }) => name === node.name);
    return member !== undefined && member.role === 'voter' && member.id !== before;
  });
}
