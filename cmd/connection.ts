/** Options that every command has which speaks to a cluster. */
import { CONFIG_OPTION } from './command.ts';
import type { Connection } from './client.ts';
import { option, type Options, type Values } from './options.ts';
import { duration, endpoints, filePath, oneOf, onceKey } from './parse.ts';
import { readToken } from './secret.ts';

const DEFAULT_ENDPOINTS = 'http://127.0.0.1:7101,http://127.0.0.1:7102,http://127.0.0.1:7103';

export const CLIENT_OPTIONS = {
  endpoints: option({
    flags: '--endpoints <urls>',
    description: 'nodes to ask, in this order, comma-separated',
    parse: endpoints,
    fallback: endpoints(DEFAULT_ENDPOINTS, { base: '.' }),
    shown: 'the local cluster, ports 7101 to 7103',
    group: 'Connection:',
  }),
  timeout: option({
    flags: '--timeout <duration>',
    description: 'how long to wait for an answer, at most 60s',
    parse: duration(1, 60_000),
    fallback: 4000,
    shown: '4s',
    group: 'Connection:',
  }),
  httpTokenFile: option({
    flags: '--http-token-file <file>',
    description: 'file with the bearer token that the nodes ask for; the token itself may be in KVORUM_HTTP_TOKEN',
    parse: filePath,
    fallback: undefined,
    group: 'Connection:',
  }),
  ...CONFIG_OPTION,
  output: option({
    flags: '-o, --output <format>',
    description: 'text for people, json for programs',
    parse: oneOf('text', 'json'),
    fallback: 'text' as const,
    shown: 'text',
  }),
} satisfies Options;

export const KEY_ENCODING_OPTION = {
  keyEncoding: option({
    flags: '--key-encoding <encoding>',
    description: 'utf8, or base64url for keys that are not text (default: utf8)',
    parse: oneOf('utf8', 'base64url'),
    fallback: 'utf8' as const,
    callOnly: true,
  }),
} satisfies Options;

export const ONCE_OPTION = {
  once: option({
    flags: '--once <key>',
    description: 'do it once, however often it is sent with this key within an hour, by this command or another',
    parse: onceKey,
    fallback: undefined,
    callOnly: true,
  }),
} satisfies Options;

export function connectionOf(values: Values<typeof CLIENT_OPTIONS>): Connection {
  return {
    endpoints: values.endpoints,
    timeoutMs: values.timeout,
    token: readToken(values.httpTokenFile, process.env),
  };
}
