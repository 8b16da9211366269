/** Whether a connection comes about. Loaded by whoever has a `tcp` check, and by nobody else: browsers have no node:net. */
import { connect } from 'node:net';

/** Rejects as the connection fails, and with the reason of the signal. `address`: HOST:PORT, [IPv6]:PORT. */
export function probeTcp(address: string, signal: AbortSignal): Promise<void> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/gu, '');
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const socket = connect({ host, port: Number(address.slice(colon + 1)) });
    const onAbort = (): void => void socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      resolve();
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => signal.removeEventListener('abort', onAbort));
  });
}
