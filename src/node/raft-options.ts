/** How the Raft core of a node is set up. */
import type { Limits, Timing } from './types.ts';

export function raftOptions(timing: Timing, limits: Limits) {
  const ticks = (ms: number): number => Math.max(1, Math.round(ms / timing.tickMs));
  return {
    electionTicks: ticks(timing.electionTimeoutMs),
    heartbeatTicks: ticks(timing.heartbeatMs),
    crashHintTicks: Math.round(timing.crashHintMs / timing.tickMs),
    maxAppendBytes: 1024 * 1024,
    maxInflightMessages: 256,
    // A follower that lags is served from the disk, synchronously and in one turn, up to this much.
    maxInflightBytes: 4 * 1024 * 1024,
    maxUncommittedBytes: limits.maxUncommittedBytes,
    maxApplyBytes: 4 * 1024 * 1024,
    maxCachedBytes: 16 * 1024 * 1024,
    leaseReads: false,
  };
}
