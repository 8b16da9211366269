/**
 * Gossip messages as bytes, one frame a message, on the transport's `ping` and `gossip` channels: one version byte, then a msgpack array. The sender
 * is not in the frame: it is who noise has authenticated.
 */
import { Packr } from 'msgpackr';
import { parseGossipMessage, toWire } from '../../gossip/index.ts';
import type { GossipMessage, Refusal } from '../../gossip/index.ts';
import { DEFAULT_LIMITS } from '../../transport/limits.ts';
import { isPlain } from '../plain.ts';

const VERSION = 1;

const packr = new Packr({ useRecords: false });

/** One frame, or several when a part of a table is larger than a frame may be. */
export function encodeGossip(message: GossipMessage, maxBytes = DEFAULT_LIMITS.maxFrameBytes.gossip): Uint8Array[][] {
  const body = packr.pack(toWire(message));
  if (1 + body.length <= maxBytes || message.type !== 'sync' || message.statements.length < 2) {
    return [[Uint8Array.of(VERSION), body]];
  }
  const { answer, statements } = message;
  const half = statements.length >> 1;
  return [
    ...encodeGossip({ type: 'sync', answer: false, statements: statements.slice(0, half) }, maxBytes),
    ...encodeGossip({ type: 'sync', answer, statements: statements.slice(half) }, maxBytes),
  ];
}

/** Null for what is no message, and then `onRefused` hears why. Never throws. */
export function decodeGossip(frame: Uint8Array, onRefused: (reason: Refusal) => void): GossipMessage | null {
  if (frame[0] !== VERSION || !isPlain(frame.subarray(1))) {
    onRefused('malformed');
    return null;
  }
  return parseGossipMessage(packr.unpack(frame.subarray(1)), onRefused);
}
