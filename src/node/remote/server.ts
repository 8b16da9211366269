/**
 * Callers from outside that are no members: services with the cluster's secret that speak to this node over the transport. They are admitted
 * by what they say they are, their frames are requests and nothing else, and nothing of them is remembered when they have gone.
 */
import { KvorumError } from '../../errors.ts';
import type { Channel, Hello, Peer, Verdict } from '../../transport/types.ts';
import type { Environment } from '../env.ts';
import type { RemoteTarget } from './methods.ts';
import { Session } from './session.ts';
import { Turns } from './turns.ts';

export interface RemoteServerOptions {
  readonly node: RemoteTarget;
  readonly env: Environment;
  /** Most callers at the same time. */
  readonly maxClients: number;
  send(to: string, parts: readonly Uint8Array[]): boolean;
  queuedBytes(to: string): number;
  drop(id: string, code: string, message: string): void;
}

/** Streams wait while so much is on its way to their reader; the queue of the transport takes 16 MiB. */
const MAX_STREAM_QUEUE_BYTES = 1024 * 1024;
/** How far they are is told to streams this often. */
const BEAT_MS = 10_000;

/** What says of itself that it is no member, and does not want to be. */
export function isClient(hello: Hello): boolean {
  return hello.extra['client'] === true;
}

export class RemoteServer {
  readonly #options: RemoteServerOptions;
  readonly #sessions = new Map<string, Session>();
  /** Those of them that count against the limit: agents are peers, and as many as the transport has links for. */
  readonly #clients = new Set<string>();
  readonly #turns: Turns;
  /** Ends the beat; null while nobody is here. */
  #stop: (() => void) | null = null;

  constructor(options: RemoteServerOptions) {
    this.#options = options;
    this.#turns = new Turns(options.env);
  }

  get size(): number {
    return this.#sessions.size;
  }

  get streams(): number {
    let streams = 0;
    for (const session of this.#sessions.values()) streams += session.streams;
    return streams;
  }

  /** Of one that is a client and speaks our protocol. */
  judge({ id }: Hello): Verdict {
    const { maxClients } = this.#options;
    if (this.#clients.size < maxClients || this.#clients.has(id)) return { ok: true };
    return { ok: false, code: 'ERR_OVERLOADED', message: `${maxClients} clients are connected to this node` };
  }

  has(id: string): boolean {
    return this.#sessions.has(id);
  }

  /** It is here, or here again: then what it had asked before is nobody's any more. */
  up({ id }: Peer, kind: 'client' | 'agent'): void {
    this.down(id);
    if (kind === 'client') this.#clients.add(id);
    const options = this.#options;
    this.#stop ??= options.env.every(BEAT_MS, () => {
      for (const session of this.#sessions.values()) session.beat();
    });
    this.#sessions.set(
      id,
      new Session({
        node: options.node,
        send: (parts) => options.send(id, parts),
        room: () => options.queuedBytes(id) < MAX_STREAM_QUEUE_BYTES,
        overflow: () => options.drop(id, 'ERR_OVERLOADED', 'this client does not take its answers'),
        later: (task) => this.#turns.later(task),
        soon: (task) => options.env.soon(task),
      }),
    );
  }

  down(id: string): void {
    this.#sessions.get(id)?.close();
    this.#sessions.delete(id);
    this.#clients.delete(id);
    if (this.#sessions.size > 0) return;
    this.#stop?.();
    this.#stop = null;
  }

  /** Throws for what is no frame of requests: the link is closed. */
  frame(from: string, channel: Channel, frame: Uint8Array): void {
    if (channel !== 'client') throw new KvorumError('ERR_INVALID_ARGUMENT', `a client does not speak on ${channel}`);
    this.#sessions.get(from)?.frame(frame);
  }

  close(): void {
    for (const id of this.#sessions.keys()) this.down(id);
  }
}
