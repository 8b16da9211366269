/**
 * One connection to one peer, from noise to its end: admission on the control stream first, then a stream a channel and direction, and
 * keep-alives and parting words on the control stream.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { NodeId } from '../raft/types.ts';
import { decodeControl, encodeControl } from './admission.ts';
import type { Admission, AdmissionStep } from './admission.ts';
import type { BaseLink, Failure } from './base-transport.ts';
import { FrameReader, encodeFrame } from './frames.ts';
import { parseRefusal } from './hello.ts';
import {
  ADMISSION_PROTOCOL,
  ADMISSION_TIMEOUT_MS,
  INITIAL_WINDOW_BYTES,
  MAX_CONTROL_BYTES,
  channelProtocol,
} from './limits.ts';
import { OutStream } from './out-stream.ts';
import { CHANNELS } from './types.ts';
import type { Channel, Hello, PeerCredential, TransportLimits } from './types.ts';

/** What a link asks of the transport that it belongs to. */
export interface LinkOwner {
  readonly limits: TransportLimits;
  admission(link: Link): Admission;
  admitted(link: Link, hello: Hello): void;
  /** Admission failed. Called once, before `closed`. */
  failed(link: Link, failure: Failure): void;
  frame(link: Link, channel: Channel, frame: Uint8Array): void;
  malformed(link: Link, reason: unknown): void;
  /** The peer closed the admitted link and said why. */
  dismissed(link: Link, code: string, message: string): void;
  /** Frames neither come nor go on it any more, whoever closed it. Called once. */
  closed(link: Link): void;
  /** After `closed`: its connection is gone too. */
  ended(link: Link): void;
  /** Flush this stream at the end of the turn. */
  flushLater(stream: OutStream): void;
}

/** Closing is given so long before it is made hard. */
const CLOSE_MS = 500;

export class Link implements BaseLink {
  readonly connection: Connection;
  readonly role: 'dialer' | 'listener';
  readonly id: NodeId;
  phase: 'new' | 'admitting' | 'up' | 'closed' = 'new';
  hello: Hello | null = null;
  credential: PeerCredential | null = null;
  bearsToken = false;
  number = 0;
  /** We close it on purpose: the peer is not asked after. */
  wanted = false;
  /** Anything came since the last look. */
  heard = true;
  silentTicks = 0;
  /** Ticks since it was replaced by a newer link to the same peer. */
  replacedTicks = 0;
  readonly #owner: LinkOwner;
  readonly #out = new Map<Channel, OutStream>();
  /** Streams of the peer that came before we knew that it is admitted: not read until then. */
  #waiting: { channel: Channel; stream: Stream }[] = [];
  #control: Stream | null = null;
  #admission: Admission | null = null;
  #isOver = false;
  readonly #timer: NodeJS.Timeout;
  /** Until the peer has hung up, as it was told. */
  #parting: NodeJS.Timeout | null = null;

  constructor(connection: Connection, id: NodeId, owner: LinkOwner) {
    this.connection = connection;
    this.role = connection.direction === 'outbound' ? 'dialer' : 'listener';
    this.id = id;
    this.#owner = owner;
    this.#timer = setTimeout(() => this.#timedOut(), ADMISSION_TIMEOUT_MS);
    connection.addEventListener('close', () => this.#onClose());
  }

  /** Dialer: opens the control stream and begins. Rejects when that fails. */
  async begin(): Promise<void> {
    const stream = await this.connection.newStream(ADMISSION_PROTOCOL, {
      signal: AbortSignal.timeout(ADMISSION_TIMEOUT_MS),
    });
    this.control(stream);
  }

  /** Takes the control stream: the dialer's own, or the one that the dialer opened. */
  control(stream: Stream): void {
    if (this.phase !== 'new') {
      stream.abort(new Error('one admission a connection'));
      return;
    }
    this.phase = 'admitting';
    this.#control = stream;
    this.#admission = this.#owner.admission(this);
    this.#read(stream, MAX_CONTROL_BYTES, (frame) => this.#onControl(frame));
    if (this.role === 'dialer') this.#step(() => this.#admission!.start());
  }

  /** Takes a stream of the peer's for one channel. */
  incoming(channel: Channel, stream: Stream): void {
    if (this.phase === 'up') this.#attach(channel, stream);
    else if (this.phase === 'admitting' && this.#waiting.length < CHANNELS.length) {
      this.#waiting.push({ channel, stream });
    } else if (this.phase === 'closed') {
      stream.abort(new Error('closed'));
    } else {
      this.#owner.malformed(this, `${channel} before admission`);
    }
  }

  out(channel: Channel): OutStream {
    let stream = this.#out.get(channel);
    if (stream === undefined) {
      stream = new OutStream(this.#owner.limits.maxQueueBytes[channel], (error) => this.abort(error));
      this.#out.set(channel, stream);
      void this.#open(channel, stream);
    }
    return stream;
  }

  send(channel: Channel, parts: readonly Uint8Array[], length: number): boolean {
    const stream = this.out(channel);
    if (!stream.push(parts, length)) return false;
    if (!stream.dirty) {
      stream.dirty = true;
      this.#owner.flushLater(stream);
    }
    return true;
  }

  prepare(channel: Channel): void {
    this.out(channel);
  }

  queuedBytes(channel: Channel): number {
    return this.#out.get(channel)?.queuedBytes ?? 0;
  }

  /** Frames that would be lost if it closed now. */
  queuedFrames(): number {
    let frames = 0;
    for (const stream of this.#out.values()) frames += stream.frames;
    return frames;
  }

  ping(): void {
    this.#say({ t: 'ping' });
  }

  /** Tells the peer why. It counts as closed from now on; the peer closes it when it has read that, for a close of ours could overtake the word. */
  dismiss(code: string, message: string): void {
    this.#say({ t: 'dismissed', code, message });
    this.wanted = true;
    for (const stream of this.#out.values()) stream.flush();
    this.#over();
    this.#parting ??= setTimeout(() => void this.close(), CLOSE_MS);
  }

  /** It counts as closed from now on; what is written is let leave, for at most half a second. */
  async close(): Promise<void> {
    this.wanted = true;
    for (const stream of this.#out.values()) stream.flush();
    this.#over();
    try {
      await this.connection.close({ signal: AbortSignal.timeout(CLOSE_MS) });
    } catch (error) {
      this.abort(error);
    }
  }

  abort(reason: unknown): void {
    this.connection.abort(reason instanceof Error ? reason : new Error(String(reason)));
  }

  async #open(channel: Channel, out: OutStream): Promise<void> {
    try {
      const stream = await this.connection.newStream(channelProtocol(channel), {
        signal: AbortSignal.timeout(ADMISSION_TIMEOUT_MS),
      });
      stream.addEventListener('close', () => this.#streamClosed());
      out.attach(stream);
    } catch (error) {
      this.abort(error);
    }
  }

  #attach(channel: Channel, stream: Stream): void {
    this.#read(stream, this.#owner.limits.maxFrameBytes[channel], (frame) => {
      // Several come in one piece, and one of them may have been what it was closed for.
      if (this.phase === 'up') this.#owner.frame(this, channel, frame);
    });
  }

  #read(stream: Stream, maxFrameBytes: number, emit: (frame: Uint8Array) => void): void {
    const reader = new FrameReader(maxFrameBytes, emit);
    const window = lazyWindow(stream);
    stream.addEventListener('message', ({ data }) => {
      if (this.phase === 'closed') return;
      this.heard = true;
      window.received(data.byteLength);
      try {
        if (data instanceof Uint8Array) reader.push(data);
        else for (const chunk of data) reader.push(chunk);
      } catch (error) {
        this.#owner.malformed(this, error);
      }
    });
    stream.addEventListener('close', () => this.#streamClosed());
  }

  /** A channel that is shut while the link lives would lose frames for ever: the link goes with it. */
  #streamClosed(): void {
    if (this.phase !== 'closed' && !this.wanted) this.abort('a stream closed');
  }

  #onControl(frame: Uint8Array): void {
    if (this.phase === 'admitting') return this.#step(() => this.#admission!.receive(frame));
    const message = decodeControl(frame);
    if (message?.['t'] === 'ping') return;
    if (message?.['t'] === 'dismissed') {
      const { code, message: text } = parseRefusal(message);
      this.wanted = true;
      this.#owner.dismissed(this, code, text);
      void this.close();
      return;
    }
    this.#owner.malformed(this, 'control message');
  }

  #step(step: () => AdmissionStep): void {
    const { send, outcome } = step();
    for (const message of send) this.#write(message);
    // Who cannot even write is told to have failed by then.
    if (outcome === null || this.#isOver) return;
    clearTimeout(this.#timer);
    this.#admission = null;
    if (outcome.type === 'admitted') {
      this.phase = 'up';
      this.hello = outcome.hello;
      this.credential = outcome.credential;
      this.bearsToken = outcome.bearsToken;
      this.number = outcome.number;
      this.#owner.admitted(this, outcome.hello);
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { channel, stream } of waiting) this.#attach(channel, stream);
      return;
    }
    this.#end(outcome);
  }

  #timedOut(): void {
    if (this.phase === 'new' || this.phase === 'admitting') this.#end({ type: 'timeout' });
  }

  #end(failure: Failure): void {
    clearTimeout(this.#timer);
    this.phase = 'closed';
    this.#owner.failed(this, failure);
    // Closed gently: a reset could overtake the verdict that tells the peer why.
    void this.close();
  }

  #say(message: object): void {
    if (this.phase === 'up') this.#write(encodeControl(message));
  }

  #write(message: Uint8Array): void {
    try {
      this.#control?.send(encodeFrame(message));
    } catch (error) {
      this.abort(error);
    }
  }

  #onClose(): void {
    this.#over();
    if (this.#parting !== null) clearTimeout(this.#parting);
    for (const stream of this.#out.values()) stream.close();
    this.#owner.ended(this);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    const phase = this.phase;
    this.phase = 'closed';
    if (phase === 'admitting' || phase === 'new') {
      const outcome = this.#admission?.ended() ?? null;
      this.#owner.failed(this, outcome === null || outcome.type === 'admitted' ? { type: 'broken' } : outcome);
    }
    this.#owner.closed(this);
    this.#waiting = [];
  }
}

/**
 * The multiplexer opens the window again after every message, with a message of its own: encrypted, written, read and decrypted like any other.
 * Putting that off until a quarter of the smallest window is used takes a quarter off the CPU time and a third off the
 * latency of a small frame there and back. The sender always has three quarters of a window left, so it never waits for us.
 */
function lazyWindow(stream: Stream): { received(bytes: number): void } {
  let used = 0;
  if (updatesWindow(stream)) {
    const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
    stream.sendWindowUpdate = () => {
      if (used < INITIAL_WINDOW_BYTES / 4) return;
      used = 0;
      sendWindowUpdate();
    };
  }
  return {
    received: (bytes) => {
      used += bytes;
    },
  };
}

function updatesWindow(stream: object): stream is { sendWindowUpdate(): void } {
  return 'sendWindowUpdate' in stream && typeof stream.sendWindowUpdate === 'function';
}
