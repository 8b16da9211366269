/** What a run has found, as it is written to verdict.json. */
import type { FaultRecord } from './schedule.ts';
import type { Second } from './timeline.ts';

/**
 * `violation`: a promise was broken. `void`: too little happened, or a check did not come to its end, so nothing was
 * shown. `error`: the lab itself failed.
 */
export type RunVerdict = 'ok' | 'violation' | 'void' | 'error';

export const EXIT_CODES: Readonly<Record<RunVerdict, number>> = { ok: 0, violation: 2, void: 1, error: 1 };

export interface WorkloadResult {
  readonly name: string;
  readonly about: string;
  readonly model: string;
  readonly operations: number;
  readonly ok: number;
  readonly fail: number;
  readonly unknown: number;
  readonly keys: number;
  readonly verdict: 'ok' | 'bad' | 'unknown';
  readonly reason: string | null;
  readonly checkMs: number;
  /** In the output directory. */
  readonly file: string;
  /** In the output directory; only of a failing part. */
  readonly picture: string | null;
  /** What more there is to tell; null for nothing. */
  readonly figures: string | null;
}

export interface NemesisResult {
  readonly name: string;
  readonly about: string;
  /** Why it could not be injected here; null when it could. */
  readonly skipped: string | null;
  readonly injected: number;
  /** It found nothing to do. */
  readonly passed: number;
}

export interface Versions {
  readonly kvorum: string;
  readonly commit: string;
  readonly node: string;
  readonly system: string;
}

export interface RunResult {
  readonly verdict: RunVerdict;
  readonly violations: readonly string[];
  readonly voids: readonly string[];
  readonly errors: readonly string[];
  readonly seed: number;
  /** Repeats the run. */
  readonly command: string;
  readonly nodes: number;
  readonly network: { readonly kind: string; readonly why: string };
  readonly versions: Versions;
  /** UTC. */
  readonly date: string;
  readonly loadMs: number;
  /** Operations a second asked for. */
  readonly rate: number;
  readonly ok: number;
  readonly fail: number;
  readonly unknown: number;
  readonly acknowledgedWrites: number;
  /** While no fault was at work. */
  readonly quiet: { readonly seconds: number; readonly okPerSecond: number };
  readonly endings: Readonly<Record<string, number>>;
  readonly workloads: readonly WorkloadResult[];
  readonly nemeses: readonly NemesisResult[];
  readonly faults: readonly FaultRecord[];
  readonly replicas: { readonly revision: number; readonly entries: number } | null;
}

export interface Measured {
  readonly seconds: readonly Second[];
}
