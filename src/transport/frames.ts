/**
 * Frames on a stream: a u32 length (big-endian), then that many bytes. The reader is incremental and copies only a frame that is
 * spread over several chunks.
 */
import { KvorumError } from '../errors.ts';

export const FRAME_HEADER_BYTES = 4;

export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #emit: (frame: Uint8Array) => void;
  /** Bytes of the header that have come so far, and how many. */
  #header = 0;
  #headerBytes = 0;
  /** Bytes that the body still lacks; valid once headerBytes is 4. */
  #missing = 0;
  /** What came of a body that is spread over several chunks. */
  #pieces: Uint8Array[] = [];

  constructor(maxFrameBytes: number, emit: (frame: Uint8Array) => void) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#emit = emit;
  }

  /** Takes the next bytes of the stream. Throws ERR_TOO_LARGE for a length over the limit; nothing may be pushed after that. */
  push(chunk: Uint8Array): void {
    const end = chunk.byteLength;
    let at = 0;
    while (at < end) {
      if (this.#headerBytes < FRAME_HEADER_BYTES) {
        // Multiplied, not shifted: a shift would make lengths of 2^31 and more negative.
        this.#header = this.#header * 256 + chunk[at++]!;
        if (++this.#headerBytes < FRAME_HEADER_BYTES) continue;
        if (this.#header > this.#maxFrameBytes) {
          throw new KvorumError(
            'ERR_TOO_LARGE',
            `a frame of ${this.#header} bytes was announced, ${this.#maxFrameBytes} are allowed`,
          );
        }
        this.#missing = this.#header;
        if (this.#missing === 0) this.#finish(new Uint8Array(0));
        continue;
      }
      const take = Math.min(this.#missing, end - at);
      const piece = at === 0 && take === end ? chunk : chunk.subarray(at, at + take);
      at += take;
      this.#missing -= take;
      if (this.#missing > 0) this.#pieces.push(piece);
      else if (this.#pieces.length === 0) this.#finish(piece);
      else {
        this.#pieces.push(piece);
        const pieces = this.#pieces;
        this.#pieces = [];
        this.#finish(concat(pieces, this.#header));
      }
    }
  }

  #finish(frame: Uint8Array): void {
    this.#header = 0;
    this.#headerBytes = 0;
    this.#emit(frame);
  }
}

function concat(pieces: readonly Uint8Array[], length: number): Uint8Array {
  // Its own memory, not a piece of the shared pool: it may be kept for long.
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** Writes the header of a frame of `length` bytes at `at`. */
export function writeFrameHeader(into: Uint8Array, at: number, length: number): void {
  into[at] = length >>> 24;
  into[at + 1] = (length >>> 16) & 0xff;
  into[at + 2] = (length >>> 8) & 0xff;
  into[at + 3] = length & 0xff;
}

/** One frame with its header, for streams that are not hot. */
export function encodeFrame(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength);
  writeFrameHeader(frame, 0, body.byteLength);
  frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * Frames that wait to be written, and their encoding into as few buffers as pays: pieces under COPY_BELOW_BYTES are copied
 * together, larger ones are passed on as they are. (Each buffer costs a frame of the multiplexer and a call into the cipher, some 10 µs;
 * copying 64 KiB costs 5 µs.)
 */
export class FrameQueue {
  #frames: (readonly Uint8Array[])[] = [];
  #lengths: number[] = [];
  #head = 0;
  /** Bytes queued, headers included. */
  bytes = 0;

  push(parts: readonly Uint8Array[], length: number): void {
    this.#frames.push(parts);
    this.#lengths.push(length);
    this.bytes += length + FRAME_HEADER_BYTES;
  }

  get length(): number {
    return this.#frames.length - this.#head;
  }

  /** Removes frames from the front, whole, until `maxBytes` is reached (at least one), and gives them as buffers to write. */
  take(maxBytes: number): Uint8Array[] {
    const frames = this.#frames;
    const lengths = this.#lengths;
    const from = this.#head;
    let to = from;
    let taken = 0;
    let copied = 0;
    while (to < frames.length && (taken === 0 || taken < maxBytes)) {
      taken += lengths[to]! + FRAME_HEADER_BYTES;
      copied += FRAME_HEADER_BYTES;
      for (const part of frames[to]!) if (part.byteLength < COPY_BELOW_BYTES) copied += part.byteLength;
      to++;
    }
    const buffers: Uint8Array[] = [];
    const scratch = Buffer.allocUnsafe(copied);
    let start = 0;
    let at = 0;
    for (let i = from; i < to; i++) {
      writeFrameHeader(scratch, at, lengths[i]!);
      at += FRAME_HEADER_BYTES;
      for (const part of frames[i]!) {
        if (part.byteLength < COPY_BELOW_BYTES) {
          scratch.set(part, at);
          at += part.byteLength;
        } else {
          if (at > start) buffers.push(scratch.subarray(start, at));
          start = at;
          buffers.push(part);
        }
      }
    }
    if (at > start) buffers.push(start === 0 ? scratch : scratch.subarray(start, at));
    this.bytes -= taken;
    if (to === frames.length) {
      this.#frames = [];
      this.#lengths = [];
      this.#head = 0;
    } else {
      // What was taken must not be kept alive; the arrays themselves are cut off when the queue runs empty or is mostly gone.
      for (let i = from; i < to; i++) frames[i] = NOTHING;
      this.#head = to;
      if (to > 1024 && to * 2 > frames.length) {
        this.#frames = frames.slice(to);
        this.#lengths = lengths.slice(to);
        this.#head = 0;
      }
    }
    return buffers;
  }

  clear(): void {
    this.#frames = [];
    this.#lengths = [];
    this.#head = 0;
    this.bytes = 0;
  }
}

const NOTHING: readonly Uint8Array[] = [];

const COPY_BELOW_BYTES = 64 * 1024;
