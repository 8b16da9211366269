/** Defaults of `DhtTuning`, and what makes no sense. */
import { KvorumError } from '../errors.ts';
import { LIMITS } from './limits.ts';
import type { DhtTuning } from './types.ts';

const HOUR_MS = 3_600_000;

/** k, α, tReplicate and tRefresh are the paper's; the life of records is shorter than its 24 h where services come and go. */
export const DEFAULT_TUNING: DhtTuning = {
  k: 20,
  alpha: 3,
  requestTimeoutMs: 2_000,
  slowAfterMs: 500,
  maxFailures: 2,
  maxReplacements: 10,
  pingIdleMs: 300_000,
  probeIdleMs: 600_000,
  queryDeadlineMs: 30_000,
  maxRequestsPerQuery: 200,
  maxPaths: 8,
  maxQueries: 64,
  maxUpkeepQueries: 2,
  maxPendingRequests: 1_024,
  refreshIntervalMs: HOUR_MS,
  upkeepIntervalMs: 30_000,
  replicateIntervalMs: HOUR_MS,
  recordTtlMs: 24 * HOUR_MS,
  providerTtlMs: HOUR_MS / 2,
  maxTtlMs: 48 * HOUR_MS,
  clockToleranceMs: 60_000,
  maxRecordBytes: 4_096,
  maxRecords: 4_096,
  maxStoredBytes: 8 * 2 ** 20,
  maxRecordsPerPeer: 128,
  maxBytesPerPeer: 256 * 1_024,
  maxProvidersPerKey: 256,
  maxProvidersPerAnswer: 20,
  maxOwned: 1_024,
};

const AT_MOST: Partial<DhtTuning> = {
  k: LIMITS.contacts,
  // One bit each.
  maxPaths: 31,
  maxRecordBytes: LIMITS.valueBytes,
  maxProvidersPerAnswer: LIMITS.records,
};

/** @throws KvorumError ERR_CONFIG */
export function tuningOf(given: Partial<DhtTuning> = {}): DhtTuning {
  const tuning = { ...DEFAULT_TUNING, ...given };
  for (const name of Object.keys(DEFAULT_TUNING) as (keyof DhtTuning)[]) {
    const value = tuning[name];
    const most = AT_MOST[name] ?? Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(value) || value < 1 || value > most) {
      throw new KvorumError('ERR_CONFIG', `dht: ${name} must be a whole number from 1 to ${most}, is ${value}`);
    }
  }
  for (const name of ['recordTtlMs', 'providerTtlMs'] as const) {
    if (tuning[name] > tuning.maxTtlMs) throw new KvorumError('ERR_CONFIG', `dht: ${name} must be at most maxTtlMs`);
  }
  return tuning;
}
