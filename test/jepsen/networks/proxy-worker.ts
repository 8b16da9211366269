/**
 * The proxy's own thread, so that neither a busy lab nor its garbage collector delays what the nodes say to each other.
 * One listener in front of each node; who dials it is looked up in /proc, so each directed link can be treated by itself.
 */
import net, { type Server, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

import { Random } from '../../../src/testing/random.ts';
import type { LinkShape } from '../types.ts';
import { Pipe } from './pipe.ts';
import { ownerOf } from './socket-owner.ts';

export interface ProxyPorts {
  /** In front of a node … */
  readonly proxyPort: number;
  /** … and the node's own. */
  readonly nodePort: number;
}

export interface ProxyData {
  readonly ports: readonly ProxyPorts[];
  readonly seed: number;
}

export type ProxyOrder =
  | { readonly do: 'block' | 'unblock'; readonly from: number; readonly to: number }
  | { readonly do: 'shape'; readonly from: number; readonly to: number; readonly shape: LinkShape | null }
  | { readonly do: 'heal' }
  | { readonly do: 'process'; readonly node: number; readonly pid: number | null };

export interface ProxyAnswer {
  readonly order: number;
  readonly error: string | null;
}

/** Connections that wait for a cut to heal; their dialers give up after seconds, so more than a few are dead. */
const MAX_HELD = 200;

interface Connection {
  readonly dialer: number;
  readonly listener: number;
  /** From the dialer to the listener, and back. */
  readonly pipes: readonly [Pipe, Pipe];
}

interface Held {
  readonly dialer: number;
  readonly listener: number;
  readonly socket: Socket;
}

class Proxy {
  readonly #ports: readonly ProxyPorts[];
  readonly #chance: Random;
  readonly #pids: (number | null)[];
  readonly #servers: (Server | null)[];
  readonly #blocks = new Set<string>();
  readonly #shapes = new Map<string, LinkShape>();
  readonly #connections = new Set<Connection>();
  #held: Held[] = [];

  constructor({ ports, seed }: ProxyData) {
    this.#ports = ports;
    this.#chance = new Random(seed);
    this.#pids = ports.map(() => null);
    this.#servers = ports.map(() => null);
  }

  async obey(order: ProxyOrder): Promise<void> {
    switch (order.do) {
      case 'block':
        this.#blocks.add(`${order.from}>${order.to}`);
        break;
      case 'unblock':
        this.#blocks.delete(`${order.from}>${order.to}`);
        break;
      case 'shape':
        if (order.shape === null) this.#shapes.delete(`${order.from}>${order.to}`);
        else this.#shapes.set(`${order.from}>${order.to}`, order.shape);
        break;
      case 'heal':
        this.#blocks.clear();
        this.#shapes.clear();
        break;
      case 'process':
        this.#pids[order.node] = order.pid;
        break;
    }
    for (const connection of this.#connections) this.#treat(connection);
    this.#letGo();
    await Promise.all(this.#ports.map(async (_, node) => await this.#listen(node)));
  }

  /**
   * A port nobody listens on refuses, as that of a dead node does on a real network: peers take that as a hint. Across a
   * cut nothing is heard, not even a refusal, so the port stays open then and its connections hang.
   */
  async #listen(node: number): Promise<void> {
    const wanted = this.#pids[node] !== null || this.#ports.some((_, other) => this.#isCut(node, other));
    const server = this.#servers[node] ?? null;
    if (wanted === (server !== null)) return;
    if (server !== null) {
      this.#servers[node] = null;
      server.close();
      return;
    }
    const opened = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      this.#accept(node, socket);
    });
    this.#servers[node] = opened;
    await new Promise<void>((resolve, reject) => {
      opened.once('error', reject);
      opened.listen({ host: '127.0.0.1', port: this.#ports[node]?.proxyPort ?? 0, exclusive: true }, resolve);
    });
  }

  #accept(listener: number, socket: Socket): void {
    socket.on('error', () => undefined);
    const dialer = this.#dialerOf(listener, socket);
    if (dialer < 0) {
      socket.resetAndDestroy();
      return;
    }
    if (!this.#isCut(dialer, listener)) {
      this.#join(dialer, listener, socket);
      return;
    }
    this.#held.push({ dialer, listener, socket });
    if (this.#held.length > MAX_HELD) this.#held.shift()?.socket.resetAndDestroy();
  }

  /** Connections whose link is whole again go on, unless their dialer has given up meanwhile. */
  #letGo(): void {
    const free = this.#held.filter(({ dialer, listener }) => !this.#isCut(dialer, listener));
    if (free.length === 0) return;
    this.#held = this.#held.filter(({ dialer, listener }) => this.#isCut(dialer, listener));
    for (const { dialer, listener, socket } of free) {
      if (this.#dialerOf(listener, socket) === dialer) this.#join(dialer, listener, socket);
      else socket.resetAndDestroy();
    }
  }

  #join(dialer: number, listener: number, socket: Socket): void {
    const port = this.#ports[listener]?.nodePort ?? 0;
    const onward = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    onward.pause();
    onward.on('error', () => undefined);
    onward.once('close', () => {
      if (connection === null) socket.resetAndDestroy();
    });
    let connection: Connection | null = null;
    onward.once('connect', () => {
      if (socket.destroyed) {
        onward.resetAndDestroy();
        return;
      }
      const pipes = [new Pipe(socket, onward, this.#chance), new Pipe(onward, socket, this.#chance)] as const;
      const made: Connection = { dialer, listener, pipes };
      connection = made;
      this.#connections.add(made);
      let open = 2;
      const closed = (): void => {
        if (--open === 0) this.#connections.delete(made);
      };
      socket.once('close', closed);
      onward.once('close', closed);
      this.#treat(made);
    });
  }

  #treat({ dialer, listener, pipes }: Connection): void {
    const [there, back] = [`${dialer}>${listener}`, `${listener}>${dialer}`];
    pipes[0].set(this.#blocks.has(there), this.#shapes.get(there) ?? null);
    pipes[1].set(this.#blocks.has(back), this.#shapes.get(back) ?? null);
  }

  /** A handshake needs both directions. */
  #isCut(a: number, b: number): boolean {
    return this.#blocks.has(`${a}>${b}`) || this.#blocks.has(`${b}>${a}`);
  }

  #dialerOf(listener: number, socket: Socket): number {
    return ownerOf(socket.remotePort ?? 0, this.#ports[listener]?.proxyPort ?? 0, this.#pids);
  }
}

const proxy = new Proxy(workerData as ProxyData);
let turn = Promise.resolve();
parentPort?.on('message', ({ order, number }: { order: ProxyOrder; number: number }) => {
  turn = turn.then(async () => {
    let error: string | null = null;
    try {
      await proxy.obey(order);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown.message : String(thrown);
    }
    const answer: ProxyAnswer = { order: number, error };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    parentPort?.postMessage(answer);
  });
});
