/** Writes that make the log grow, and the store hardly: a few keys, again and again. */
import { callNode } from '../http-client.ts';
import type { RealNode } from '../lab-node.ts';
import { FILLER_PREFIX } from '../nemeses/snapshot.ts';
import type { Stage } from './stage.ts';

const KEYS = 20;
const BYTES = 8 * 1024;
const WRITES = 400;
const WIDTH = 8;
const DEADLINE_MS = 5000;

/** Some MB at this node. */
export async function fill(stage: Stage, node: RealNode, writes = WRITES): Promise<void> {
  const numbers = Array.from({ length: writes }, (_, number) => number).values();
  const body = 'f'.repeat(BYTES);
  const writer = async (): Promise<void> => {
    for (const number of numbers) {
      const path = `/v1/kv/${FILLER_PREFIX}${number % KEYS}`;
      await stage.until(async () => {
        const answer = await callNode(node.url, { method: 'PUT', path, body, deadlineMs: DEADLINE_MS });
        return answer.type === 'answer' && answer.status === 200;
      }, 'a write that fills the log');
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, writer));
}
