/** Addresses of peers as people write them: HOST:PORT, `[::1]:7101` for IPv6. */
import { isIP } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import { KvorumError } from '../errors.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** Takes HOST:PORT apart. Throws ERR_CONFIG. */
export function parseAddress(address: string): HostPort {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  const ok =
    host !== undefined && (match?.[1] === undefined ? isIP(host) === 4 || HOST_NAME.test(host) : isIP(host) === 6);
  if (!ok || !(port <= 65535)) {
    throw new KvorumError(
      'ERR_CONFIG',
      `'${address}' is not a peer address: HOST:PORT is expected, such as 10.0.0.5:7101`,
    );
  }
  return { host, port };
}

/** What others say of themselves may be anything. */
export function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch (error) {
    if (KvorumError.is(error, 'ERR_CONFIG')) return false;
    throw error;
  }
}

export function formatAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

export function toMultiaddr({ host, port }: HostPort): Multiaddr {
  const version = isIP(host);
  return multiaddr(`/${version === 0 ? 'dns' : `ip${version}`}/${host}/tcp/${port}`);
}
