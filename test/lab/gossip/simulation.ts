/**
 * Many nodes' gossip on virtual time and a virtual network, in one process: latency, loss, splits, crashes, and agents that are blocked as in the
 * Lifeguard paper. One seed decides everything. The cores are those that ship.
 */
import { Directory } from '../../../src/gossip/directory.ts';
import { createGossip } from '../../../src/gossip/gossip.ts';
import { INCARNATIONS_PER_BOOT, signedBytes } from '../../../src/gossip/statement.ts';
import type {
  AliveStatement,
  GossipCore,
  GossipMessage,
  GossipSettings,
  HeldLoops,
  MemberEffect,
  MemberId,
  PeerId,
  SendEffect,
} from '../../../src/gossip/types.ts';
import { Random } from '../../../src/testing/random.ts';
import { EventQueue } from './event-queue.ts';
import { signatureOf, verifySignature } from './signatures.ts';

export interface SimulationOptions {
  readonly nodes: number;
  readonly seed: number;
  readonly settings?: Partial<GossipSettings>;
  /** Everybody knows everybody at the start; else each is to be joined. Default true. */
  readonly acquainted?: boolean;
  /** One way, uniform in between. Default 0.1 to 1 ms. */
  readonly latencyMs?: readonly [number, number];
  /** Share of all messages that are lost. Default 0. */
  readonly loss?: number;
  /** Messages that wait for a blocked node, as in a socket's buffer; the exchange of tables, over TCP, is not counted. Default 256. */
  readonly inboxMessages?: number;
  /** What a node that was held up takes for each message that waited, milliseconds. Default 0.05: a receive, and an answer. */
  readonly processingMs?: number;
  readonly onMember?: (node: SimulatedNode, effect: MemberEffect, nowMs: number) => void;
  readonly onSend?: (node: SimulatedNode, effect: SendEffect, nowMs: number) => void;
}

export interface SimulatedNode {
  readonly index: number;
  readonly id: MemberId;
  readonly peerId: PeerId;
  core: GossipCore;
  bootEpoch: number;
  /** `blocked`: sends and receives wait, timers go on. `stopped`: nothing runs. `crashed`: nothing runs, and what is sent to it is lost. */
  mode: 'running' | 'blocked' | 'stopped' | 'crashed';
  tickAtMs: number;
  held: { -readonly [K in keyof HeldLoops]: HeldLoops[K] };
  outbox: SendEffect[];
  inbox: { readonly from: PeerId; readonly message: GossipMessage }[];
  inboxPackets: number;
  /** It works off its inbox, one message after the other. */
  busy: boolean;
  sent: number;
}

interface Event {
  readonly node: SimulatedNode;
  /** null: a tick. */
  readonly message: GossipMessage | null;
  readonly from: PeerId;
  readonly call: (() => void) | null;
}

const CLUSTER_ID = 'simulation';
const DEFAULT_LATENCY_MS = [0.1, 1] as const;

export class GossipSimulation {
  readonly nodes: SimulatedNode[] = [];
  nowMs = 0;
  events = 0;
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #queue = new EventQueue<Event>();
  readonly #byPeer = new Map<PeerId, SimulatedNode>();
  readonly #ids = new Map<PeerId, MemberId>();
  readonly #directory = new Directory();
  readonly #latency: readonly [number, number];
  readonly #loss: number;
  /** Side of each node; those on different sides do not reach each other. */
  #sides: ((node: SimulatedNode) => number) | null = null;
  #known: AliveStatement[] = [];

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#latency = options.latencyMs ?? DEFAULT_LATENCY_MS;
    this.#loss = options.loss ?? 0;
    const acquainted = options.acquainted ?? true;
    const names = Array.from({ length: options.nodes }, (_, i) => this.#nameOf(i));
    if (acquainted) this.#known = names.map(({ id, peerId }, i) => firstStatement(i, id, peerId));
    for (const [index, { id, peerId }] of names.entries()) {
      this.#ids.set(peerId, id);
      const core = this.#coreOf(index, id, peerId, 1, this.#known, !acquainted);
      const node: SimulatedNode = {
        ...{ index, id, peerId, core, bootEpoch: 1, mode: 'running', tickAtMs: Infinity, held: {} },
        ...{ outbox: [], inbox: [], inboxPackets: 0, busy: false, sent: 0 },
      };
      this.nodes.push(node);
      this.#byPeer.set(peerId, node);
      core.tick(0);
      this.#carryOut(node);
    }
  }

  node(index: number): SimulatedNode {
    const node = this.nodes[index];
    if (node === undefined) throw new RangeError(`there is no node ${index}`);
    return node;
  }

  run(untilMs: number): void {
    while (this.#queue.nextMs <= untilMs) {
      this.nowMs = this.#queue.nextMs;
      const event = this.#queue.pop();
      this.events++;
      if (event.call !== null) event.call();
      else if (event.message !== null) this.#deliver(event.node, event.from, event.message);
      else if (event.node.tickAtMs === this.nowMs) this.#tick(event.node);
    }
    this.nowMs = untilMs;
  }

  /** True as soon as it holds; false when it did not until then. Looked at every `stepMs`. */
  runUntil(condition: () => boolean, untilMs: number, stepMs = 100): boolean {
    while (!condition()) {
      if (this.nowMs >= untilMs) return false;
      this.run(Math.min(untilMs, this.nowMs + stepMs));
    }
    return true;
  }

  at(timeMs: number, call: () => void): void {
    const [node] = this.nodes;
    if (node !== undefined) this.#queue.push(timeMs, { node, message: null, from: '', call });
  }

  join(index: number, seeds: readonly number[]): void {
    const node = this.node(index);
    node.core.join(
      seeds.map((seed) => this.node(seed).peerId),
      this.nowMs,
    );
    this.#carryOut(node);
  }

  leave(index: number): void {
    const node = this.node(index);
    node.core.leave(this.nowMs);
    this.#carryOut(node);
  }

  /** Something that the test does to a core itself. */
  act(index: number, action: (core: GossipCore) => void): void {
    const node = this.node(index);
    action(node.core);
    this.#carryOut(node);
  }

  crash(index: number): void {
    const node = this.node(index);
    node.mode = 'crashed';
    node.tickAtMs = Infinity;
    node.outbox = [];
    node.inbox = [];
    node.inboxPackets = 0;
  }

  /** With a new boot epoch, and what it remembers of others. */
  restart(index: number, known: readonly AliveStatement[], seeds: readonly number[]): void {
    const node = this.node(index);
    node.bootEpoch++;
    node.core = this.#coreOf(index, node.id, node.peerId, node.bootEpoch, known, true);
    node.mode = 'running';
    this.#tick(node);
    this.join(index, seeds);
  }

  /**
   * As the Lifeguard paper blocks agents: just before a send, or just after a receive. Each loop goes on until it wants to send; timers of suspicions
   * go on; what is received waits.
   */
  block(index: number, untilMs: number): void {
    this.#halt(index, 'blocked', untilMs);
  }

  /** The whole process stands still, as by SIGSTOP or a blocked event loop. */
  stop(index: number, untilMs: number): void {
    this.#halt(index, 'stopped', untilMs);
  }

  /** null: whole again. */
  split(side: ((node: SimulatedNode) => number) | null): void {
    this.#sides = side;
  }

  /** Does everybody that runs see everybody else as it is? */
  agrees(): boolean {
    const running = this.nodes.filter(({ mode }) => mode !== 'crashed').length;
    return this.nodes.every(({ mode, core }) => {
      if (mode === 'crashed') return true;
      const { alive, suspect } = core.stats();
      return alive === running && suspect === 0;
    });
  }

  #halt(index: number, mode: 'blocked' | 'stopped', untilMs: number): void {
    const node = this.node(index);
    if (node.mode !== 'running') throw new Error(`node ${index} is ${node.mode}`);
    node.mode = mode;
    if (mode === 'stopped') node.tickAtMs = Infinity;
    this.at(untilMs, () => this.#wake(node));
  }

  #wake(node: SimulatedNode): void {
    if (node.mode === 'crashed') return;
    node.mode = 'running';
    node.held = {};
    const { outbox } = node;
    node.outbox = [];
    for (const effect of outbox) this.#send(node, effect);
    // Timers first, then what was received: so does Node's event loop, and so do the loops that wait on a deadline that is over.
    this.#tick(node);
    if (!node.busy) this.#workOff(node);
  }

  #workOff(node: SimulatedNode): void {
    const next = node.mode === 'running' ? node.inbox.shift() : undefined;
    node.busy = next !== undefined;
    if (next === undefined) return;
    if (!isTable(next.message)) node.inboxPackets--;
    node.core.receive(next.from, next.message, this.nowMs);
    this.#carryOut(node);
    this.at(this.nowMs + (this.#options.processingMs ?? 0.05), () => this.#workOff(node));
  }

  #tick(node: SimulatedNode): void {
    node.core.tick(this.nowMs, node.held);
    this.#carryOut(node);
  }

  #deliver(node: SimulatedNode, from: PeerId, message: GossipMessage): void {
    if (node.mode === 'crashed' || !this.#reaches(from, node)) return;
    if (node.mode === 'running' && !node.busy) {
      node.core.receive(from, message, this.nowMs);
      this.#carryOut(node);
      return;
    }
    if (!isTable(message)) {
      if (node.inboxPackets >= (this.#options.inboxMessages ?? 256)) return;
      node.inboxPackets++;
    }
    node.inbox.push({ from, message });
  }

  #carryOut(node: SimulatedNode): void {
    const { onMember } = this.#options;
    for (let effects = node.core.takeEffects(); effects.length > 0; effects = node.core.takeEffects()) {
      for (const effect of effects) {
        if (effect.kind === 'member') onMember?.(node, effect, this.nowMs);
        else if (node.mode === 'running') this.#send(node, effect);
        else this.#hold(node, effect);
      }
      // So that loops which have just been held are not waited for.
      if (node.mode === 'blocked') node.core.tick(this.nowMs, node.held);
    }
    if (node.mode === 'stopped' || node.mode === 'crashed') return;
    const next = Math.max(this.nowMs, node.core.nextTickMs());
    if (next === node.tickAtMs) return;
    node.tickAtMs = next;
    if (next < Infinity) this.#queue.push(next, { node, message: null, from: '', call: null });
  }

  #hold(node: SimulatedNode, effect: SendEffect): void {
    node.outbox.push(effect);
    const { type } = effect.message;
    if (type === 'ping' || type === 'pingRequest') node.held.probe = true;
    else if (type === 'gossip') node.held.gossip = true;
    else if (type === 'digest') node.held.pushPull = true;
  }

  #send(node: SimulatedNode, effect: SendEffect): void {
    node.sent++;
    this.#options.onSend?.(node, effect, this.nowMs);
    const to = this.#byPeer.get(effect.to);
    if (to === undefined || !this.#reaches(node.peerId, to)) return;
    if (this.#loss > 0 && this.#random.chance(this.#loss)) return;
    const [from, until] = this.#latency;
    const arrivesAtMs = this.nowMs + from + (until - from) * this.#random.float();
    this.#queue.push(arrivesAtMs, { node: to, message: effect.message, from: node.peerId, call: null });
  }

  #reaches(from: PeerId, to: SimulatedNode): boolean {
    if (this.#sides === null) return true;
    const sender = this.#byPeer.get(from);
    return sender !== undefined && this.#sides(sender) === this.#sides(to);
  }

  #nameOf(index: number): { id: MemberId; peerId: PeerId } {
    const id = (BigInt(this.#random.uint32()) << 32n) | BigInt(this.#random.uint32());
    return { id: id.toString(), peerId: `peer-${index}` };
  }

  #coreOf(
    index: number,
    id: MemberId,
    peerId: PeerId,
    bootEpoch: number,
    known: readonly AliveStatement[],
    announce: boolean,
  ): GossipCore {
    const random = this.#random.fork();
    return createGossip({
      ...this.#options.settings,
      clusterId: CLUSTER_ID,
      self: { id, peerId, bootEpoch, ...detailsOf(index) },
      known,
      announce,
      directory: this.#directory,
      random: () => random.float(),
      sign: (bytes) => signatureOf(peerId, bytes),
      verify: verifySignature,
      idOf: (peer) => this.#ids.get(peer) ?? null,
    });
  }
}

function isTable({ type }: GossipMessage): boolean {
  return type === 'sync' || type === 'digest';
}

function detailsOf(index: number): Pick<AliveStatement, 'name' | 'role' | 'addresses' | 'http' | 'metadata'> {
  const host = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  const addresses = [`/ip4/${host}/tcp/7001`];
  return { name: `node-${index}`, role: 'agent', addresses, http: `http://${host}:7000`, metadata: new Uint8Array(0) };
}

function firstStatement(index: number, id: MemberId, peerId: PeerId): AliveStatement {
  const incarnation = INCARNATIONS_PER_BOOT;
  const statement = { kind: 'alive', id, peerId, incarnation, ...detailsOf(index) } as const;
  return { ...statement, signature: signatureOf(peerId, signedBytes(CLUSTER_ID, statement)) };
}
