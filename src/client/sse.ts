/**
 * Server-sent events, parsed as the HTML standard says (§9.2.6 "Interpreting an event stream"): chunks may be cut anywhere, lines end with LF, CR or CRLF, and a
 * byte order mark at the beginning is skipped.
 */
import { KvorumError } from '../errors.ts';

export interface ServerSentEvent {
  /** `message` when it was not named. */
  readonly event: string;
  readonly data: string;
  /** Of this event, or of the last one before it that had one; empty before any had. */
  readonly id: string;
}

const LF = 10;
const CR = 13;

export class SseParser {
  /** Skips the mark. What is not UTF-8 becomes U+FFFD, as the standard wants it. */
  readonly #decoder = new TextDecoder('utf-8');
  readonly #maxEventLength: number;
  /** The line that is not finished, in the pieces in which it came: a long one is put together once. */
  #pieces: string[] = [];
  #length = 0;
  #afterCr = false;
  #event = '';
  #data: string | null = null;
  #id = '';

  /** `maxEventLength`: characters of a line, and of the data of an event. */
  constructor(maxEventLength = 256 * 1024 * 1024) {
    this.#maxEventLength = maxEventLength;
  }

  /** The events that this chunk completes. Throws ERR_TOO_LARGE. An event that is not finished at the end of the stream never was one. */
  push(chunk: Uint8Array): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    const text = this.#decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code !== LF && code !== CR) continue;
      if (code === LF && this.#afterCr && i === start) {
        // The second half of CRLF.
        this.#afterCr = false;
        start = i + 1;
        continue;
      }
      const event = this.#line(this.#finish(text.slice(start, i)));
      if (event !== null) events.push(event);
      this.#afterCr = code === CR;
      start = i + 1;
    }
    if (start < text.length) {
      this.#afterCr = false;
      this.#grow(text.length - start);
      this.#pieces.push(text.slice(start));
    }
    return events;
  }

  #finish(piece: string): string {
    this.#grow(piece.length);
    const line = this.#pieces.length === 0 ? piece : this.#pieces.join('') + piece;
    this.#pieces = [];
    this.#length = 0;
    return line;
  }

  #grow(by: number): void {
    this.#length += by;
    if (this.#length + (this.#data?.length ?? 0) > this.#maxEventLength) {
      throw new KvorumError('ERR_TOO_LARGE', `an event of a stream is longer than ${this.#maxEventLength} characters`, {
        details: { limit: this.#maxEventLength },
      });
    }
  }

  #line(line: string): ServerSentEvent | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return null; // A comment.
    const name = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (name === 'data') this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    return null;
  }

  #dispatch(): ServerSentEvent | null {
    const data = this.#data;
    const event = this.#event;
    this.#data = null;
    this.#event = '';
    return data === null ? null : { event: event === '' ? 'message' : event, data, id: this.#id };
  }
}
