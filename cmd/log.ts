/** The logger of a standalone node: pino on standard error, as JSON lines or as text for people. */
import { pino, type Logger } from 'pino';

import { printable } from './output.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'text' | 'json';

export function createLogger(options: { level: LogLevel; format: LogFormat }): Logger {
  // Synchronous, because the last line before an exit is the one that matters. A node logs little.
  const stderr = pino.destination({ fd: 2, sync: true });
  const destination =
    options.format === 'json'
      ? stderr
      : {
          write: (line: string) => {
            const parsed = parseLogLine(line);
            stderr.write(parsed === null ? line : `${formatLogLine(parsed)}\n`);
          },
        };
  return pino({ level: options.level, base: null }, destination);
}

export interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly node: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Null for what pino did not write: a stack trace, a warning of Node's own. */
export function parseLogLine(line: string): LogLine | null {
  if (!line.startsWith('{')) return null;
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { level, time, node, msg, ...fields } = parsed;
  if (typeof level !== 'number' || typeof time !== 'number') return null;
  return {
    level,
    time,
    node: typeof node === 'string' ? node : '',
    message: typeof msg === 'string' ? msg : '',
    fields,
  };
}

/** `12:04:05.678 INFO  n1 became leader term=3` */
export function formatLogLine({ level, time, node, message, fields }: LogLine): string {
  const clock = new Date(time).toISOString().slice(11, 23);
  const word = level >= 50 ? 'ERROR' : level >= 40 ? 'WARN ' : level >= 30 ? 'INFO ' : 'DEBUG';
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${formatField(value)}`);
  return `${clock} ${word} ${node === '' ? '' : `${node} `}${printable(message)}${rest.join('')}`;
}

function formatField(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && value !== null && 'message' in value) return JSON.stringify(value.message);
  return JSON.stringify(value) ?? 'undefined';
}
