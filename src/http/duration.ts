/** Durations as users write them, on HTTP and on the command line: `250`, `"250ms"`, `"15s"`, `"5m"`, `"1h"`. */

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const TEXT = /^(\d{1,15})(ms|s|m|h)?$/u;

/**
 * Milliseconds of a whole, non-negative number (or its digits), or of whole digits with a unit; null for anything else.
 *
 * @example
 * parseDuration('15s'); // 15000
 * parseDuration(250); // 250
 * parseDuration('soon'); // null
 */
export function parseDuration(value: unknown): number | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : null;
  if (typeof value !== 'string') return null;
  const match = TEXT.exec(value);
  if (match === null) return null;
  const ms = Number(match[1]) * (UNITS[match[2] ?? 'ms'] ?? Number.NaN);
  return Number.isSafeInteger(ms) ? ms : null;
}
