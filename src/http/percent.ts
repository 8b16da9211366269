/** Percent-encoding, decoded once and strictly. */

const NOT_ASCII = /[^\0-\u007f]/u;

/**
 * The text that a percent-encoded piece of a request target stands for, null when it stands for none: a broken escape,
 * escapes that are not UTF-8, or a character that had to be escaped.
 */
export function decodePercent(piece: string): string | null {
  if (NOT_ASCII.test(piece)) return null;
  if (!piece.includes('%')) return piece;
  try {
    return decodeURIComponent(piece);
  } catch {
    // URIError. What is wrong is the caller's to report: it knows whether this is a key or an option.
    return null;
  }
}
