/** A value of a node's /metrics. */
import { callNode } from '../http-client.ts';
import type { LabNode } from '../types.ts';

const DEADLINE_MS = 2000;

/** The first of that name, whatever its labels; null when the node does not answer or has none. */
export async function metricOf(node: LabNode, name: string): Promise<number | null> {
  if (!node.alive) return null;
  const answer = await callNode(node.url, { method: 'GET', path: '/metrics', deadlineMs: DEADLINE_MS });
  if (answer.type !== 'answer' || answer.status !== 200) return null;
  const line = answer.body
    .toString()
    .split('\n')
    .find((text) => text.startsWith(`${name} `) || text.startsWith(`${name}{`));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ') + 1));
}
