/**
 * The libp2p host of a node, with every limit set: libp2p's defaults are made for the open internet. What is not configured here is not there:
 * no discovery, no relay, no DHT, no hole punching, no ping of libp2p's own that could close a link, and no identify: what it would tell, admission tells, and it cost as much
 * as all the rest of a link (ADR 0012).
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { ComponentLogger, Libp2p, PrivateKey } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { KvorumError } from '../errors.ts';
import { formatAddress, parseAddress, toMultiaddr } from './address.ts';
import {
  ADMISSION_TIMEOUT_MS,
  CHANNEL_COUNT,
  DIAL_TIMEOUT_MS,
  INITIAL_WINDOW_BYTES,
  MAX_WINDOW_BYTES,
} from './limits.ts';
import { quietNoise } from './quiet-noise.ts';
import type { SocketGuard } from './socket-guard.ts';

export interface Libp2pHost {
  readonly libp2p: Libp2p;
  /** HOST:PORT, the host as given, the port as bound; '' when it does not listen. */
  readonly address: string;
}

/**
 * Sockets in all, admitted or not: ten thousand clients (the shell counts them when it admits), and a thousand of members and strangers. Beyond it new sockets
 * are refused, and strangers hold one for a few seconds at most.
 */
const MAX_CONNECTIONS = 10_000 + 1024;

/** Streams of one connection and direction: one for each channel, admission and one to spare. */
const MAX_STREAMS = CHANNEL_COUNT + 2;

/**
 * `serve` registers protocols and listeners before the first connection can come.
 * Throws ERR_ADDRESS_IN_USE when the port is taken, ERR_CONFIG when it cannot be listened on.
 */
export async function createHost(
  privateKey: PrivateKey,
  listen: string | null,
  guard: SocketGuard,
  serve: (libp2p: Libp2p) => Promise<void>,
): Promise<Libp2pHost> {
  const addresses = listen === null ? [] : [await listenAddress(listen)];
  const libp2p = await createLibp2p({
    privateKey,
    addresses: { listen: addresses },
    start: false,
    logger: SILENT,
    transports: [
      tcp({
        // The kernel tells of a dead host after some hours; keep-alive of our own on every link is what decides (link.ts).
        inboundSocketInactivityTimeout: 0,
        outboundSocketInactivityTimeout: 0,
        // Nagle's algorithm would hold a small frame back until the one before it is acknowledged, up to 40 ms.
        dialOpts: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 },
        listenOpts: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 },
        maxConnections: MAX_CONNECTIONS,
        backlog: 128,
      }),
    ],
    connectionProtector: () => guard,
    connectionEncrypters: [quietNoise()],
    streamMuxers: [
      yamux({
        // Its only use is to measure the round trip by which the window grows.
        enableKeepAlive: true,
        keepAliveInterval: 10_000,
        maxInboundStreams: MAX_STREAMS,
        maxOutboundStreams: MAX_STREAMS,
        // Streams that a peer opens before our side of the connection is ready.
        maxEarlyStreams: MAX_STREAMS,
        streamOptions: {
          initialStreamWindowSize: INITIAL_WINDOW_BYTES,
          maxStreamWindowSize: MAX_WINDOW_BYTES,
          // Unread bytes of a stream that waits for admission: no more than its window can come.
          maxReadBufferLength: MAX_WINDOW_BYTES,
          // Ours is the queue in front of it, which is bounded (frames.ts); a write here is one slice of that, or one frame.
          maxWriteBufferLength: Infinity,
        },
      }),
    ],
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      // Connections a second from one host. The default of 5 would shut out a cluster on one machine, or behind one NAT, that restarts.
      inboundConnectionThreshold: 500,
      // Sockets that are not yet through noise. Each is closed after inboundUpgradeTimeout, so strangers cannot hold them for long.
      maxIncomingPendingConnections: 256,
      inboundUpgradeTimeout: ADMISSION_TIMEOUT_MS,
      inboundStreamProtocolNegotiationTimeout: ADMISSION_TIMEOUT_MS,
      outboundStreamProtocolNegotiationTimeout: ADMISSION_TIMEOUT_MS,
      connectionCloseTimeout: 500,
      maxParallelDials: 256,
      maxDialQueueLength: 1024,
      // We dial one address at a time and know of no others.
      maxPeerAddrsToDial: 1,
      dialTimeout: DIAL_TIMEOUT_MS,
      addressDialTimeout: DIAL_TIMEOUT_MS,
      // Re-dialling is ours (reconnect.ts): only there is it known why a link was lost.
      reconnectRetries: 0,
    },
    // It would open a new stream every ten seconds and close connections of peers that are merely busy.
    connectionMonitor: { enabled: false },
  });
  await serve(libp2p);
  try {
    await libp2p.start();
  } catch (error) {
    throw listen === null ? error : listenError(error, listen);
  }
  if (listen === null) return { libp2p, address: '' };
  const { host, port } = parseAddress(listen);
  const bound = libp2p
    .getMultiaddrs()[0]
    ?.getComponents()
    .find((component) => component.name === 'tcp')?.value;
  return { libp2p, address: formatAddress(host, bound === undefined ? port : Number(bound)) };
}

async function listenAddress(listen: string): Promise<string> {
  const { host, port } = parseAddress(listen);
  const ip = isIP(host) === 0 ? await resolve(host, listen) : host;
  return toMultiaddr({ host: ip, port }).toString();
}

async function resolve(host: string, listen: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new KvorumError('ERR_CONFIG', `cannot listen on ${listen}: the name ${host} has no address`, { cause });
  }
}

function listenError(cause: unknown, listen: string): KvorumError {
  // libp2p packs the errors of all its listeners into the text of one.
  const text = cause instanceof Error ? cause.message : String(cause);
  if (text.includes('EADDRINUSE')) {
    return new KvorumError(
      'ERR_ADDRESS_IN_USE',
      `the peer address ${listen} is in use by another process: stop that one, or choose another address`,
      { cause },
    );
  }
  const code = /\b(E[A-Z]{3,})\b/.exec(text)?.[1] ?? 'unknown error';
  return new KvorumError('ERR_CONFIG', `cannot listen for peers on ${listen}: ${code}`, { cause });
}

/** libp2p formats a line for most of what it does; the transport logs what matters itself. */
const silentLogger = Object.assign(() => undefined, {
  enabled: false,
  trace: Object.assign(() => undefined, { enabled: false }),
  error: Object.assign(() => undefined, { enabled: false }),
  newScope: () => silentLogger,
});
const SILENT: ComponentLogger = { forComponent: () => silentLogger };
