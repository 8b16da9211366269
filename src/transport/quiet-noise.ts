/**
 * Noise, with one difference: writing to a connection that is closing does nothing. libp2p's noise throws there, the multiplexer above it writes
 * from microtasks and event listeners (a window update, a good-bye), and so the end of a connection at the wrong moment would
 * be an uncaught exception, which ends the process.
 */
import { noise } from '@libp2p/noise';
import type { NoiseComponents } from '@libp2p/noise';
import { noiseCrypto } from './noise-crypto.ts';
import type { ConnectionEncrypter, SecuredConnection } from '@libp2p/interface';

export function quietNoise(): (components: NoiseComponents) => ConnectionEncrypter {
  return (components) => {
    const inner = noise({ crypto: noiseCrypto })(components);
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
  readLengthsQuietly(connection);
  return secured;
}

interface LengthDecoder {
  lengthDecoder: (buffer: { readonly byteLength: number; get(index: number): number }) => number;
}

/** libp2p's decoder asks for a length until a RangeError tells it that there is none: once a message. One object serves for all. */
const NO_LENGTH_YET = new RangeError('fewer than two bytes are here');

/** An error costs its stack trace: reading the length of one message took 6.9 µs with a new error each time, 0.6 µs without. */
function readLengthsQuietly(connection: object): void {
  if (!('decoder' in connection) || !isLengthDecoder(connection.decoder)) return;
  connection.decoder.lengthDecoder = (buffer) => {
    if (buffer.byteLength < 2) throw NO_LENGTH_YET;
    return (buffer.get(0) << 8) | buffer.get(1);
  };
}

function isLengthDecoder(value: unknown): value is LengthDecoder {
  return typeof value === 'object' && value !== null && 'lengthDecoder' in value && 'encodingLength' in value;
}
