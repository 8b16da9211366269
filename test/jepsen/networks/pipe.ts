/**
 * One direction of one connection through the proxy. What it does to bytes is what a bad link does to a TCP stream: they come
 * late or stand still, and never go missing or change places, because TCP sends again what was lost.
 */
import type { Socket } from 'node:net';

import type { Chance, LinkShape } from '../types.ts';

/** More than this waits in the sender's socket. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** Linux's smallest retransmission time-out. */
const RETRANSMIT_MS = 200;
const PACKET_BYTES = 1448;
/** Lost again and again: how often at most. */
const MAX_LOSSES = 8;

type Item =
  | { readonly type: 'data'; readonly bytes: Buffer; readonly dueAt: number }
  | { readonly type: 'end' | 'reset'; readonly dueAt: number };

export class Pipe {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #chance: Pick<Chance, 'float' | 'chance'>;
  #blocked = false;
  #shape: LinkShape | null = null;
  #queue: Item[] = [];
  #queuedBytes = 0;
  /** When the link is done with what was sent so far. */
  #busyUntil = 0;
  #timer: NodeJS.Timeout | null = null;
  #over = false;

  constructor(source: Socket, target: Socket, chance: Pick<Chance, 'float' | 'chance'>) {
    this.#source = source;
    this.#target = target;
    this.#chance = chance;
    source.on('data', (bytes: Buffer) => this.#take({ type: 'data', bytes, dueAt: this.#arrival(bytes.length) }));
    source.on('end', () => this.#take({ type: 'end', dueAt: this.#arrival(0) }));
    source.on('close', (hadError: boolean) => {
      if (hadError || !source.readableEnded) this.#take({ type: 'reset', dueAt: this.#arrival(0) });
    });
    target.on('drain', () => this.#flow());
    target.on('close', () => {
      this.#over = true;
      this.#queue = [];
      if (this.#timer !== null) clearTimeout(this.#timer);
    });
  }

  set(blocked: boolean, shape: LinkShape | null): void {
    this.#blocked = blocked;
    this.#shape = shape;
    this.#deliver();
  }

  #arrival(bytes: number): number {
    const now = performance.now();
    const shape = this.#shape;
    if (shape === null) return now;
    let sentAt = Math.max(now, this.#busyUntil);
    if (shape.bytesPerSecond !== undefined) sentAt += (bytes / shape.bytesPerSecond) * 1000;
    this.#busyUntil = sentAt;
    let dueAt = sentAt + (shape.delayMs ?? 0) + (shape.jitterMs ?? 0) * (2 * this.#chance.float() - 1);
    const packets = Math.max(1, Math.ceil(bytes / PACKET_BYTES));
    const lost = 1 - (1 - (shape.loss ?? 0)) ** packets;
    for (let losses = 0; losses < MAX_LOSSES && this.#chance.chance(lost); losses++) {
      dueAt += RETRANSMIT_MS * 2 ** losses;
    }
    return dueAt;
  }

  #take(item: Item): void {
    if (this.#over) return;
    this.#queue.push(item);
    if (item.type === 'data') this.#queuedBytes += item.bytes.length;
    this.#deliver();
  }

  #deliver(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (!this.#blocked && !this.#over) {
      const [head] = this.#queue;
      if (head === undefined) break;
      const waitMs = head.dueAt - performance.now();
      if (waitMs > 0.5) {
        this.#timer = setTimeout(() => this.#deliver(), waitMs);
        break;
      }
      this.#queue.shift();
      if (head.type === 'data') {
        this.#queuedBytes -= head.bytes.length;
        if (this.#target.writable) this.#target.write(head.bytes);
      } else if (head.type === 'end') this.#target.end();
      else this.#target.resetAndDestroy();
    }
    this.#flow();
  }

  /** Reads on, or leaves the rest in the sender's socket. A side that is not read does not show its end either. */
  #flow(): void {
    const stop = this.#blocked || this.#over || this.#queuedBytes >= MAX_QUEUED_BYTES || this.#target.writableNeedDrain;
    if (stop) this.#source.pause();
    else this.#source.resume();
  }
}
