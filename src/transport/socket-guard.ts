/**
 * Stands between the TCP socket and noise, in the place that libp2p has for private networks, and does two things there that libp2p leaves out:
 *
 * - **A bound on strangers.** The multiplexer believes the length in a frame's header and buffers up to 4 GiB for it. A connection that sends
 *   more than MAX_BYTES_BEFORE_ADMISSION before it is admitted is closed.
 * - **One write a message.** Noise hands down a length of two bytes, pieces of ciphertext and a tag; the TCP transport makes a system call (and,
 *   without delay, a packet) of each. Here they become one buffer: a sixth less CPU for a small message there and back.
 *
 * It does not encrypt: noise does.
 */
import type { ConnectionProtector, MultiaddrConnection } from '@libp2p/interface';
import { invariant } from '../errors.ts';
import { MAX_BYTES_BEFORE_ADMISSION } from './limits.ts';

interface SendResult {
  sentBytes: number;
  canSendMore: boolean;
}

/** The part of a Uint8ArrayList that is used here. */
interface ByteList {
  readonly byteLength: number;
  subarray(): Uint8Array;
  consume(bytes: number): void;
  append(bytes: Uint8Array): void;
}

/** What every message stream of libp2p has beyond the interface: where bytes come in from the socket and go out to it. */
interface Receives {
  onData(data: { byteLength: number }): void;
}

interface Sends {
  sendData(data: ByteList): SendResult;
}

function receives(connection: object): connection is Receives {
  return 'onData' in connection && typeof connection.onData === 'function';
}

function sends(connection: object): connection is Sends {
  return 'sendData' in connection && typeof connection.sendData === 'function';
}

/** Above it, system calls are few for the bytes, and copying costs more than it saves. */
const JOIN_BELOW_BYTES = 64 * 1024;

interface Guarded {
  bytes: number;
  /** Noise and the multiplexer are up: there is a libp2p connection. */
  upgraded: boolean;
  admitted: boolean;
}

export class SocketGuard implements ConnectionProtector {
  /** By the timeline object, which a connection and the socket under it share. */
  readonly #guarded = new WeakMap<object, Guarded>();
  readonly #onGarbage: (remote: string) => void;

  /** `onGarbage`: an inbound connection ended that sent bytes and never became a libp2p connection. */
  constructor(onGarbage: (remote: string) => void) {
    this.#onGarbage = onGarbage;
  }

  protect(connection: MultiaddrConnection): Promise<MultiaddrConnection> {
    const guarded: Guarded = { bytes: 0, upgraded: false, admitted: false };
    this.#guarded.set(connection.timeline, guarded);
    connection.addEventListener('close', () => {
      if (connection.direction === 'inbound' && !guarded.upgraded && guarded.bytes > 0) {
        this.#onGarbage(connection.remoteAddr.toString());
      }
    });
    // Without it there would be no bound on strangers, so it is no link at all then.
    invariant(receives(connection), 'this version of libp2p has another kind of socket');
    // Not a 'message' listener: with one, bytes that come while noise hands over to the multiplexer would be delivered to nobody else.
    const onData = connection.onData.bind(connection);
    connection.onData = (data) => {
      guarded.bytes += data.byteLength;
      if (guarded.bytes > MAX_BYTES_BEFORE_ADMISSION && !guarded.admitted) {
        connection.abort(new Error('too many bytes before admission'));
      } else onData(data);
    };
    if (sends(connection)) {
      const sendData = connection.sendData.bind(connection);
      connection.sendData = (data) => {
        if (data.byteLength > JOIN_BELOW_BYTES) return sendData(data);
        const joined = data.subarray();
        data.consume(joined.byteLength);
        data.append(joined);
        return sendData(data);
      };
    }
    return Promise.resolve(connection);
  }

  upgraded(connection: { timeline: object }): void {
    const guarded = this.#guarded.get(connection.timeline);
    if (guarded !== undefined) guarded.upgraded = true;
  }

  admitted(connection: { timeline: object }): void {
    const guarded = this.#guarded.get(connection.timeline);
    if (guarded !== undefined) guarded.admitted = true;
  }
}
