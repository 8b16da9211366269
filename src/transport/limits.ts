/**
 * The bounds of the transport, in one place. What a user may change is `TransportLimits`; the rest are constants, each with
 * the reason for its value.
 */
import { CHANNELS } from './types.ts';
import type { Channel, TransportLimits } from './types.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_LIMITS: TransportLimits = {
  maxFrameBytes: {
    raft: 16 * MIB,
    snapshot: 16 * MIB,
    client: 16 * MIB,
    gossip: 64 * KIB,
    ping: 64 * KIB,
    dht: 64 * KIB,
  },
  // A ping that has waited long is worth nothing: better none than an old one.
  maxQueueBytes: { raft: 64 * MIB, snapshot: 8 * MIB, client: 16 * MIB, gossip: MIB, ping: 64 * KIB, dht: MIB },
};

/** `limits` over the defaults, channel by channel. */
export function resolveLimits(limits: PartialTransportLimits = {}): TransportLimits {
  return {
    maxFrameBytes: { ...DEFAULT_LIMITS.maxFrameBytes, ...limits.maxFrameBytes },
    maxQueueBytes: { ...DEFAULT_LIMITS.maxQueueBytes, ...limits.maxQueueBytes },
  };
}

export interface PartialTransportLimits {
  readonly maxFrameBytes?: Partial<Record<Channel, number>>;
  readonly maxQueueBytes?: Partial<Record<Channel, number>>;
}

/**
 * Largest message of the admission and control stream. A Hello carries the map of first members while a cluster is born, about 200 bytes
 * each; nothing else in it grows.
 */
export const MAX_CONTROL_BYTES = 64 * KIB;

/** Claims of a join token: five short fields, some 140 bytes. */
export const MAX_CLAIMS_BYTES = 256;

/**
 * What a connection may send before it is admitted: noise, protocol names and the handshake need some 10 KiB, the
 * Hello at most MAX_CONTROL_BYTES. Without this bound a stranger could make the multiplexer buffer a frame of 4 GiB.
 */
export const MAX_BYTES_BEFORE_ADMISSION = 256 * KIB;

/** From an accepted socket to noise done, and from there to admitted: each at most this long. */
export const ADMISSION_TIMEOUT_MS = 3000;

/** TCP connect and noise together. Far above a round trip round the earth; below what an operator calls hanging. */
export const DIAL_TIMEOUT_MS = 3000;

/** Each side says something on an idle link this often … */
export const KEEPALIVE_INTERVAL_MS = 2000;

/**
 * … and takes the link for dead after so many intervals of silence, whatever TCP says (a host without power sends no FIN). Only
 * frees the link for a new one: whether a leader is alive is decided by Raft's own, much shorter, time-out.
 */
export const KEEPALIVE_MISSED = 5;

/** First wait before dialling again; doubles up to the largest. Each is shortened at random by up to a half. */
export const BACKOFF_MIN_MS = 50;
export const BACKOFF_MAX_MS = 2000;

/** Wait before dialling again an address whose peer refused us: nothing changes until somebody does something about it. */
export const REFUSED_RETRY_MS = 5000;

/** Window of a stream at its start. Part of the wire format: both sides must have the same. */
export const INITIAL_WINDOW_BYTES = 256 * KIB;

/** It grows to this. One write can be as large as the window, and what is written is ahead of a heartbeat: 1 MiB is some 2 ms of encryption. */
export const MAX_WINDOW_BYTES = MIB;

/** Distinct refusals remembered, so that each is reported once. The oldest is forgotten first. */
export const MAX_REFUSALS_REMEMBERED = 1000;

/** Peers whose counters are kept after they left. */
export const MAX_PEERS_REMEMBERED = 1000;

/** Protocol of a channel: `/kvorum/raft/1` … */
export function channelProtocol(channel: Channel): string {
  return `/kvorum/${channel}/1`;
}

export const ADMISSION_PROTOCOL = '/kvorum/admission/2';

/** Version of the wire format in Hello.protocol. */
export const PROTOCOL_VERSION = 1;

export const CHANNEL_COUNT = CHANNELS.length;
