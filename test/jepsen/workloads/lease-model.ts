/**
 * A key that hangs on a lease, by what its owner did: it is there for as long as the lease's time to live from when the last
 * acknowledged renewal was **sent**, because the cluster counts from when that arrived. How long it is there after that is
 * not said here: leases may last longer while leaders change.
 * - `grant` with the TTL in ms as input, output the id. `renew`, output true, or false when the lease has ended.
 * - `guard`: the owner's client library vouched for the lease, at `call`.
 * - `put`: the key was written, output true, or false when the lease has ended.
 * - `read`: output true when the key is there. `revoke`: from its call on it may be gone.
 * Times are microseconds.
 */
import type { Finding, Model, Operation } from '../../../src/checker/index.ts';

const OPERATIONS = ['grant', 'renew', 'guard', 'put', 'read', 'revoke'];

export const leased: Model = {
  name: 'leased',
  byKey: true,
  refuse: ({ op }) => (OPERATIONS.includes(op) ? null : `the model has no operation ${op}`),
  check: (operations) => {
    const grant = operations.find(({ op }) => op === 'grant');
    if (grant === undefined) return OK;
    const ttlUs = Number(grant.input) * 1000;
    const answered = operations.filter(({ return: returned }) => returned !== null);
    const putBefore = (at: number): boolean =>
      answered.some(({ op, output, return: returned }) => op === 'put' && output === true && (returned ?? at) < at);
    const revoked = Math.min(...operations.filter(({ op }) => op === 'revoke').map(({ call }) => call));
    for (const gone of answered) {
      const { op, output, call, return: returned } = gone;
      const isGone = output === false && (op === 'renew' || op === 'put' || (op === 'read' && putBefore(call)));
      if (!isGone || returned === null || returned > revoked) continue;
      for (const kept of answered) {
        const earlyUs = aliveUntil(kept, ttlUs) - returned;
        if (earlyUs <= 0) continue;
        const reason = `the lease had ended ${(earlyUs / 1000).toFixed(1)} ms before its time: ${kept.op} was sent at ${kept.call}, TTL ${ttlUs / 1000} ms, and ${op} was told at ${returned} that it is gone`;
        return { verdict: 'bad', reason, culprits: [kept, gone], orders: [] };
      }
    }
    return OK;
  },
};

const OK: Finding = { verdict: 'ok', reason: null, culprits: [], orders: [] };

/** The lease cannot have ended before. */
function aliveUntil({ op, output, call }: Operation, ttlUs: number): number {
  if (op === 'grant' || (op === 'renew' && output === true)) return call + ttlUs;
  return op === 'guard' ? call : -Infinity;
}
