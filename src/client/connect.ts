/** How a client is made. */
import { KvorumError } from '../errors.ts';
import { clientOver } from './client.ts';
import type { Client } from './client.ts';
import { text } from './codec.ts';
import { REAL_ENVIRONMENT } from './environment.ts';
import { FetchTransport } from './fetch-transport.ts';
import { baseUrlOf } from './http-link.ts';
import type { Fetch } from './http-link.ts';
import type { ConnectOptions } from './options.ts';
import { isStreamEndpoint, streamTransports } from './stream-endpoints.ts';

/**
 * A client of the cluster behind these endpoints: base URLs of nodes, one or several, in no particular order; any of them answers for all. Nothing is
 * sent until something is asked. Throws ERR_INVALID_ARGUMENT.
 *
 * In Node.js an endpoint may also be `kvorum://HOST:PEERPORT`, with the cluster's `secret`: one encrypted connection to the peer port for everything, several times faster
 * than HTTP when much is asked at once. What it takes is loaded with the first call.
 *
 * @example
 * import { connect } from 'kvorum/client';
 *
 * const client = connect(['http://127.0.0.1:7101', 'http://127.0.0.1:7102', 'http://127.0.0.1:7103']);
 * try {
 *   await client.put('greeting', 'hello');
 *   const entry = await client.get('greeting'); // entry.value is 'hello'
 * } finally {
 *   await client.close();
 * }
 */
export function connect(endpoints: string | readonly string[], options: ConnectOptions = {}): Client {
  const list = typeof endpoints === 'string' ? [endpoints] : endpoints;
  if (list.length === 0) throw new KvorumError('ERR_INVALID_ARGUMENT', 'a client needs an endpoint');
  const { fetch = globalFetch, token = null, environment = REAL_ENVIRONMENT } = options;
  const streams = list.filter(isStreamEndpoint);
  const urls = list.filter((endpoint) => !isStreamEndpoint(endpoint));
  const transports = [
    ...(streams.length === 0 ? [] : streamTransports([...new Set(streams)], options)),
    ...[...new Set(urls.map(baseUrlOf))].map((base) => new FetchTransport(base, { fetch, token, environment })),
  ];
  return clientOver(transports, text, options);
}

/** Looked up with each call, so that whoever replaces it later is heard. */
const globalFetch: Fetch = (url, init) => fetch(url, init);
