/** How a client is made. */
import { KvorumError } from '../errors.ts';
import type { ClientTransport, MemberInfo } from './api.ts';
import { clientOver } from './client.ts';
import type { Client } from './client.ts';
import { text } from './codec.ts';
import { REAL_ENVIRONMENT } from './environment.ts';
import { FetchTransport } from './fetch-transport.ts';
import { baseUrlOf } from './http-link.ts';
import type { Fetch } from './http-link.ts';
import type { ConnectOptions } from './options.ts';
import { checkStreamEndpoint, isStreamEndpoint, StreamEndpoints, streamEndpoint } from './stream-endpoints.ts';

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
  const streams = [...new Set(list.filter(isStreamEndpoint))];
  const urls = [...new Set(list.filter((endpoint) => !isStreamEndpoint(endpoint)).map(baseUrlOf))];
  const peers = streams.length === 0 ? null : new StreamEndpoints(options);
  const open = (endpoint: string): ClientTransport =>
    peers !== null && isStreamEndpoint(endpoint)
      ? peers.open(endpoint)
      : new FetchTransport(endpoint, { fetch, token, environment });
  // By the ways that are in use already: who speaks HTTP may have no way to the peer ports, and no secret.
  const endpointsOf = ({ role, http, addresses }: MemberInfo): readonly string[] => {
    if (role === 'agent') return [];
    const found: string[] = [];
    if (peers !== null && addresses[0] !== undefined) found.push(streamEndpoint(addresses[0]));
    if (urls.length > 0 && http !== null) found.push(http);
    return found.filter(isEndpoint);
  };
  const discovery = options.discover === true ? { endpointsOf, open } : null;
  return clientOver([...streams, ...urls].map(open), text, options, { discovery });
}

/** What members say of themselves may be anything. */
function isEndpoint(text: string): boolean {
  try {
    if (isStreamEndpoint(text)) checkStreamEndpoint(text);
    else baseUrlOf(text);
    return true;
  } catch (error) {
    if (KvorumError.is(error, 'ERR_INVALID_ARGUMENT')) return false;
    throw error;
  }
}

/** Looked up with each call, so that whoever replaces it later is heard. */
const globalFetch: Fetch = (url, init) => fetch(url, init);
