/** What has to be true once all is healed, beside what the histories say. */
import { setTimeout as delay } from 'node:timers/promises';

import { until } from '../integration/until.ts';
import { callNode } from './http-client.ts';
import type { KvClient } from './kv-client.ts';
import type { RunningLab } from './lab.ts';
import type { RealNode } from './lab-node.ts';
import type { StoredEntry, Witness } from './witness.ts';

const WHOLE_TIMEOUT_MS = 90_000;
const EQUAL_TIMEOUT_MS = 60_000;
const READY_DEADLINE_MS = 2000;
const MAX_SHOWN = 10;
const PAGE = 200;

export interface Replicas {
  /** Of the store at the end. */
  readonly revision: number;
  readonly entries: number;
  readonly problems: readonly string[];
}

/** Every node runs and serves, and all follow one leader. Rejects when that takes too long. */
export async function waitUntilWhole(lab: RunningLab): Promise<void> {
  for (const node of lab.nodes) {
    if (node.paused) node.resume();
    if (!node.alive) node.start();
  }
  const whole = async (): Promise<boolean> => {
    const dead = lab.nodes.find((node) => !node.alive);
    if (dead !== undefined) throw new Error(`${dead.name} does not run`);
    const ready = await Promise.all(lab.nodes.map(isReady));
    const views = await lab.views();
    const [first] = views;
    if (first === undefined || first.leader === null || !ready.every(Boolean)) return false;
    return (
      views.length === lab.nodes.length &&
      views.every(({ leader, term }) => leader === first.leader && term === first.term)
    );
  };
  await until(whole, {
    ...{ timeoutMs: WHOLE_TIMEOUT_MS, what: 'every node serves and follows one leader', pollMs: 100 },
    explain: () => lab.logTails(),
  });
}

async function isReady(node: RealNode): Promise<boolean> {
  const answer = await callNode(node.url, { method: 'GET', path: '/readyz', deadlineMs: READY_DEADLINE_MS });
  return answer.type === 'answer' && answer.status === 200;
}

/** Asks each node for all that it has, without asking the others, and compares. */
export async function compareReplicas(
  lab: RunningLab,
  client: KvClient,
  witness: Witness,
  mayBeDeleted: (key: string) => boolean,
): Promise<Replicas> {
  const { revision } = await until(
    async () => {
      const [first, ...rest] = await lab.views();
      if (first === undefined || rest.length + 1 < lab.nodes.length) return null;
      return rest.every((view) => view.revision === first.revision) ? first : null;
    },
    { timeoutMs: EQUAL_TIMEOUT_MS, what: 'all nodes have the same revision', pollMs: 200 },
  );
  const problems: string[] = [];
  let reference: { name: string; entries: ReadonlyMap<string, StoredEntry> } | null = null;
  for (const node of lab.nodes) {
    const entries = await allOf(lab, client, node);
    if (reference === null) {
      reference = { name: node.name, entries };
      problems.push(...witness.missing(entries, mayBeDeleted).slice(0, MAX_SHOWN));
      continue;
    }
    for (const difference of differences(reference.entries, entries).slice(0, MAX_SHOWN)) {
      problems.push(`${reference.name} and ${node.name} differ: ${difference}`);
    }
  }
  return { revision, entries: reference?.entries.size ?? 0, problems };
}

async function allOf(lab: RunningLab, client: KvClient, node: RealNode): Promise<ReadonlyMap<string, StoredEntry>> {
  const deadline = performance.now() + EQUAL_TIMEOUT_MS;
  for (;;) {
    const result = await client.list(node, '', { stale: true, pageSize: PAGE, signal: lab.signal });
    if (result.type === 'listed') return result.entries;
    if (performance.now() > deadline) throw new Error(`${node.name} does not list what it has: ${result.error}`);
    await delay(200);
  }
}

function differences(left: ReadonlyMap<string, StoredEntry>, right: ReadonlyMap<string, StoredEntry>): string[] {
  const found: string[] = [];
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const [a, b] = [left.get(key), right.get(key)];
    if (a?.revision !== b?.revision || a?.value !== b?.value) {
      found.push(`${key} is of revision ${a?.revision ?? 'none'} and ${b?.revision ?? 'none'}`);
    }
  }
  return found;
}

/** What no fault excuses: broken invariants and errors that nobody caught. */
export function findInLogs(lab: RunningLab): string[] {
  const pattern = /ERR_INVARIANT|ERR_INTERNAL|uncaught error|unhandled/i;
  return lab.nodes.flatMap((node) =>
    node
      .logs()
      .split('\n')
      .filter((line) => pattern.test(line))
      .slice(0, MAX_SHOWN)
      .map((line) => `${node.name} logged: ${line.slice(0, 500)}`),
  );
}
