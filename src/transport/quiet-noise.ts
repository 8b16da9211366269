/**
 * Noise, with one difference: writing to a connection that is closing does nothing. libp2p's noise throws there, the multiplexer above it writes
 * from microtasks and event listeners (a window update, a good-bye), and so the end of a connection at the wrong moment would
 * be an uncaught exception, which ends the process.
 */
import { noise } from '@libp2p/noise';
import type { NoiseComponents } from '@libp2p/noise';
import type { ConnectionEncrypter, SecuredConnection } from '@libp2p/interface';

export function quietNoise(): (components: NoiseComponents) => ConnectionEncrypter {
  return (components) => {
    const inner = noise()(components);
    const secureInbound = inner.secureInbound.bind(inner);
    const secureOutbound = inner.secureOutbound.bind(inner);
    inner.secureInbound = async (connection, options) => quiet(await secureInbound(connection, options));
    inner.secureOutbound = async (connection, options) => quiet(await secureOutbound(connection, options));
    return inner;
  };
}

function quiet<T extends SecuredConnection>(secured: T): T {
  const { connection } = secured;
  const send = connection.send.bind(connection);
  connection.send = (data) => {
    if (connection.status !== 'open') return false;
    try {
      return send(data);
    } catch (error) {
      // The socket below has closed and noise has not heard of it yet. Whoever uses the connection hears its 'close'.
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  };
  return secured;
}
