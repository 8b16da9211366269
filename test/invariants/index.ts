/** All invariants, one file each. A fresh list for each run: they remember what they saw. */
import { acknowledgedKept } from './acknowledged-kept.ts';
import { appendContiguous } from './append-contiguous.ts';
import { boundedInflight } from './bounded-inflight.ts';
import { boundedUncommitted } from './bounded-uncommitted.ts';
import { configurationsFollow } from './configurations-follow.ts';
import { electedByQuorum } from './elected-by-quorum.ts';
import { electionSafety } from './election-safety.ts';
import { leaderAppendOnly } from './leader-append-only.ts';
import { leaderCompleteness } from './leader-completeness.ts';
import { learnersPassive } from './learners-passive.ts';
import { logMatching } from './log-matching.ts';
import { matchIsTrue } from './match-is-true.ts';
import { monotonic } from './monotonic.ts';
import { promisesKept } from './promises-kept.ts';
import { quorumCommit } from './quorum-commit.ts';
import { readLinearizability } from './read-linearizability.ts';
import { snapshotForward } from './snapshot-forward.ts';
import { stateMachineSafety } from './state-machine-safety.ts';
import { voteOnce } from './vote-once.ts';
import type { Invariant } from './world.ts';

export function allInvariants(): Invariant[] {
  return [
    electedByQuorum(),
    electionSafety(),
    leaderAppendOnly(),
    logMatching(),
    leaderCompleteness(),
    stateMachineSafety(),
    monotonic(),
    voteOnce(),
    promisesKept(),
    appendContiguous(),
    quorumCommit(),
    matchIsTrue(),
    readLinearizability(),
    boundedUncommitted(),
    boundedInflight(),
    snapshotForward(),
    acknowledgedKept(),
    learnersPassive(),
    configurationsFollow(),
  ];
}
