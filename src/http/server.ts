/** The HTTP API on a port. */
import type { AddressInfo } from 'node:net';
import { isIP, isIPv6 } from 'node:net';

import type { FastifyInstance } from 'fastify';

import { KvorumError } from '../errors.ts';
import type { KvorumNode } from '../node/types.ts';
import { createApp } from './app.ts';
import type { ServeOptions } from './options.ts';
import type { Service } from './service.ts';

export interface HttpServer {
  /** Base URL, without a slash at the end. */
  readonly url: string;
  /**
   * From now on requests are answered 503 ERR_CLOSED and their connections closed, probes and metrics excepted
   * (`/readyz` says 503), and streams end with the same; what is being answered goes on. The port stays open until
   * `close`, so that clients are told.
   */
  stopAccepting(): void;
  /** Stops accepting, waits for what is being answered (default 2000 ms at most), and closes. Safe to repeat. */
  close(options?: { drainTimeoutMs?: number }): Promise<void>;
}

/** Serves `node`. Rejects ERR_ADDRESS_IN_USE when the port is taken, ERR_CONFIG when the address cannot be listened on. */
export async function startHttp(node: KvorumNode, options: ServeOptions = {}): Promise<HttpServer> {
  const { app, service } = createApp(node, options);
  const host = options.host ?? '127.0.0.1';
  const port = options.port ?? 7101;
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw listenError(error as NodeJS.ErrnoException, host, port);
  }
  const url = urlOf(app.server.address() as AddressInfo);
  if (!isLoopback(host)) {
    const guarded =
      options.token === undefined ? 'WITHOUT A TOKEN: anybody who reaches it reads and writes' : 'with a token';
    options.logger?.warn({ host, url }, `HTTP LISTENS BEYOND THIS MACHINE, in the clear and ${guarded}`);
  }
  let closing: Promise<void> | null = null;
  return {
    url,
    stopAccepting: () => service.stopAccepting(),
    close: ({ drainTimeoutMs = 2000 } = {}) => (closing ??= shutDown(app, service, drainTimeoutMs)),
  };
}

async function shutDown(app: FastifyInstance, service: Service, drainTimeoutMs: number): Promise<void> {
  service.stopAccepting();
  await service.admission.drained(drainTimeoutMs);
  const closed = app.close();
  // Idle connections would keep the server open as long as their clients like; answers on their way get out first.
  app.server.closeIdleConnections();
  const timer = setTimeout(() => app.server.closeAllConnections(), 250);
  await closed;
  clearTimeout(timer);
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): KvorumError {
  const where = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  if (error.code === 'EADDRINUSE') {
    const message = `HTTP cannot listen on ${where}: something else listens there`;
    return new KvorumError('ERR_ADDRESS_IN_USE', message, { cause: error, details: { address: where } });
  }
  const message = `HTTP cannot listen on ${where}: ${error.message}`;
  return new KvorumError('ERR_CONFIG', message, { cause: error, details: { address: where } });
}

/** As a client on this machine would write it. */
function urlOf({ address, port }: AddressInfo): string {
  if (address === '0.0.0.0') return `http://127.0.0.1:${port}`;
  if (address === '::') return `http://[::1]:${port}`;
  return `http://${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
