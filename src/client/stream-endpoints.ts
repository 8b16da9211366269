/** `kvorum://HOST:PEERPORT`, which loads what it needs (and what a browser does not have) with the first call. */
import { KvorumError } from '../errors.ts';
import type { ClientTransport } from './api.ts';

const PREFIX = 'kvorum://';

export function isStreamEndpoint(endpoint: string): boolean {
  return endpoint.startsWith(PREFIX);
}

const METHODS = [
  ...(['put', 'get', 'delete', 'deleteRange', 'list', 'txn', 'compact', 'watch', 'cluster'] as const),
  ...(['leaseGrant', 'leaseRenew', 'leaseRevoke', 'leaseGet', 'leaseList'] as const),
  ...(['lockAcquire', 'lockRenew', 'lockRelease', 'lockGet', 'lockList', 'lockBreak'] as const),
  ...(['electionCampaign', 'electionProclaim', 'electionResign', 'electionGet', 'electionObserve'] as const),
  ...(['barrierEnter', 'barrierGet', 'counterAdd', 'counterGet', 'counterDelete'] as const),
];

type Name = Exclude<keyof ClientTransport, 'endpoint' | 'servedBy' | 'close'>;
/** Does not compile when one is missing. */
const ALL: readonly (Name extends (typeof METHODS)[number] ? Name : never)[] = METHODS;

/** As seen by who passes on whatever is given. */
type Loaded = Readonly<Record<string, (request: unknown, attempt: unknown) => Promise<unknown>>>;

/** One transport an endpoint. Throws ERR_INVALID_ARGUMENT for an endpoint that is none, or without a secret. */
export function streamTransports(
  endpoints: readonly string[],
  options: { readonly secret?: string | undefined; readonly name?: string | undefined },
): ClientTransport[] {
  const addresses = endpoints.map(addressOf);
  const { secret, name } = options;
  if (name !== undefined && (name === '' || name.length > 63)) throw invalid('name must have 1 to 63 characters');
  if (secret === undefined) throw invalid('kvorum:// endpoints need the secret of the cluster (`secret`)');
  let loading: Promise<ClientTransport[]> | null = null;
  const load = (): Promise<ClientTransport[]> => {
    loading ??= import('./stream/open.ts').then(({ openStreams }) => openStreams(addresses, { secret, name }));
    return loading;
  };
  return addresses.map((address, index) => {
    let transport: ClientTransport | null = null;
    const reach = async (): Promise<ClientTransport> => (transport = (await load())[index]!);
    const lazy: Record<string, unknown> = {
      endpoint: PREFIX + address,
      close: async () => {
        if (loading !== null) await (await reach()).close();
      },
    };
    for (const method of ALL) {
      const pass = (to: ClientTransport, request: unknown, attempt: unknown): Promise<unknown> =>
        (to as unknown as Loaded)[method]!(request, attempt);
      lazy[method] = (request: unknown, attempt: unknown): Promise<unknown> =>
        transport === null ? reach().then((to) => pass(to, request, attempt)) : pass(transport, request, attempt);
    }
    Object.defineProperty(lazy, 'servedBy', { get: () => transport?.servedBy ?? null });
    return lazy as unknown as ClientTransport;
  });
}

function addressOf(endpoint: string): string {
  const address = endpoint.slice(PREFIX.length).replace(/\/$/u, '');
  const match = /^(?:\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+):(\d{1,5})$/iu.exec(address);
  if (match !== null && Number(match[1]) > 0 && Number(match[1]) < 65_536) return address;
  throw invalid(`an endpoint such as kvorum://127.0.0.1:7201 names a peer port; ${JSON.stringify(endpoint)} does not`);
}

function invalid(message: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', message);
}
