/**
 * Each node in a network namespace of its own, joined to each other node by a veth pair of their own, so that every
 * directed link can be cut (iptables, where it arrives) and shaped (tc, where it leaves) by itself. Clients reach the nodes
 * over a second interface that no fault touches: a bridge in one more namespace, with one leg in the host's. The host's
 * firewall and routes stay as they are, except for the one interface with its /24.
 *
 * Needs root. Everything carries the maker's tag in its name and goes with its namespace; what a crashed run left behind is
 * removed by the next one.
 */
import { readdirSync } from 'node:fs';
import os from 'node:os';

import { isMakerDead, ownTag, TAG } from '../../processes/owner.ts';
import type { LabNode, LinkShape } from '../types.ts';
import { command, commandNow, reasonWhyNot } from './command.ts';
import type { HostNetwork, NetworkAbilities, Place } from './host-network.ts';

/** 198.18.0.0/15 is set aside for benchmarks (RFC 2544): it collides with nobody's real network. */
const CONTROL = '198.18';
const PEERS = '198.19.0';
const FIRST_HOST = 11;
const HTTP_PORT = 7101;
const PEER_PORT = 7201;
const PREFIX = 'kvorum-lab-';
const NAMED = new RegExp(`^${PREFIX}${TAG.source}-`);

let runs = 0;

/** Why namespaces do not work here, or what they can do. Tries it and leaves nothing. */
export async function probeNamespaces(): Promise<string | NetworkAbilities> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root';
  const name = `${PREFIX}${ownTag()}-probe${runs++}`;
  try {
    const works = await reasonWhyNot(async () => {
      await command('ip', ['netns', 'add', name]);
      await command('nsenter', [`--net=/run/netns/${name}`, 'true']);
      await command('ip', ['-n', name, 'link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right']);
      await command('ip', ['-n', name, 'link', 'add', 'br0', 'type', 'bridge']);
      await iptables(name, ['-A', 'INPUT', '-s', '192.0.2.1', '-j', 'DROP']);
    });
    if (works !== null) return works;
    const tc = async (words: string): Promise<string | null> =>
      await reasonWhyNot(async () => {
        await command('tc', ['-n', name, 'qdisc', 'replace', 'dev', 'left', 'root', ...words.split(' ')]);
      });
    return {
      loss: await reasonWhyNot(async () => await iptables(name, ['-A', 'INPUT', ...lossRule('192.0.2.1', 0.1)])),
      bandwidth: await tc('tbf rate 1mbit burst 32kb latency 400ms'),
      delay: (await tc('netem delay 1ms')) === null ? null : 'this kernel has no tc netem',
    };
  } finally {
    commandNow('ip', ['netns', 'del', name]);
  }
}

export async function createNamespaces(count: number, abilities: NetworkAbilities): Promise<NamespaceNetwork> {
  await removeLeftovers();
  const network = new NamespaceNetwork(count, abilities);
  try {
    await network.build();
  } catch (error) {
    network.closeNow();
    throw error;
  }
  return network;
}

async function removeLeftovers(): Promise<void> {
  const names = await command('ip', ['netns', 'list']);
  for (const line of names.split('\n')) {
    const [name = ''] = line.split(' ');
    const [, pid, start] = NAMED.exec(name) ?? [];
    if (pid !== undefined && isMakerDead(`${pid}-${start}`)) commandNow('ip', ['netns', 'del', name]);
  }
}

export class NamespaceNetwork implements HostNetwork {
  readonly kind = 'namespaces';
  readonly places: readonly Place[];
  readonly abilities: NetworkAbilities;
  readonly #names: readonly string[];
  readonly #switch: string;
  readonly #hostInterface: string;
  readonly #controlNet: string;
  readonly #index = new Map<LabNode, number>();
  readonly #shapes = new Map<string, LinkShape>();
  readonly #blocks = new Set<string>();
  /** One change at a time, in the order in which they were asked for. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(count: number, abilities: NetworkAbilities) {
    this.abilities = abilities;
    const base = `${PREFIX}${ownTag()}-${runs++}`;
    this.#names = Array.from({ length: count }, (_, index) => `${base}-n${index + 1}`);
    this.#switch = `${base}-switch`;
    this.#hostInterface = `kvl${process.pid.toString(36)}.${runs}`;
    this.#controlNet = freeControlNet();
    this.places = this.#names.map((name, index) => ({
      advertised: `${peerAddress(index)}:${PEER_PORT}`,
      listen: `${peerAddress(index)}:${PEER_PORT}`,
      http: `${this.#controlNet}.${FIRST_HOST + index}:${HTTP_PORT}`,
      wrap: ['nsenter', `--net=/run/netns/${name}`],
    }));
  }

  async build(): Promise<void> {
    const ip = async (words: string): Promise<string> => await command('ip', words.split(' '));
    const hub = this.#switch;
    await ip(`netns add ${hub}`);
    await ip(`-n ${hub} link add control type bridge`);
    await ip(`-n ${hub} link set control up`);
    await ip(`link add ${this.#hostInterface} type veth peer name host netns ${hub}`);
    await ip(`-n ${hub} link set host master control up`);
    await ip(`addr add ${this.#controlNet}.1/24 dev ${this.#hostInterface}`);
    await ip(`link set ${this.#hostInterface} up`);
    for (const [index, name] of this.#names.entries()) {
      await ip(`netns add ${name}`);
      await ip(`-n ${name} link set lo up`);
      await ip(`-n ${name} addr add ${peerAddress(index)}/32 dev lo`);
      await ip(`-n ${hub} link add to-n${index + 1} type veth peer name control netns ${name}`);
      await ip(`-n ${hub} link set to-n${index + 1} master control up`);
      await ip(`-n ${name} addr add ${this.#controlNet}.${FIRST_HOST + index}/24 dev control`);
      await ip(`-n ${name} link set control up`);
      for (let other = 0; other < index; other++) {
        const otherName = this.#names[other] ?? '';
        await ip(`-n ${name} link add ${link(other)} type veth peer name ${link(index)} netns ${otherName}`);
        await ip(`-n ${name} link set ${link(other)} up`);
        await ip(`-n ${otherName} link set ${link(index)} up`);
        await ip(`-n ${name} route add ${peerAddress(other)}/32 dev ${link(other)} src ${peerAddress(index)}`);
        await ip(`-n ${otherName} route add ${peerAddress(index)}/32 dev ${link(index)} src ${peerAddress(other)}`);
      }
    }
  }

  attach(nodes: readonly LabNode[]): void {
    for (const [index, node] of nodes.entries()) this.#index.set(node, index);
  }

  started(): void {
    // A namespace does not mind who runs in it.
  }

  ended(): void {
    // As above.
  }

  async block(from: LabNode, to: LabNode): Promise<void> {
    const [source, target] = [this.#indexOf(from), this.#indexOf(to)];
    await this.#inTurn(async () => {
      if (this.#blocks.has(`${source}>${target}`)) return;
      this.#blocks.add(`${source}>${target}`);
      await this.#rule(target, '-A', ['-s', peerAddress(source), '-j', 'DROP']);
    });
  }

  async unblock(from: LabNode, to: LabNode): Promise<void> {
    const [source, target] = [this.#indexOf(from), this.#indexOf(to)];
    await this.#inTurn(async () => await this.#unblock(source, target));
  }

  async shape(from: LabNode, to: LabNode, shape: LinkShape | null): Promise<string | null> {
    const { loss, delay, bandwidth } = this.abilities;
    if (shape?.loss !== undefined && loss !== null) return loss;
    if ((shape?.delayMs ?? shape?.jitterMs) !== undefined && delay !== null) return delay;
    if (shape?.bytesPerSecond !== undefined) {
      if (bandwidth !== null) return bandwidth;
      if ((shape.delayMs ?? shape.jitterMs) !== undefined) return 'bandwidth and delay at once are not supported';
    }
    const [source, target] = [this.#indexOf(from), this.#indexOf(to)];
    await this.#inTurn(async () => await this.#shape(source, target, shape));
    return null;
  }

  async healAll(): Promise<void> {
    await this.#inTurn(async () => {
      for (const pair of [...this.#blocks]) await this.#unblock(...indexes(pair));
      for (const pair of [...this.#shapes.keys()]) await this.#shape(...indexes(pair), null);
    });
  }

  async close(): Promise<void> {
    await this.#turn.catch(() => undefined);
    this.closeNow();
    return await Promise.resolve();
  }

  closeNow(): void {
    const there = new Set(namespacesNow());
    for (const name of [...this.#names, this.#switch]) if (there.has(name)) commandNow('ip', ['netns', 'del', name]);
    // It went with its other end, unless building stopped in between.
    if (os.networkInterfaces()[this.#hostInterface] !== undefined) {
      commandNow('ip', ['link', 'del', this.#hostInterface]);
    }
  }

  async #unblock(source: number, target: number): Promise<void> {
    if (!this.#blocks.delete(`${source}>${target}`)) return;
    await this.#rule(target, '-D', ['-s', peerAddress(source), '-j', 'DROP']);
  }

  async #shape(source: number, target: number, shape: LinkShape | null): Promise<void> {
    const pair = `${source}>${target}`;
    const before = this.#shapes.get(pair);
    if (before?.loss !== undefined) await this.#rule(target, '-D', lossRule(peerAddress(source), before.loss));
    if (before !== undefined && hasQueue(before)) await this.#queue(source, target, 'del', []);
    this.#shapes.delete(pair);
    if (shape === null) return;
    this.#shapes.set(pair, shape);
    if (shape.loss !== undefined) await this.#rule(target, '-A', lossRule(peerAddress(source), shape.loss));
    if (hasQueue(shape)) await this.#queue(source, target, 'add', queueWords(shape));
  }

  async #rule(at: number, action: '-A' | '-D', words: readonly string[]): Promise<void> {
    await iptables(this.#names[at] ?? '', [action, 'INPUT', ...words]);
  }

  async #queue(source: number, target: number, action: 'add' | 'del', words: readonly string[]): Promise<void> {
    const name = this.#names[source] ?? '';
    await command('tc', ['-n', name, 'qdisc', action, 'dev', link(target), 'root', ...words]);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return await result;
  }

  #indexOf(node: LabNode): number {
    const index = this.#index.get(node);
    if (index === undefined) throw new Error(`${node.name} is not on this network`);
    return index;
  }
}

async function iptables(namespace: string, words: readonly string[]): Promise<void> {
  await command('nsenter', [`--net=/run/netns/${namespace}`, 'iptables', '-w', ...words]);
}

function lossRule(source: string, probability: number): string[] {
  const match = ['-m', 'statistic', '--mode', 'random', '--probability', String(probability)];
  return ['-s', source, ...match, '-j', 'DROP'];
}

function hasQueue(shape: LinkShape): boolean {
  return (shape.delayMs ?? shape.jitterMs ?? shape.bytesPerSecond) !== undefined;
}

function queueWords(shape: LinkShape): string[] {
  if (shape.bytesPerSecond !== undefined) {
    // A burst holds at least one packet of a veth, which may be 64 KiB before it is segmented.
    return ['tbf', 'rate', `${shape.bytesPerSecond * 8}bit`, 'burst', '128kb', 'latency', '400ms'];
  }
  return ['netem', 'delay', `${shape.delayMs ?? 0}ms`, `${shape.jitterMs ?? 0}ms`];
}

function peerAddress(index: number): string {
  return `${PEERS}.${FIRST_HOST + index}`;
}

/** A node's interface towards another. */
function link(to: number): string {
  return `n${to + 1}`;
}

function indexes(pair: string): [number, number] {
  const [source = 0, target = 0] = pair.split('>').map(Number);
  return [source, target];
}

function freeControlNet(): string {
  const taken = new Set(
    Object.values(os.networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  );
  for (let tries = 0; tries < 256; tries++) {
    const net = `${CONTROL}.${Math.trunc(Math.random() * 256)}`;
    if (!taken.has(`${net}.1`)) return net;
  }
  throw new Error(`every network of ${CONTROL}.0.0/16 is in use`);
}

function namespacesNow(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}
