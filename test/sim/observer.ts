/**
 * Looks on while whole nodes run: puts a watcher around each Raft core and each store, tells all invariants what happens, and asks them
 * after every input. It changes nothing of what it sees.
 */
import type { Platform } from '../../src/node/platform.ts';
import type { Replica } from '../../src/node/replica.ts';
import type { Services } from '../../src/node/services.ts';
import type {
  Entry,
  InitialState,
  LogReader,
  Message,
  NodeId,
  ProposeResult,
  RaftCore,
  RaftOptions,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../src/raft/types.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { allInvariants } from '../invariants/index.ts';
import type { Invariant, NodeView, World, WorldEvent } from '../invariants/world.ts';
import { decodeAnswers, FRAME } from '../../src/node/forwarding.ts';
import type { Channel, Transport } from '../../src/transport/types.ts';
import { applyEntry, DiskImage, EMPTY_STATE, type AppliedState } from './disk.ts';
import { imageOf, LogShadow, observeStore } from './observed-store.ts';
import { Sightings } from './sightings.ts';
import { checkServices, checkState } from './state-invariants.ts';

export class Observer implements World {
  readonly sightings = new Sightings();
  readonly committed: (Entry | undefined)[] = [];
  /** When somebody applied the entry for the first time, and in which term whoever was elected began to lead: virtual milliseconds. */
  readonly committedAt: (number | undefined)[] = [];
  readonly electedAt = new Map<number, number>();
  /** What the first replica that came to an index said of its state there. */
  readonly digests = new Map<number, string>();
  /** Virtual milliseconds. */
  now: () => number = () => 0;
  highestCommit = 0;
  /** Told of everything, before the invariants look. */
  onEvent: (event: WorldEvent) => void = () => {};
  /** Told of what is wrong; the observer goes on looking. Default: throws, which stops the node that did it. */
  onViolation: (error: Error) => void = (error) => {
    throw error;
  };
  readonly #invariants: readonly Invariant[] = allInvariants();
  /** Those that look at every input, and those that look at every event. */
  readonly #checking = this.#invariants.flatMap((one) => (one.check === undefined ? [] : [one.check.bind(one)]));
  readonly #observing = this.#invariants.flatMap((one) => (one.observe === undefined ? [] : [one.observe.bind(one)]));
  readonly #nodes = new Map<NodeId, ObservedNode>();
  readonly #names = new Map<NodeId, string>();
  /** Of the true history, by index. */
  readonly #chain: (AppliedState | undefined)[] = [EMPTY_STATE];

  get nodes(): readonly ObservedNode[] {
    return [...this.#nodes.values()];
  }

  node(id: NodeId): ObservedNode {
    let node = this.#nodes.get(id);
    if (node === undefined) this.#nodes.set(id, (node = new ObservedNode(this, id)));
    return node;
  }

  /** Member ids are long numbers; people read names. */
  named(text: string): string {
    let named = text;
    for (const [id, name] of this.#names) named = named.replaceAll(id, name);
    return named;
  }

  name(id: NodeId): string {
    return this.#names.get(id) ?? id;
  }

  /** For `SimClusterOptions.platform`. */
  readonly platform = (simNode: SimNode, platform: Platform): Platform => {
    const shadows = this.#shadows;
    const shadow = shadows.get(simNode) ?? new LogShadow();
    shadows.set(simNode, shadow);
    let node: ObservedNode | null = null;
    return {
      ...platform,
      joined: (parts) => node?.joined(parts),
      openStore: async (options) => {
        const store = await platform.openStore(options);
        this.sightings.opened(simNode);
        return observeStore(store, shadow, this.sightings, simNode);
      },
      createTransport: async (options) =>
        this.#observeTransport(
          await platform.createTransport({
            ...options,
            handlers: {
              ...options.handlers,
              frame: (from, channel, frame, credential) => {
                if (
                  channel === 'client' &&
                  frame[0] === FRAME.proposeResult &&
                  decodeAnswers(frame).answers.some(({ retry }) => retry)
                ) {
                  this.sightings.saw('forwarded in vain');
                }
                options.handlers.frame(from, channel, frame, credential);
              },
            },
          }),
          simNode,
        ),
      createCore: (options, log, initial) => {
        this.#names.set(options.id, simNode.name);
        node = this.node(options.id);
        return node.start(simNode, shadow, options, log, initial, platform.createCore(options, log, initial));
      },
    };
  };
  readonly #shadows = new Map<SimNode, LogShadow>();

  #observeTransport(transport: Transport, simNode: SimNode): Transport {
    const send = transport.send.bind(transport);
    return Object.assign(transport, {
      send: (to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean => {
        const sent = send(to, channel, parts);
        if (channel === 'client' && parts[0]?.[0] === FRAME.propose) {
          this.sightings.moment('forwarded', simNode, this.node(to).simNode);
        }
        return sent;
      },
    });
  }

  /** For `SimClusterOptions.ended`. */
  readonly ended = (simNode: SimNode): void => {
    this.sightings.ended(simNode);
    for (const node of this.#nodes.values()) if (node.simNode === simNode) node.end();
  };

  /** The disk of a node was exchanged: what is found there is not what it wrote. */
  forgetDisk(simNode: SimNode): () => void {
    const shadow = this.#shadows.get(simNode);
    this.#shadows.delete(simNode);
    return () => {
      if (shadow !== undefined) this.#shadows.set(simNode, shadow);
    };
  }

  checkConverged(): void {
    for (const invariant of this.#invariants) invariant.checkConverged?.(this);
  }

  check(node: ObservedNode): void {
    this.highestCommit = Math.max(this.highestCommit, node.status.commit);
    try {
      for (const check of this.#checking) check(node, this);
    } catch (error) {
      this.onViolation(error as Error);
    }
  }

  observe(event: WorldEvent): void {
    if (event.type === 'applied') {
      this.committed[event.entry.index] ??= event.entry;
      this.committedAt[event.entry.index] ??= this.now();
    } else if (event.type === 'ready' && event.ready.softState?.role === 'leader') {
      this.electedAt.set((event.node as ObservedNode).status.term, this.now());
    }
    this.sightings.event(event, this);
    this.onEvent(event);
    try {
      for (const observe of this.#observing) observe(event, this);
    } catch (error) {
      this.onViolation(error as Error);
    }
  }

  /** A replica has applied up to here. */
  stateReached(index: number, digest: string): void {
    const known = this.digests.get(index);
    if (known === undefined) this.digests.set(index, digest);
    else if (known !== digest) throw new Error(`the state after entry ${index} is ${digest}, on another node ${known}`);
  }

  guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.onViolation(error as Error);
    }
  }

  /** The state after an entry; the first to apply it makes it. */
  applied(entry: Entry, before: AppliedState): AppliedState {
    const known = this.#chain[entry.index];
    // The invariants compare the entry with the one that was applied first; the same entries make the same chain.
    if (known !== undefined) return known;
    const state = applyEntry(before, entry);
    this.#chain[entry.index] = state;
    return state;
  }

  stateAt(index: number, term: number): AppliedState {
    return this.#chain[index] ?? { index, term, hash: 0 };
  }
}

export class ObservedNode implements NodeView {
  readonly id: NodeId;
  starts = 0;
  simNode: SimNode | null = null;
  applied: AppliedState = EMPTY_STATE;
  /** As of the last Ready taken. */
  log = new DiskImage();
  readonly #observer: Observer;
  #shadow = new LogShadow();
  #options: RaftOptions | null = null;
  #core: RaftCore | null = null;
  #status: RaftStatus | null = null;
  #toApply: Entry[] = [];
  #installing: SnapshotMeta | null = null;
  readonly #afterPersist = new Map<number, readonly Message[]>();
  #parts: { readonly replica: Replica; readonly services: Services } | null = null;
  /** Index up to which it was looked at what the node knows beside its state. */
  #servicesChecked = 0;
  /** As of the Ready before. */
  lastVote: NodeId | null = null;

  constructor(observer: Observer, id: NodeId) {
    this.#observer = observer;
    this.id = id;
  }

  get up(): boolean {
    return this.#core !== null;
  }

  /** Null while it does not run. */
  get parts(): { readonly replica: Replica; readonly services: Services } | null {
    return this.#parts;
  }

  joined(parts: { readonly replica: Replica; readonly services: Services }): void {
    this.#parts = parts;
    this.#servicesChecked = 0;
  }

  get options(): RaftOptions {
    if (this.#options === null) throw new Error(`${this.id} has never run`);
    return this.#options;
  }

  get durable(): DiskImage {
    return this.#shadow.durable;
  }

  get status(): RaftStatus {
    if (this.#core === null) throw new Error(`${this.id} is down`);
    this.#status ??= this.#core.status();
    return this.#status;
  }

  start(
    simNode: SimNode,
    shadow: LogShadow,
    options: RaftOptions,
    reader: LogReader,
    initial: InitialState,
    core: RaftCore,
  ): RaftCore {
    const { hardState, configurations, appliedIndex } = initial;
    this.simNode = simNode;
    this.#options = options;
    const again = this.starts > 0 && shadow === this.#shadow;
    this.#shadow = shadow;
    this.starts++;
    if (again) {
      try {
        const { kept, lost } = shadow.foundAgain(reader, hardState);
        if (kept > 0) this.#observer.sightings.saw('a restart finds what was not synced');
        if (lost > 0) this.#observer.sightings.saw('a restart has lost what was not synced');
      } catch (error) {
        this.#observer.onViolation(new Error(`${simNode.name}: ${(error as Error).message}`));
      }
    }
    this.log = imageOf(reader, hardState, configurations);
    // What was found when it opened is on the platter.
    shadow.startFrom(imageOf(reader, hardState, configurations));
    this.applied = this.#observer.stateAt(appliedIndex, reader.term(appliedIndex) ?? 0);
    shadow.durable.applied = this.applied;
    this.#toApply = [];
    this.#installing = null;
    this.#afterPersist.clear();
    this.#core = core;
    this.#status = null;
    this.#observer.observe({ type: 'started', node: this });
    return this.#watch(core);
  }

  end(): void {
    if (this.#core === null) return;
    this.#core = null;
    this.#status = null;
    this.#parts = null;
    this.#observer.observe({ type: 'crashed', node: this });
  }

  #watch(core: RaftCore): RaftCore {
    const input = <T>(action: () => T): T => {
      const result = action();
      this.#changed(core);
      return result;
    };
    return {
      clock: (now) => core.clock(now),
      tick: () => {
        this.#checkServices();
        input(() => core.tick());
      },
      step: (message) => input(() => core.step(message)),
      propose: (data) => input(() => this.#propose(core, data)),
      proposeConfig: (change) => input(() => core.proposeConfig(change)),
      readIndex: (token) => {
        this.#observer.observe({ type: 'readAsked', node: this, token });
        input(() => core.readIndex(token));
      },
      transferLeadership: (to) => input(() => core.transferLeadership(to)),
      peerLost: (id) => input(() => core.peerLost(id)),
      peerUnreachable: (id) => input(() => core.peerUnreachable(id)),
      snapshotSent: (to, index, ok) => input(() => core.snapshotSent(to, index, ok)),
      hasReady: () => core.hasReady(),
      ready: () => input(() => this.#ready(core)),
      persisted: (seq) => input(() => this.#persisted(core, seq)),
      applied: (index) => input(() => this.#applied(core, index)),
      compacted: (index) => {
        this.log.compact(index);
        input(() => core.compacted(index));
      },
      configurationAt: (index) => core.configurationAt(index),
      status: () => core.status(),
    };
  }

  #changed(core: RaftCore): void {
    if (this.#core !== core) return;
    this.#status = null;
    this.#observer.check(this);
  }

  #propose(core: RaftCore, data: readonly Uint8Array[]): ProposeResult {
    const result = core.propose(data);
    this.#status = null;
    if (result.status === 'accepted') {
      const { firstIndex, term } = result;
      this.#observer.observe({ type: 'accepted', node: this, firstIndex, count: data.length, term });
    } else if (result.status === 'refused') this.#observer.sightings.saw(`proposal refused: ${result.reason}`);
    return result;
  }

  #ready(core: RaftCore): Ready {
    const ready = core.ready();
    this.#status = null;
    if (ready.snapshot !== null) {
      const { index } = ready.snapshot;
      this.#installing = ready.snapshot;
      this.#toApply = this.#toApply.filter((entry) => entry.index > index);
      this.log.reset(ready.snapshot);
    }
    this.#truncation(ready);
    this.log.append(ready.entries);
    this.lastVote = this.log.hardState.vote;
    if (ready.hardState !== null) this.log.hardState = ready.hardState;
    if (ready.configurations !== null) this.log.configurations = ready.configurations;
    for (const entry of ready.committed) this.#toApply.push(entry);
    this.#afterPersist.set(ready.seq, ready.messagesAfterPersist);
    this.#observer.observe({ type: 'ready', node: this, ready });
    this.#sent(ready.messages);
    for (const { token, index } of ready.readStates) {
      if (index === null) this.#observer.observe({ type: 'readRefused', node: this, token });
      else this.#observer.observe({ type: 'readReleased', node: this, token, index });
    }
    return ready;
  }

  #truncation({ entries: [first] }: Ready): void {
    if (first === undefined || first.index > this.log.lastIndex() || this.simNode === null) return;
    const { sightings } = this.#observer;
    if (first.index <= this.durable.lastIndex()) sightings.saw('entries on disk are cut off');
    sightings.moment('truncating', this.simNode);
  }

  #persisted(core: RaftCore, seq: number): void {
    core.persisted(seq);
    this.#status = null;
    const messages = this.#afterPersist.get(seq);
    this.#afterPersist.delete(seq);
    if (messages !== undefined) this.#sent(messages);
  }

  #sent(messages: readonly Message[]): void {
    for (const message of messages) this.#observer.observe({ type: 'sent', node: this, message });
  }

  #applied(core: RaftCore, index: number): void {
    const installing = this.#installing;
    if (installing?.index === index) {
      this.#installing = null;
      this.applied = this.#observer.stateAt(index, installing.term);
      core.applied(index);
      this.#status = null;
      this.#checkState();
      const names = this.#parts?.replica.machine.coordinator.locks.names('', null, 1) ?? [];
      if (names.length > 0) this.#observer.sightings.saw('a snapshot with locks is installed');
      this.#observer.observe({ type: 'installed', node: this, snapshot: installing });
      return;
    }
    core.applied(index);
    this.#status = null;
    let count = 0;
    for (const entry of this.#toApply) {
      if (entry.index > index) break;
      count++;
      this.applied = this.#observer.applied(entry, this.applied);
      this.#observer.observe({ type: 'applied', node: this, entry });
    }
    this.#toApply.splice(0, count);
    this.#checkState();
  }

  /** Once for all entries that were applied at once. */
  #checkState(): void {
    const machine = this.#parts?.replica.machine;
    if (machine === undefined) return;
    this.#observer.guard(() => {
      this.#observer.stateReached(machine.appliedIndex, machine.digest());
      checkState(machine);
    });
  }

  /** Between two turns: what was applied has been told to everybody on the node. */
  #checkServices(): void {
    if (this.#parts === null || this.#parts.replica.loading) return;
    const { replica, services } = this.#parts;
    const { machine } = replica;
    if (machine.appliedIndex <= this.#servicesChecked) return;
    this.#servicesChecked = machine.appliedIndex;
    this.#observer.guard(() => checkServices(machine, services));
  }
}
