/**
 * The reader of scenario scripts (`testdata/*.txt`). A block is a comment that states the intent, a command, `----` and the
 * output, up to an empty line. The output is the whole causal trace: what nodes write, become, apply and answer, and every
 * message as it is delivered.
 *
 *   REWRITE=1 npx vitest run test/raft/scenario.test.ts      writes the outputs anew; read the diff before you commit it
 *
 * Verbs (ids are nodes; without ids: all):
 *   add-nodes voters=1,2,3 [outgoing= learners= learners-next=] [extra= empty=] [index= term=] [stopped] [inflight=
 *             inflight-bytes= append-bytes= uncommitted-bytes= cached-bytes= lease]     index/term: begin after a snapshot of
 *             that state; extra: nodes that know the configuration and are not in it; empty: nodes that know nothing
 *   disk ID [log=1,1,4] [term= vote= commit=] [config=INDEX:1,2,4/1,2]   fills the disk of a stopped node; log: the entries'
 *             terms; config: the entry there is a configuration with these voters, joint with those after the slash
 *   start IDs · crash IDs [survivors=N] · restart IDs [survivors=N]     unsynced writes beyond the first N are lost
 *   campaign ID                     ticks it alone until it stands for election
 *   timeout-now ID from=ID          as if a leader handed over to it
 *   tick IDs [n=N] · random ID VALUE     the next election time-out is electionTicks·(1 + VALUE)
 *   propose ID words… [size=BYTES]  one entry a word, or one of that many bytes
 *   propose-config ID [voter=4,5] [learner=6] [removed=1] [context=TEXT]     what is to become of whom
 *   ready ID · persist ID [n=N]     take a Ready without writing it; end the oldest writes
 *   deliver [IDs] [from=IDs] [type=T] [drop=IDs] [n=N] [keep]    keep: deliver a copy, leave the packet on its way
 *   stabilize [IDs]                 ready, persist, apply and deliver until nothing moves; tick nothing
 *   read-index ID · transfer ID [to=ID] · peer-lost ID peer=ID · unreachable ID peer=ID
 *   flush IDs · compact ID index=N · status IDs · log IDs · configuration IDs
 * `quiet` after any command leaves its trace out.
 */
import { EMPTY_CONFIGURATION, encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Entry, NodeId } from '../../src/raft/types.ts';
import type { WorldEvent } from '../invariants/world.ts';
import { Cluster, configuration } from '../sim/cluster.ts';
import type { HostOptions } from '../sim/cluster.ts';
import { EMPTY_STATE } from '../sim/disk.ts';
import type { DiskOperation } from '../sim/disk.ts';
import type { Host, Packet } from '../sim/host.ts';
import {
  formatConfiguration,
  formatEntries,
  formatEntry,
  formatHardState,
  formatPacket,
  formatReady,
  formatStatus,
} from './format.ts';

export interface Block {
  readonly comment: readonly string[];
  readonly command: string;
  output: string;
}

export function parseScenario(source: string): Block[] {
  const blocks: Block[] = [];
  let comment: string[] = [];
  const lines = source.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? '';
    if (line === '' || line.startsWith('#')) {
      if (line !== '' || comment.length > 0) comment.push(line);
      continue;
    }
    if (lines[i + 1] !== '----') throw new Error(`line ${i + 1}: ---- is missing after ${line}`);
    const output: string[] = [];
    for (i += 2; i < lines.length && lines[i] !== ''; i++) output.push(lines[i] ?? '');
    while (comment.at(-1) === '') comment.pop();
    blocks.push({ comment, command: line, output: output.join('\n') });
    comment = [];
  }
  return blocks;
}

export function printScenario(blocks: readonly Block[]): string {
  return blocks.map(({ comment, command, output }) => [...comment, command, '----', output, ''].join('\n')).join('\n');
}

interface Arguments {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

function parseArguments(rest: readonly string[]): Arguments {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf('=');
    if (at > 0) options.set(part.slice(0, at), part.slice(at + 1));
    else words.push(part);
  }
  return { words, options };
}

const OPTION_NAMES: ReadonlyMap<string, keyof HostOptions> = new Map([
  ['inflight', 'maxInflightMessages'],
  ['inflight-bytes', 'maxInflightBytes'],
  ['append-bytes', 'maxAppendBytes'],
  ['uncommitted-bytes', 'maxUncommittedBytes'],
  ['cached-bytes', 'maxCachedBytes'],
  ['apply-bytes', 'maxApplyBytes'],
]);

const encoder = new TextEncoder();

function writesNothing(operation: DiskOperation): boolean {
  if (operation.kind !== 'ready') return false;
  const { hardState, snapshot, configurations, entries } = operation.ready;
  return hardState === null && snapshot === null && configurations === null && entries.length === 0;
}

export class Scenario {
  readonly cluster: Cluster;
  readonly #random = new Map<NodeId, number>();
  #trace: string[] = [];
  #applied: { id: NodeId; entries: Entry[] } | null = null;

  constructor(cluster = new Cluster()) {
    this.cluster = cluster;
    cluster.onEvent = (event) => this.#observe(event);
  }

  /** Runs one command and returns its output. */
  run(command: string): string {
    const [verb = '', ...rest] = command.split(' ');
    const quiet = rest.at(-1) === 'quiet';
    this.#trace = [];
    this.#execute(verb, parseArguments(quiet ? rest.slice(0, -1) : rest));
    this.#flushApplied();
    return quiet || this.#trace.length === 0 ? 'ok' : this.#trace.join('\n');
  }

  /** What the command in progress has printed so far: for the message of a failure. */
  get trace(): readonly string[] {
    return this.#trace;
  }

  #say(line: string): void {
    this.#flushApplied();
    this.#trace.push(line);
  }

  #flushApplied(): void {
    if (this.#applied === null) return;
    const { id, entries } = this.#applied;
    this.#applied = null;
    this.#trace.push(`${id} applies ${formatEntries(entries)}`);
  }

  #observe(event: WorldEvent): void {
    const { id } = event.node;
    switch (event.type) {
      case 'applied':
        if (this.#applied?.id !== id) this.#flushApplied();
        this.#applied ??= { id, entries: [] };
        this.#applied.entries.push(event.entry);
        break;
      case 'acknowledged':
        this.#say(`${id} acknowledges ${event.term}/${event.index}`);
        break;
      case 'installed':
        this.#say(`${id} holds the snapshot ${event.snapshot.term}/${event.snapshot.index}`);
        break;
      case 'readReleased':
        this.#say(`${id} may serve read ${event.token} at ${event.index}`);
        break;
      case 'readRefused':
        this.#say(`${id} refuses read ${event.token}`);
        break;
      default:
        break;
    }
  }

  #ids(words: readonly string[]): NodeId[] {
    return words.length > 0 ? [...words] : [...this.cluster.hosts.keys()];
  }

  /** Runs an input of each node that is up. */
  #each(words: readonly string[], action: (host: Host) => void): void {
    for (const id of this.#ids(words)) {
      if (this.cluster.node(id).up) this.cluster.act(id, action);
      else this.#say(`${id} is down`);
    }
  }

  #execute(verb: string, { words, options }: Arguments): void {
    const { cluster } = this;
    const number = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
    switch (verb) {
      case 'add-nodes':
        this.#addNodes(words, options);
        break;
      case 'disk':
        this.#disk(words[0] ?? '', options);
        break;
      case 'start':
        for (const id of this.#ids(words)) if (!cluster.node(id).up) cluster.act(id, (host) => host.start());
        break;
      case 'crash':
        for (const id of this.#ids(words)) cluster.node(id).crash(number('survivors', 0));
        break;
      case 'restart':
        for (const id of this.#ids(words)) {
          cluster.node(id).crash(number('survivors', 0));
          cluster.act(id, (host) => host.start());
        }
        break;
      case 'random':
        this.#random.set(words[0] ?? '', Number(words[1]));
        break;
      case 'campaign':
        this.#each(words, (host) => {
          for (let i = 0; i <= 2 * host.options.electionTicks && host.status.role === 'follower'; i++) host.tick();
          this.#say(`${host.id} is ${host.status.role}`);
        });
        break;
      case 'timeout-now':
        this.#each(words, (host) => {
          const { group } = host.options;
          const { term } = host.status;
          host.step({ type: 'TimeoutNow', group, from: options.get('from') ?? '', to: host.id, term });
        });
        break;
      case 'tick':
        for (let i = 0; i < number('n', 1); i++) {
          cluster.now += 10;
          this.#each(words, (host) => host.tick());
        }
        break;
      case 'propose':
        this.#each(words.slice(0, 1), (host) => this.#propose(host, words.slice(1), number('size', 0)));
        break;
      case 'propose-config':
        this.#each(words, (host) => this.#proposeConfig(host, options));
        break;
      case 'ready':
        this.#each(words, (host) => {
          const ready = host.takeReady();
          if (ready === null) this.#say(`${host.id} has no Ready`);
          else for (const line of formatReady(host.id, ready, true)) this.#say(line);
          // One with nothing to write, behind nothing that is being written, is done at once.
          while (host.disk.queue[0] !== undefined && writesNothing(host.disk.queue[0])) host.persist();
          host.apply();
        });
        break;
      case 'persist':
        this.#each(words, (host) => {
          if (!host.persist(number('n', 1))) this.#say(`${host.id} has nothing to write`);
          else this.#say(`${host.id} has written, ${host.disk.queue.length} writes are under way`);
          host.apply();
        });
        break;
      case 'deliver':
        this.#deliver(words, options);
        break;
      case 'stabilize':
        this.#stabilize(words);
        break;
      case 'read-index':
        this.#each(words, (host) => void host.readIndex());
        break;
      case 'transfer':
        this.#each(words, (host) => {
          this.#say(host.transfer(options.get('to') ?? null) ? 'transferring' : 'refused');
        });
        break;
      case 'peer-lost':
        this.#each(words, (host) => host.peerLost(options.get('peer') ?? ''));
        break;
      case 'unreachable':
        this.#each(words, (host) => host.peerUnreachable(options.get('peer') ?? ''));
        break;
      case 'flush':
        this.#each(words, (host) => {
          host.flush();
          host.persist(Infinity);
          host.disk.sync();
        });
        break;
      case 'compact':
        this.#each(words, (host) => {
          const cut = host.compact(number('index', 0));
          host.persist(Infinity);
          this.#say(cut === 0 ? 'nothing to cut' : `${host.id} cuts its log up to ${cut}`);
        });
        break;
      case 'status':
        this.#each(words, (host) => {
          for (const line of formatStatus(host.status, host.options)) this.#say(line);
        });
        break;
      case 'configuration':
        this.#each(words, ({ id, status }) => {
          const where = status.configurationCommitted ? '' : ` (not committed: ${status.configurationIndex})`;
          this.#say(`${id}: ${formatConfiguration(status.configuration)}${where}`);
        });
        break;
      case 'log':
        for (const id of this.#ids(words)) this.#log(cluster.node(id));
        break;
      default:
        throw new Error(`unknown verb ${verb}`);
    }
  }

  #addNodes(words: readonly string[], options: ReadonlyMap<string, string>): void {
    const list = (name: string): string[] => options.get(name)?.split(',') ?? [];
    const initial = configuration(list('voters'), {
      votersOutgoing: list('outgoing'),
      learners: list('learners'),
      learnersNext: list('learners-next'),
    });
    const index = Number(options.get('index') ?? 0);
    const term = Number(options.get('term') ?? 1);
    const limits: Partial<Record<keyof HostOptions, unknown>> = { leaseReads: words.includes('lease') };
    for (const [short, name] of OPTION_NAMES) {
      const value = options.get(short);
      if (value !== undefined) limits[name] = Number(value);
    }
    const empty = new Set(list('empty'));
    const ids = new Set([
      ...initial.voters,
      ...initial.votersOutgoing,
      ...initial.learners,
      ...list('extra'),
      ...empty,
    ]);
    for (const id of ids) {
      const chance = { random: () => this.#random.get(id) ?? 0.95 };
      const known = empty.has(id) ? EMPTY_CONFIGURATION : initial;
      this.cluster.add(id, known, { ...(limits as Partial<HostOptions>), ...chance }, (image) => {
        if (index === 0 || empty.has(id)) return;
        image.baseIndex = index;
        image.baseTerm = term;
        image.hardState = { term, vote: null, commit: index };
        image.applied = { index, term, hash: index };
        image.configurations = [{ index, configuration: initial }];
      });
      if (!words.includes('stopped')) this.cluster.act(id, (host) => host.start());
    }
  }

  #disk(id: NodeId, options: ReadonlyMap<string, string>): void {
    const terms = options.get('log')?.split(',').map(Number) ?? [];
    const term = Number(options.get('term') ?? terms.at(-1) ?? 0);
    const [configIndex = '', configVoters = ''] = options.get('config')?.split(':') ?? [];
    const [voters = '', outgoing] = configVoters.split('/');
    const joint = outgoing === undefined ? {} : { votersOutgoing: outgoing.split(','), autoLeave: true };
    const changed = configuration(voters.split(','), joint);
    this.cluster.node(id).disk.prepare((image) => {
      image.append(
        terms.map((entryTerm, i): Entry => {
          const at = { index: i + 1, term: entryTerm };
          return Number(configIndex) === i + 1
            ? { ...at, kind: 'config', data: encodeConfiguration(changed) }
            : { ...at, kind: 'command', data: encoder.encode(`t${entryTerm}i${i + 1}`) };
        }),
      );
      if (configIndex !== '') {
        image.configurations = [...image.configurations, { index: Number(configIndex), configuration: changed }];
      }
      image.hardState = { term, vote: options.get('vote') ?? null, commit: Number(options.get('commit') ?? 0) };
      image.applied = EMPTY_STATE;
    });
  }

  #propose(host: Host, words: readonly string[], size: number): void {
    const data = size > 0 ? [new Uint8Array(size).fill(120)] : words.map((word) => encoder.encode(word));
    const result = host.propose(data);
    if (result.status === 'accepted') this.#say(`accepted at ${result.term}/${result.firstIndex}`);
    else if (result.status === 'refused') this.#say(`refused: ${result.reason}`);
    else this.#say(`not the leader, that is ${result.leader ?? 'unknown'}`);
  }

  #proposeConfig(host: Host, options: ReadonlyMap<string, string>): void {
    const context = options.get('context');
    const changes = (['voter', 'learner', 'removed'] as const).flatMap(
      (to) =>
        options
          .get(to)
          ?.split(',')
          .map((id) => ({ id, to })) ?? [],
    );
    const result = host.proposeConfig(context === undefined ? { changes } : { changes, context });
    if (result.status === 'accepted') {
      this.#say(`accepted at ${result.term}/${result.index}${result.joint ? ', joint' : ''}`);
    } else if (result.status === 'refused') this.#say(`refused: ${result.reason}`);
    else if (result.status === 'unchanged') this.#say('unchanged');
    else this.#say(`not the leader, that is ${result.leader ?? 'unknown'}`);
  }

  #deliver(words: readonly string[], options: ReadonlyMap<string, string>): void {
    const keep = words.includes('keep');
    const to = new Set(this.#ids(words.filter((word) => word !== 'keep')));
    const from = new Set(options.get('from')?.split(',') ?? this.cluster.hosts.keys());
    const drop = new Set(options.get('drop')?.split(',') ?? []);
    const type = options.get('type');
    let left = Number(options.get('n') ?? Infinity);
    const wanted = (packet: Packet): boolean =>
      from.has(packet.from) &&
      (to.has(packet.to) || drop.has(packet.to)) &&
      (type === undefined || formatPacket(packet).split(' ')[1] === type);
    for (const queue of this.cluster.links.values()) {
      const chosen = queue.filter(wanted).slice(0, left);
      left -= chosen.length;
      if (!keep) {
        const gone = new Set(chosen);
        queue.splice(0, queue.length, ...queue.filter((packet) => !gone.has(packet)));
      }
      for (const packet of chosen) {
        const lost = drop.has(packet.to);
        this.#say(`${lost ? 'lost: ' : ''}${formatPacket(packet)}`);
        if (lost) this.cluster.drop(packet);
        else this.cluster.deliver(packet);
      }
    }
  }

  #stabilize(words: readonly string[]): void {
    const { cluster } = this;
    const chosen = new Set(this.#ids(words));
    for (let round = 0; round < 1000; round++) {
      let moved = false;
      for (const host of cluster.hosts.values()) {
        if (!host.up || !chosen.has(host.id)) continue;
        moved = this.#drain(host) || moved;
      }
      for (const [key, queue] of cluster.links) {
        const [from = '', to = ''] = key.split('>');
        if (!chosen.has(from) || !chosen.has(to)) continue;
        for (const packet of queue.splice(0)) {
          moved = true;
          this.#say(`${cluster.node(to).up ? '' : 'lost: '}${formatPacket(packet)}`);
          cluster.deliver(packet);
        }
      }
      if (!moved) return;
    }
    throw new Error('the cluster never comes to rest');
  }

  #drain(host: Host): boolean {
    return this.cluster.act(host.id, () => {
      let moved = false;
      for (let ready = host.takeReady(); ready !== null; ready = host.takeReady()) {
        moved = true;
        for (const line of formatReady(host.id, ready, false)) this.#say(line);
        host.persist(Infinity);
        host.apply();
      }
      const wrote = host.persist(Infinity);
      return host.apply() > 0 || wrote || moved;
    });
  }

  #log(host: Host): void {
    const { log } = host;
    this.#say(`${host.id}: ${formatHardState(log.hardState)} after ${log.baseTerm}/${log.baseIndex}`);
    for (const entry of log.log) this.#say(`  ${formatEntry(entry)}`);
  }
}
