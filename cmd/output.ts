/** Writing to standard output: raw bytes, lines, tables, JSON. */

/** An entry as the HTTP API gives it; `value` is absent with keysOnly. */
export interface JsonEntry {
  readonly key: string;
  readonly keyEncoding?: 'utf8' | 'base64url';
  readonly value?: string;
  readonly encoding?: 'utf8' | 'base64';
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string | null;
  readonly contentType?: string | null;
}

/** Waits until the bytes were taken, so that a slow reader holds the writer back instead of filling memory. */
export async function write(data: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (error && (error as NodeJS.ErrnoException).code !== 'EPIPE') reject(error);
      else resolve();
    });
  });
}

export async function writeJson(value: unknown): Promise<void> {
  await write(`${JSON.stringify(value)}\n`);
}

/** The answer itself for programs, `text` for people. */
export async function tell(
  { output }: { readonly output: 'text' | 'json' },
  answer: object,
  text: string,
): Promise<void> {
  if (output === 'json') await writeJson(answer);
  else await write(text);
}

/** Text on one line, without characters that would steer a terminal. */
export function printable(value: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return value.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]/g, (character) => {
    const short = ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' } as Record<string, string>)[character];
    return short ?? `\\u${character.codePointAt(0)?.toString(16).padStart(4, '0')}`;
  });
}

export function printableKey(entry: JsonEntry): string {
  return entry.keyEncoding === 'base64url' ? `base64url:${entry.key}` : printable(entry.key);
}

/** The value on one line: text as it is, bytes by their number. */
export function printableValue(entry: JsonEntry): string {
  if (entry.value === undefined) return '';
  if (entry.encoding === 'base64') return `(${Buffer.from(entry.value, 'base64').length} bytes)`;
  return printable(entry.value);
}

/** Columns as wide as they need to be, two spaces between them. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [header, ...rows].map((row) => `${line(row)}\n`).join('');
}
