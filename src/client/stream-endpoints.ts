/** `kvorum://HOST:PEERPORT`, which loads what it needs (and what a browser does not have) with the first call. */
import { KvorumError } from '../errors.ts';
import type { ClientTransport } from './api.ts';
import type { Streams } from './stream/open.ts';

const PREFIX = 'kvorum://';

export function isStreamEndpoint(endpoint: string): boolean {
  return endpoint.startsWith(PREFIX);
}

const METHODS = [
  ...(['put', 'get', 'delete', 'deleteRange', 'list', 'txn', 'compact', 'watch', 'cluster'] as const),
  ...(['members', 'membersWatch'] as const),
  ...(['leaseGrant', 'leaseRenew', 'leaseRevoke', 'leaseGet', 'leaseList'] as const),
  ...(['lockAcquire', 'lockRenew', 'lockRelease', 'lockGet', 'lockList', 'lockBreak'] as const),
  ...(['electionCampaign', 'electionProclaim', 'electionResign', 'electionGet', 'electionObserve'] as const),
  ...(['barrierEnter', 'barrierGet', 'counterAdd', 'counterGet', 'counterDelete'] as const),
];

type Name = Exclude<keyof ClientTransport, 'endpoint' | 'servedBy' | 'announce' | 'close'>;
/** Does not compile when one is missing. */
const ALL: readonly (Name extends (typeof METHODS)[number] ? Name : never)[] = METHODS;

/** As seen by who passes on whatever is given. */
type Loaded = Readonly<Record<string, (request: unknown, attempt: unknown) => Promise<unknown>>>;

/** Makes transports, one an endpoint, that share a key. What they stand on ends with the last of them. */
export class StreamEndpoints {
  readonly #options: { readonly secret: string; readonly name?: string | undefined };
  #loading: Promise<Streams> | null = null;
  #open = 0;

  /** Throws ERR_INVALID_ARGUMENT without a secret. */
  constructor({ secret, name }: { readonly secret?: string | undefined; readonly name?: string | undefined }) {
    if (name !== undefined && (name === '' || name.length > 63)) throw invalid('name must have 1 to 63 characters');
    if (secret === undefined) throw invalid('kvorum:// endpoints need the secret of the cluster (`secret`)');
    this.#options = { secret, name };
  }

  /** Throws ERR_INVALID_ARGUMENT for an endpoint that is none. */
  open(endpoint: string): ClientTransport {
    const address = addressOf(endpoint);
    this.#open++;
    let transport: ClientTransport | null = null;
    let closing: Promise<void> | null = null;
    const reach = async (): Promise<ClientTransport> => {
      const streams = await this.#load();
      return (transport ??= streams.open(address));
    };
    const lazy: Record<string, unknown> = {
      endpoint: PREFIX + address,
      close: () => (closing ??= this.#close(transport)),
    };
    for (const method of ALL) {
      const pass = (to: ClientTransport, request: unknown, attempt: unknown): Promise<unknown> =>
        (to as unknown as Loaded)[method]!(request, attempt);
      lazy[method] = (request: unknown, attempt: unknown): Promise<unknown> =>
        transport === null ? reach().then((to) => pass(to, request, attempt)) : pass(transport, request, attempt);
    }
    Object.defineProperty(lazy, 'servedBy', { get: () => transport?.servedBy ?? null });
    return lazy as unknown as ClientTransport;
  }

  #load(): Promise<Streams> {
    this.#loading ??= import('./stream/open.ts').then(({ openStreams }) => openStreams(this.#options));
    return this.#loading;
  }

  async #close(transport: ClientTransport | null): Promise<void> {
    await transport?.close();
    if (--this.#open > 0 || this.#loading === null) return;
    await (await this.#loading).close();
  }
}

/** Throws ERR_INVALID_ARGUMENT for an endpoint that is none. */
export function checkStreamEndpoint(endpoint: string): void {
  addressOf(endpoint);
}

/** Address of a peer port as an endpoint. */
export function streamEndpoint(address: string): string {
  return PREFIX + address;
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
