/**
 * A network in memory, for simulation and tests: no clock, no randomness and no I/O but what is handed in, so that the same inputs give the
 * same run. Members are told apart by their addresses.
 *
 *     const network = new MemoryNetwork({ schedule });
 *     const a = network.createTransport({ address: 'a:1', credential: () => ({ secret }), wallTime, handlers });
 *     network.cut('a:1', 'b:1');       // both ways; cutOneWay for one
 *     network.crash('b:1');            // its peers see the link close, and the port closed
 *
 * What it models of TCP: order within a connection and direction; a closed port that refuses; a cut that nobody notices until
 * keep-alives are missing; frames in flight across a cut are lost. A frame counts as queued until it is delivered, so a slow network
 * (`delayMs`) fills queues. The handshake is the real one.
 */
import type { NodeId } from '../raft/types.ts';
import { KvorumError, invariant } from '../errors.ts';
import { parseAddress } from './address.ts';
import { decodeControl, encodeControl } from './admission.ts';
import type { Admission, AdmissionStep } from './admission.ts';
import { BaseTransport } from './base-transport.ts';
import type { BaseLink, Failure, TransportLogger } from './base-transport.ts';
import { parseRefusal } from './hello.ts';
import { ADMISSION_TIMEOUT_MS, DIAL_TIMEOUT_MS, KEEPALIVE_INTERVAL_MS, KEEPALIVE_MISSED } from './limits.ts';
import type { PartialTransportLimits } from './limits.ts';
import type { DialResult } from './reconnect.ts';
import { CHANNELS } from './types.ts';
import type { Channel, Credential, Hello, PeerCredential, Transport, TransportHandlers } from './types.ts';

/** A channel, or `control` for what links say to each other: connecting, admission, closing. */
export type Traffic = Channel | 'control';

export interface MemoryNetworkOptions {
  /** Runs `task` after `delayMs` of the network's time; tasks of the same time run in the order in which they were given. Returns what cancels it. */
  schedule(delayMs: number, task: () => void): () => void;
  /** One-way delay. Default 1 ms. Later frames of the same channel and connection never overtake. */
  delayMs?(from: string, to: string, traffic: Traffic, bytes: number): number;
  /** True: this frame is lost. Asked for frames only. Default: none is. */
  lose?(from: string, to: string, channel: Channel, bytes: number): boolean;
  /** Uniform in [0, 1), for the jitter of re-dialling. Default: always 0. */
  random?(): number;
}

export interface MemoryTransportOptions {
  /** HOST:PORT; port 0 takes a free one. */
  readonly address: string;
  /** Asked at each handshake, so it may change: links that are up stay. Null: nobody is admitted. Must not throw. */
  readonly credential: () => Credential;
  /** Milliseconds since the epoch, for the expiry of join tokens. */
  readonly wallTime: () => number;
  readonly handlers: TransportHandlers;
  readonly limits?: PartialTransportLimits;
  readonly logger?: TransportLogger;
  /** Default: one that always runs, on the network's time. */
  readonly process?: NetworkProcess;
}

/** The process behind an address, which may be paused or gone: then what arrives for it waits, or never happens. */
export interface NetworkProcess {
  enter(task: () => void): void;
  /** A timer of the process. Returns what cancels it. */
  schedule(delayMs: number, task: () => void): () => void;
}

const LINK_TIMEOUT_MS = KEEPALIVE_INTERVAL_MS * KEEPALIVE_MISSED;

export class MemoryNetwork {
  readonly options: Required<MemoryNetworkOptions>;
  readonly #hosts = new Map<string, MemoryTransport>();
  readonly #connections = new Set<MemoryConnection>();
  /** Directions that are cut, `from to`, each with a token of its cut. */
  readonly #cuts = new Map<string, object>();
  #nextPort = 20_000;

  constructor(options: MemoryNetworkOptions) {
    this.options = {
      schedule: (delayMs, task) => options.schedule(delayMs, task),
      delayMs: options.delayMs?.bind(options) ?? (() => 1),
      lose: options.lose?.bind(options) ?? (() => false),
      random: options.random?.bind(options) ?? (() => 0),
    };
  }

  /** Throws ERR_ADDRESS_IN_USE. */
  createTransport(options: MemoryTransportOptions): Transport {
    const { host, port } = parseAddress(options.address);
    const address = port === 0 ? `${host}:${this.#nextPort++}` : options.address;
    if (this.#hosts.has(address)) {
      throw new KvorumError('ERR_ADDRESS_IN_USE', `the peer address ${address} is in use`);
    }
    const transport = new MemoryTransport(this, address, options);
    this.#hosts.set(address, transport);
    return transport;
  }

  /** Nothing passes between the two, in either direction, until `heal`. */
  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  cutOneWay(from: string, to: string): void {
    const key = `${from} ${to}`;
    if (this.#cuts.has(key)) return;
    const token = {};
    this.#cuts.set(key, token);
    // The side that hears nothing gives its end of the link up, once keep-alives have been missing for long enough.
    this.options.schedule(LINK_TIMEOUT_MS, () => {
      if (this.#cuts.get(key) !== token) return;
      for (const connection of [...this.#connections]) connection.silent(from, to);
    });
  }

  /** Both directions between the two. */
  heal(a: string, b: string): void {
    this.#cuts.delete(`${a} ${b}`);
    this.#cuts.delete(`${b} ${a}`);
    for (const connection of [...this.#connections]) connection.healed();
  }

  healOneWay(from: string, to: string): void {
    if (!this.#cuts.delete(`${from} ${to}`)) return;
    for (const connection of [...this.#connections]) connection.healed();
  }

  healAll(): void {
    this.#cuts.clear();
    for (const connection of [...this.#connections]) connection.healed();
  }

  /** The connections between the two break at once, as by a reset that both ends see; what is on its way in them is lost. */
  reset(a: string, b: string): void {
    for (const connection of [...this.#connections]) connection.reset(a, b);
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from} ${to}`);
  }

  /**
   * The process at this address is killed: its transport does nothing more, and its peers see their links close. The address can
   * be used again at once.
   */
  crash(address: string): void {
    this.#hosts.get(address)?.halt();
  }

  // For the transports below.

  remove(address: string): void {
    this.#hosts.delete(address);
  }

  delay(from: string, to: string, traffic: Traffic, bytes: number): number {
    return this.options.delayMs(from, to, traffic, bytes);
  }

  /** A dial: the answer comes after one delay each way. */
  dial(dialer: MemoryTransport, to: string, done: (link: MemoryLink | 'port-closed' | 'failed') => void): void {
    const from = dialer.address;
    let answered = false;
    const answer = (result: MemoryLink | 'port-closed' | 'failed'): void => {
      if (answered) return;
      answered = true;
      cancel();
      dialer.process.enter(() => done(result));
    };
    const cancel = this.options.schedule(DIAL_TIMEOUT_MS, () => answer('failed'));
    this.options.schedule(this.delay(from, to, 'control', 0), () => {
      if (this.isCut(from, to)) return;
      const listener = this.#hosts.get(to);
      this.options.schedule(this.delay(to, from, 'control', 0), () => {
        if (this.isCut(to, from) || answered) return;
        if (listener === undefined || this.#hosts.get(to) !== listener) return answer('port-closed');
        if (this.#hosts.get(from) !== dialer) return;
        const connection = new MemoryConnection(this, dialer, listener, () => this.#connections.delete(connection));
        this.#connections.add(connection);
        answer(connection.dialerEnd);
      });
    });
  }
}

/** Both directions of a connection, and both ends. */
class MemoryConnection {
  readonly network: MemoryNetwork;
  readonly dialerEnd: MemoryLink;
  readonly listenerEnd: MemoryLink;
  readonly #ended: () => void;

  constructor(network: MemoryNetwork, dialer: MemoryTransport, listener: MemoryTransport, ended: () => void) {
    this.network = network;
    this.#ended = ended;
    this.dialerEnd = new MemoryLink(this, dialer, listener, 'dialer');
    this.listenerEnd = new MemoryLink(this, listener, dialer, 'listener');
  }

  other(end: MemoryLink): MemoryLink {
    return end === this.dialerEnd ? this.listenerEnd : this.dialerEnd;
  }

  /** Nothing comes from `from` to `to` any more. */
  silent(from: string, to: string): void {
    for (const end of [this.dialerEnd, this.listenerEnd]) {
      if (end.ownAddress === to && end.remoteAddress === from) end.process.enter(() => end.end());
    }
  }

  /** Both ends close, if it is one between these two. */
  reset(a: string, b: string): void {
    const { ownAddress, remoteAddress } = this.dialerEnd;
    if (!((ownAddress === a && remoteAddress === b) || (ownAddress === b && remoteAddress === a))) return;
    for (const end of [this.dialerEnd, this.listenerEnd]) end.process.enter(() => end.end());
  }

  /** An end that closed during a cut told nobody; a host that gets bytes for a connection that it does not know answers with a reset. */
  healed(): void {
    for (const end of [this.dialerEnd, this.listenerEnd]) {
      const other = this.other(end);
      if (end.phase === 'closed' || other.phase !== 'closed') continue;
      const delayMs = this.network.delay(other.ownAddress, end.ownAddress, 'control', 0);
      this.network.options.schedule(delayMs, () => {
        if (!this.network.isCut(other.ownAddress, end.ownAddress)) end.process.enter(() => end.end());
      });
    }
  }

  ended(): void {
    if (this.dialerEnd.phase === 'closed' && this.listenerEnd.phase === 'closed') this.#ended();
  }
}

class MemoryLink implements BaseLink {
  readonly id: NodeId;
  readonly role: 'dialer' | 'listener';
  readonly ownAddress: string;
  readonly remoteAddress: string;
  hello: Hello | null = null;
  credential: PeerCredential | null = null;
  bearsToken = false;
  number = 0;
  wanted = false;
  phase: 'admitting' | 'up' | 'closed' = 'admitting';
  readonly #connection: MemoryConnection;
  readonly #owner: MemoryTransport;
  readonly #newAdmission: () => Admission;
  /** The listener's begins with the first word of the dialer, as on a real network. */
  #admission: Admission | null = null;
  readonly #cancelTimeout: () => void;
  readonly #queued = new Map<Channel, { bytes: number; frames: number }>();
  /** Frames that overtook the last word of the handshake. */
  readonly #early: { readonly channel: Channel; readonly frame: Uint8Array }[] = [];
  /** Deliveries of a kind of traffic that are still under way, in order. */
  readonly #lanes = new Map<Traffic, ((arrived: boolean) => void)[]>();

  constructor(
    connection: MemoryConnection,
    owner: MemoryTransport,
    remote: MemoryTransport,
    role: 'dialer' | 'listener',
  ) {
    const remoteHello = remote.hello();
    this.id = remoteHello.id;
    this.role = role;
    this.ownAddress = owner.address;
    this.remoteAddress = remote.address;
    this.#connection = connection;
    this.#owner = owner;
    this.#newAdmission = () => owner.admission(role, remoteHello.peerId, remoteHello.id);
    this.#cancelTimeout = owner.process.schedule(ADMISSION_TIMEOUT_MS, () => {
      if (this.phase === 'admitting') this.#fail({ type: 'timeout' });
    });
    for (const channel of CHANNELS) this.#queued.set(channel, { bytes: 0, frames: 0 });
    owner.register(this);
  }

  get process(): NetworkProcess {
    return this.#owner.process;
  }

  begin(): void {
    const admission = (this.#admission = this.#newAdmission());
    this.#step(() => admission.start());
  }

  send(channel: Channel, parts: readonly Uint8Array[], length: number): boolean {
    const queued = this.#queued.get(channel)!;
    if (this.phase !== 'up') return false;
    if (queued.frames > 0 && queued.bytes + length > this.#owner.limits.maxQueueBytes[channel]) return false;
    queued.bytes += length;
    queued.frames++;
    // Copied: on a real network too the receiver's bytes are its own.
    const frame = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      frame.set(part, at);
      at += part.byteLength;
    }
    const lost = this.#connection.network.options.lose(this.ownAddress, this.remoteAddress, channel, length);
    this.#transmit(channel, length, (arrived) => {
      queued.bytes -= length;
      queued.frames--;
      if (arrived && !lost) this.#connection.other(this).#receive(channel, frame);
    });
    return true;
  }

  /** Its channels are always ready. */
  prepare(): void {}

  queuedBytes(channel: Channel): number {
    return this.#queued.get(channel)!.bytes;
  }

  queuedFrames(): number {
    let frames = 0;
    for (const queued of this.#queued.values()) frames += queued.frames;
    return frames;
  }

  dismiss(code: string, message: string): void {
    if (this.phase === 'up') this.#control(encodeControl({ t: 'dismissed', code, message }));
    this.close();
  }

  close(): void {
    this.wanted = true;
    this.end();
  }

  /** This end closes; the other learns of it after what is on its way, if the way is open. */
  end(): void {
    if (this.phase === 'closed') return;
    const admitting = this.phase === 'admitting';
    this.phase = 'closed';
    this.#cancelTimeout();
    if (admitting) {
      const outcome = this.#admission?.ended() ?? null;
      this.#owner.failed(this, outcome === null || outcome.type === 'admitted' ? { type: 'broken' } : outcome);
    }
    const other = this.#connection.other(this);
    if (other.phase !== 'closed') {
      this.#transmitLast((arrived) => {
        if (arrived) other.end();
      });
    }
    this.#owner.closed(this);
    this.#connection.ended();
  }

  /** The process died: no code of it runs any more. */
  halt(): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.#cancelTimeout();
    this.#transmitLast((arrived) => {
      if (arrived) this.#connection.other(this).end();
    });
    this.#connection.ended();
  }

  #control(message: Uint8Array): void {
    this.#transmit('control', message.byteLength, (arrived) => {
      if (arrived) this.#connection.other(this).#onControl(message);
    });
  }

  /** Hands over after the delay, behind what was sent before on the same lane; `arrived` is false when the way was cut by then. */
  #transmit(traffic: Traffic, bytes: number, deliver: (arrived: boolean) => void): void {
    const { network } = this.#connection;
    let lane = this.#lanes.get(traffic);
    if (lane === undefined) this.#lanes.set(traffic, (lane = []));
    const waiting = lane;
    waiting.push(deliver);
    // Each due time delivers the oldest: whatever the delays, order holds, and the number of deliveries is the same.
    network.options.schedule(network.delay(this.ownAddress, this.remoteAddress, traffic, bytes), () => {
      const next = waiting.shift();
      invariant(next !== undefined, 'a delivery without a message');
      const arrived = !network.isCut(this.ownAddress, this.remoteAddress);
      this.#connection.other(this).process.enter(() => next(arrived));
    });
  }

  /** As `#transmit`, behind everything that is on its way on any lane. */
  #transmitLast(deliver: (arrived: boolean) => void): void {
    let pending = 1;
    const arrivals: boolean[] = [];
    const one = (arrived: boolean): void => {
      arrivals.push(arrived);
      if (--pending === 0) deliver(arrivals.at(-1)!);
    };
    for (const [traffic, lane] of this.#lanes) {
      if (lane.length === 0 || traffic === 'control') continue;
      pending++;
      this.#transmit(traffic, 0, one);
    }
    this.#transmit('control', 0, one);
  }

  #receive(channel: Channel, frame: Uint8Array): void {
    // Not read before admission is over here too; the peer, which is up already, takes it for sent.
    if (this.phase === 'admitting') this.#early.push({ channel, frame });
    if (this.phase !== 'up') return;
    try {
      this.#owner.frame(this, channel, frame);
    } catch (error) {
      this.#owner.malformed(this, error);
      this.end();
    }
  }

  #onControl(bytes: Uint8Array): void {
    if (this.phase === 'admitting') {
      const admission = (this.#admission ??= this.#newAdmission());
      return this.#step(() => admission.receive(bytes));
    }
    if (this.phase !== 'up') return;
    const message = decodeControl(bytes);
    if (message?.['t'] !== 'dismissed') return;
    const { code, message: text } = parseRefusal(message);
    this.wanted = true;
    this.#owner.dismissed(this, code, text);
    this.end();
  }

  #step(step: () => AdmissionStep): void {
    const { send, outcome } = step();
    for (const message of send) this.#control(message);
    if (outcome === null) return;
    this.#cancelTimeout();
    if (outcome.type === 'admitted') {
      this.phase = 'up';
      this.hello = outcome.hello;
      this.credential = outcome.credential;
      this.bearsToken = outcome.bearsToken;
      this.number = outcome.number;
      this.#owner.admitted(this, outcome.hello);
      for (const { channel, frame } of this.#early.splice(0)) this.#receive(channel, frame);
    } else this.#fail(outcome);
  }

  #fail(failure: Failure): void {
    this.#cancelTimeout();
    this.phase = 'closed';
    this.#owner.failed(this, failure);
    this.#transmitLast((arrived) => {
      if (arrived) this.#connection.other(this).end();
    });
    this.#owner.closed(this);
    this.#connection.ended();
  }
}

class MemoryTransport extends BaseTransport<MemoryLink> {
  readonly address: string;
  readonly process: NetworkProcess;
  readonly #network: MemoryNetwork;
  readonly #links = new Set<MemoryLink>();
  readonly #dials = new Map<MemoryLink, { readonly address: string; done(result: DialResult): void }>();

  constructor(network: MemoryNetwork, address: string, options: MemoryTransportOptions) {
    const { schedule } = network.options;
    const { process = { enter: (task) => task(), schedule } } = options;
    super({
      handlers: options.handlers,
      credential: options.credential,
      wallTime: options.wallTime,
      limits: options.limits,
      logger: options.logger,
      schedule: (delayMs, task) => process.schedule(delayMs, task),
      random: network.options.random,
    });
    this.process = process;
    this.#network = network;
    this.address = address;
  }

  protected get ownPeerId(): string {
    return this.handlers.hello().peerId;
  }

  hello(): Hello {
    return this.handlers.hello();
  }

  close(): Promise<void> {
    if (!this.closing) {
      this.stop();
      this.#network.remove(this.address);
      for (const link of [...this.#links]) link.close();
    }
    return Promise.resolve();
  }

  halt(): void {
    this.stop();
    this.#network.remove(this.address);
    for (const link of [...this.#links]) link.halt();
    this.#links.clear();
  }

  protected dial(address: string, done: (result: DialResult) => void): void {
    this.#network.dial(this, address, (link) => {
      if (typeof link === 'string') return done({ type: link });
      // A process that stood still finds it ended already, and nothing more will be told of it.
      if (link.phase === 'closed') return done({ type: 'reset' });
      if (this.peer(link.id) !== undefined) {
        link.close();
        return done({ type: 'linked', id: link.id });
      }
      this.#dials.set(link, { address, done });
      link.begin();
    });
  }

  admission(role: 'dialer' | 'listener', remotePeerId: string, remoteId: NodeId): Admission {
    return this.newAdmission(role, remotePeerId, remoteId);
  }

  register(link: MemoryLink): void {
    this.#links.add(link);
  }

  admitted(link: MemoryLink, hello: Hello): void {
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    this.onAdmitted(link, hello, dial?.address ?? null);
    dial?.done({ type: 'linked', id: hello.id });
  }

  failed(link: MemoryLink, failure: Failure): void {
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    const result = this.onFailed(failure, dial?.address ?? null, parseAddress(link.remoteAddress).host);
    dial?.done(result);
  }

  dismissed(link: MemoryLink, code: string, message: string): void {
    const address = link.hello?.address ?? link.remoteAddress;
    this.refuse('out', { address, code, message, by: 'them', hello: link.hello });
  }

  malformed(link: MemoryLink, reason: unknown): void {
    this.onMalformed(link.remoteAddress, reason);
  }

  closed(link: MemoryLink): void {
    this.#links.delete(link);
    this.onClosed(link);
  }

  frame(link: MemoryLink, channel: Channel, frame: Uint8Array): void {
    this.onFrame(link, channel, frame);
  }
}
