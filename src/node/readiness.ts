/** Whether a node can serve, and if not, why: one check for each thing that it takes. */
import type { Replica } from './replica.ts';
import type { Readiness } from './types.ts';

export interface NodeState {
  readonly failure: Error | null;
  readonly closing: boolean;
  /** It was started to join a running cluster. */
  readonly joining: boolean;
  readonly clusterId: string;
  /** Null until it has joined its cluster. */
  readonly replica: Replica | null;
}

export function readinessOf({ failure, closing, joining, clusterId, replica }: NodeState): Readiness {
  const checks: { name: string; ok: boolean; detail: string }[] = [];
  const check = (name: string, ok: boolean, detail: string): void => void checks.push({ name, ok, detail });
  check('running', failure === null, failure?.message ?? 'no failure');
  check('open', !closing, closing ? 'the node is closing' : 'not closing');
  if (replica === null) {
    check('joined', false, joining ? 'waiting to join' : 'waiting for the first members of the cluster');
  } else {
    const { leader } = replica.softState;
    const { commit: committed } = replica.core.status();
    const { appliedIndex, members } = replica.machine;
    const named = members.find(({ id }) => id === leader)?.name ?? leader;
    check('joined', true, `cluster ${clusterId}`);
    check('leader', leader !== null, leader === null ? 'no leader is known' : `${named} leads`);
    check('caught-up', replica.caughtUp, `applied ${appliedIndex} of ${committed} known to be committed`);
  }
  return { ready: checks.every(({ ok }) => ok), checks };
}
