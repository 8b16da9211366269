/** What becomes of a node that is started, or that should stop by itself. */
import { until } from '../../integration/until.ts';
import type { LabNode } from '../types.ts';

/** `ERR_X` of the line with which it ended; `ready`; `pending` when it runs and does not serve. */
export type Start = { readonly kind: 'ended'; readonly code: string } | { readonly kind: 'ready' | 'pending' };

/** The node did what it must not do under a fault. */
export class WrongUnderFault extends Error {
  override readonly name = 'WrongUnderFault';
}

/** Code of the last line that says why the node ended; `none` when it did not say. */
export function lastErrorCode(node: LabNode): string {
  const codes = [...node.logs().matchAll(/^kvorum: (ERR_\w+)/gm)];
  return codes.at(-1)?.[1] ?? 'none';
}

/** Starts it, and resolves when it serves, has ended, or neither has come within the time. */
export async function startAndSee(node: LabNode, timeoutMs: number): Promise<Start> {
  if (!node.alive) node.start();
  let serves = false;
  node.ready().then(
    () => {
      serves = true;
    },
    () => undefined,
  );
  try {
    await until(() => serves || !node.alive, { timeoutMs, what: `${node.name} serves or ends` });
  } catch {
    return { kind: 'pending' };
  }
  return node.alive ? { kind: 'ready' } : { kind: 'ended', code: lastErrorCode(node) };
}

/** Starts it after its fault is gone. It may take its time, as others may be away; but it must not end. */
export async function startAgain(node: LabNode, timeoutMs = 10_000): Promise<void> {
  const start = await startAndSee(node, timeoutMs);
  if (start.kind === 'ended') {
    throw new WrongUnderFault(`${node.name} ended with ${start.code} although its fault is gone`);
  }
}

/** True when it ended by itself within the time. */
export async function endsByItself(node: LabNode, timeoutMs: number): Promise<boolean> {
  try {
    await until(() => !node.alive, { timeoutMs, what: `${node.name} ends` });
    return true;
  } catch {
    return false;
  }
}
