/** Figures by name, null where the system does not say. */
export type Figures = Readonly<Record<string, number | null>>;

/** What one load gave. Both generators, ours and etcd's, are brought to this form. */
export interface LoadResult {
  /** Acknowledged within the measured time. */
  readonly ops: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Requests without a good answer, by reason. */
  readonly errors: Readonly<Record<string, number>>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
