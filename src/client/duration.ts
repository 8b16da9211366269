/** Durations as users write them. */
import { KvorumError } from '../errors.ts';

/** Milliseconds, or whole digits with a unit: `250`, `'250ms'`, `'15s'`, `'5m'`, `'1h'`. */
export type Duration = number | string;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const TEXT = /^(\d{1,15})(ms|s|m|h)$/u;

/**
 * Milliseconds, a whole number of them (`Infinity` where `name` may be endless). Throws ERR_INVALID_ARGUMENT.
 *
 * @example
 * durationMs('ttl', '15s'); // 15000
 */
export function durationMs(name: string, value: Duration, { endless = false } = {}): number {
  if (typeof value === 'number') {
    if (value >= 0 && (Number.isFinite(value) || (endless && value === Infinity))) return Math.round(value);
  } else {
    const match = TEXT.exec(value);
    const ms = match === null ? Number.NaN : Number(match[1]) * (UNITS[match[2]!] ?? Number.NaN);
    if (Number.isSafeInteger(ms)) return ms;
  }
  throw new KvorumError(
    'ERR_INVALID_ARGUMENT',
    `${name} must be a duration such as 1500, '250ms', '15s', '5m' or '1h'; it is ${JSON.stringify(value)}`,
    { details: { option: name } },
  );
}
