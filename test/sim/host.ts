/**
 * One replica without its shell: a Raft core, a disk in memory, and a state machine that only chains what it applies.
 * Nothing here happens by itself: the script or the scheduler decides when a Ready is taken, when a write ends, when an
 * entry is applied, and when the power fails.
 */
import { createRaft } from '../../src/raft/raft.ts';
import type {
  Configuration,
  ConfigurationChange,
  Entry,
  Message,
  NodeId,
  ProposeConfigResult,
  ProposeResult,
  RaftCore,
  RaftOptions,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../src/raft/types.ts';
import type { NodeView, WorldEvent } from '../invariants/world.ts';
import { applyEntry, Disk, EMPTY_STATE } from './disk.ts';
import type { AppliedState, DiskImage, ReadBack } from './disk.ts';

/** What travels: a Raft message, or a whole snapshot on its own stream. */
export type Packet =
  | { readonly kind: 'message'; readonly from: NodeId; readonly to: NodeId; readonly message: Message }
  | {
      readonly kind: 'snapshot';
      readonly from: NodeId;
      readonly to: NodeId;
      readonly term: number;
      readonly meta: SnapshotMeta;
      readonly state: AppliedState;
      /** The sending process; an answer for an earlier one is nobody's. */
      readonly starts: number;
    };

export interface HostEnvironment {
  send(packet: Packet): void;
  event(event: WorldEvent): void;
  /** Virtual milliseconds. */
  now(): number;
}

type ApplyItem = { readonly entry: Entry } | { readonly install: SnapshotMeta; readonly state: AppliedState };

interface Waiting {
  readonly term: number;
  readonly done: (outcome: 'acknowledged' | 'lost') => void;
}

export class Host implements NodeView {
  readonly id: NodeId;
  readonly disk = new Disk();
  readonly readBack: ReadBack;
  starts = 0;
  applied: AppliedState = EMPTY_STATE;
  /** Reads released whose index is not applied yet, and reads without an answer, by token. */
  readonly reads = new Map<number, { index: number | null; done: (index: number | null) => void }>();
  /** Accepted proposals without an outcome, by index. */
  readonly waiting = new Map<number, Waiting[]>();
  readonly #base: Omit<RaftOptions, 'bootEpoch' | 'id'>;
  readonly #environment: HostEnvironment;
  #options: RaftOptions;
  #core: RaftCore | null = null;
  #status: RaftStatus | null = null;
  #token = 0;
  #lastSeq = 0;
  readonly #unapplied: ApplyItem[] = [];
  readonly #received = new Map<number, AppliedState>();
  readonly #readys: Ready[] = [];

  constructor(
    id: NodeId,
    options: Omit<RaftOptions, 'bootEpoch' | 'id'>,
    environment: HostEnvironment,
    readBack: ReadBack = 'staged',
  ) {
    this.id = id;
    this.#base = options;
    this.#options = { ...options, id, bootEpoch: 0 };
    this.#environment = environment;
    this.readBack = readBack;
  }

  get up(): boolean {
    return this.#core !== null;
  }

  get options(): RaftOptions {
    return this.#options;
  }

  get log(): DiskImage {
    return this.disk.staged;
  }

  get durable(): DiskImage {
    return this.disk.durable;
  }

  get core(): RaftCore {
    if (this.#core === null) throw new Error(`node ${this.id} is down`);
    return this.#core;
  }

  get status(): RaftStatus {
    this.#status ??= this.core.status();
    return this.#status;
  }

  /** Entries and snapshots handed out, waiting to be applied. */
  get unapplied(): number {
    return this.#unapplied.length;
  }

  start(): void {
    if (this.#core !== null) throw new Error(`node ${this.id} runs already`);
    this.starts += 1;
    this.#options = { ...this.#base, id: this.id, bootEpoch: this.starts };
    this.#token = 0;
    this.#lastSeq = 0;
    this.applied = this.disk.durable.applied;
    const { hardState, configurations } = this.disk.durable;
    this.#core = createRaft(this.#options, this.disk[this.readBack], {
      hardState,
      configurations,
      appliedIndex: this.applied.index,
    });
    this.#touched();
    this.#environment.event({ type: 'started', node: this });
  }

  /** Power cut. The first `survivors` of the writes that were not synced reach the disk all the same. */
  crash(survivors = 0): void {
    if (this.#core === null) return;
    this.#core = null;
    this.#status = null;
    this.#unapplied.length = 0;
    this.#received.clear();
    this.#readys.length = 0;
    this.reads.clear();
    this.waiting.clear();
    this.disk.crash(survivors);
    this.#environment.event({ type: 'crashed', node: this });
  }

  tick(): void {
    this.#clock();
    this.core.tick();
    this.#touched();
  }

  step(message: Message): void {
    this.#clock();
    this.core.step(message);
    this.#touched();
  }

  peerLost(id: NodeId): void {
    this.#clock();
    this.core.peerLost(id);
    this.#touched();
  }

  peerUnreachable(id: NodeId): void {
    this.#clock();
    this.core.peerUnreachable(id);
    this.#touched();
  }

  transfer(to: NodeId | null): boolean {
    this.#clock();
    const accepted = this.core.transferLeadership(to);
    this.#touched();
    return accepted;
  }

  snapshotSent(to: NodeId, index: number, ok: boolean): void {
    this.#clock();
    this.core.snapshotSent(to, index, ok);
    this.#touched();
  }

  propose(data: readonly Uint8Array[], done: Waiting['done'] = () => {}): ProposeResult {
    this.#clock();
    const result = this.core.propose(data);
    if (result.status === 'accepted') {
      for (let i = 0; i < data.length; i++) {
        const index = result.firstIndex + i;
        const list = this.waiting.get(index) ?? [];
        list.push({ term: result.term, done });
        this.waiting.set(index, list);
      }
      const { firstIndex, term } = result;
      this.#environment.event({ type: 'accepted', node: this, firstIndex, count: data.length, term });
    }
    this.#touched();
    return result;
  }

  /** `done` hears of the entry that was appended first: with a joint one the change is not over. */
  proposeConfig(change: ConfigurationChange, done: Waiting['done'] = () => {}): ProposeConfigResult {
    this.#clock();
    const result = this.core.proposeConfig(change);
    this.#touched();
    if (result.status === 'accepted') {
      const { index, term } = result;
      this.waiting.set(index, [{ term, done }, ...(this.waiting.get(index) ?? [])]);
      this.#environment.event({ type: 'accepted', node: this, firstIndex: index, count: 1, term });
    }
    return result;
  }

  /** Returns the token. `done` gets the index served at, or null when the client has to ask again. */
  readIndex(done: (index: number | null) => void = () => {}): number {
    this.#clock();
    this.#token += 1;
    const token = this.#token;
    this.reads.set(token, { index: null, done });
    this.#environment.event({ type: 'readAsked', node: this, token });
    this.core.readIndex(token);
    this.#touched();
    return token;
  }

  /** Takes a Ready, hands its writes to the disk and sends what need not wait. Null when there is none. */
  takeReady(): Ready | null {
    this.#clock();
    if (!this.core.hasReady()) return null;
    const ready = this.core.ready();
    if (ready.seq !== this.#lastSeq + 1) throw new Error(`Ready ${ready.seq} follows Ready ${this.#lastSeq}`);
    this.#lastSeq = ready.seq;
    // A core that goes on writing into what it gave away would be caught in the act.
    const given = [ready.entries, ready.committed, ready.messages, ready.messagesAfterPersist];
    for (const list of [...given, ready.readStates, ready.snapshotRequests]) Object.freeze(list);
    for (const message of [...ready.messages, ...ready.messagesAfterPersist]) {
      if (message.type === 'Append') Object.freeze(message.entries);
    }
    let state: AppliedState | null = null;
    if (ready.snapshot !== null) {
      state = this.#received.get(ready.snapshot.index) ?? null;
      if (state === null) throw new Error(`node ${this.id} switches to a snapshot that it never received`);
      // What the snapshot covers need not be applied any more.
      const { index } = ready.snapshot;
      const keep = this.#unapplied.filter((item) => !('entry' in item) || item.entry.index > index);
      this.#unapplied.splice(0, this.#unapplied.length, ...keep, { install: ready.snapshot, state });
    }
    this.disk.stage({ kind: 'ready', ready, state });
    this.#readys.push(ready);
    for (const entry of ready.committed) this.#unapplied.push({ entry });
    this.#touched();
    this.#environment.event({ type: 'ready', node: this, ready });
    for (const message of ready.messages) this.#send(message);
    for (const { token, index } of ready.readStates) this.#readState(token, index);
    for (const { to, term } of ready.snapshotRequests) this.#streamSnapshot(to, term);
    return ready;
  }

  /**
   * Ends the oldest `count` writes; the core hears of the last one only, as when several Readys share a batch.
   * False when nothing was in flight.
   */
  persist(count = 1): boolean {
    let last: Ready | null = null;
    const finished: Ready[] = [];
    let wrote = false;
    for (let i = 0; i < count; i++) {
      const operation = this.disk.write();
      if (operation === undefined) break;
      wrote = true;
      if (operation.kind === 'ready') {
        last = operation.ready;
        finished.push(last);
        this.#readys.shift();
      }
    }
    if (last !== null) {
      this.#clock();
      this.core.persisted(last.seq);
      this.#touched();
      for (const ready of finished) for (const message of ready.messagesAfterPersist) this.#send(message);
    }
    return wrote;
  }

  /** Applies up to `count` handed-out entries; a snapshot is switched to once its write is done. */
  apply(count = Infinity): number {
    let done = 0;
    while (done < count) {
      const item = this.#unapplied[0];
      if (item === undefined) break;
      if ('entry' in item) {
        if (item.entry.index !== this.applied.index + 1) {
          throw new Error(`node ${this.id} is to apply ${item.entry.index} after ${this.applied.index}`);
        }
        const termBefore = this.applied.term;
        this.applied = applyEntry(this.applied, item.entry);
        this.#unapplied.shift();
        this.#environment.event({ type: 'applied', node: this, entry: item.entry });
        this.#settle(item.entry);
        if (item.entry.term > termBefore) this.#giveUpBefore(item.entry.term);
      } else {
        if (this.#readys.some((ready) => ready.snapshot?.index === item.install.index)) break;
        this.applied = item.state;
        this.#unapplied.shift();
        this.#giveUpBefore(item.install.term);
        for (const index of this.#received.keys()) if (index <= item.install.index) this.#received.delete(index);
        // Whoever waited for an entry inside the snapshot never learns whose it was.
        for (const index of this.waiting.keys()) if (index <= item.install.index) this.waiting.delete(index);
        this.#environment.event({ type: 'installed', node: this, snapshot: item.install });
      }
      done += 1;
    }
    if (done > 0) {
      this.#clock();
      this.core.applied(this.applied.index);
      this.#touched();
      this.#serveReads();
    }
    return done;
  }

  /** Hands the applied state to the disk. */
  flush(): void {
    // A snapshot on its way to the disk brings its own state, and nothing older may come after it.
    if (this.#readys.some((ready) => ready.snapshot !== null)) return;
    const queued = this.disk.queue.findLast((operation) => operation.kind === 'flush');
    if (this.applied.index > (queued?.kind === 'flush' ? queued.state : this.disk.written.applied).index) {
      this.disk.stage({ kind: 'flush', state: this.applied });
    }
  }

  /** Cuts the log up to `index`, or as far as the flushed state allows. Returns where it was cut, 0 for nothing. */
  compact(index: number): number {
    const cut = Math.min(index, this.disk.durable.applied.index);
    if (cut <= this.disk.staged.baseIndex || this.disk.staged.term(cut) === undefined) return 0;
    this.disk.stage({ kind: 'compact', index: cut });
    this.#clock();
    this.core.compacted(cut);
    this.#touched();
    return cut;
  }

  /** A whole snapshot has arrived and was checked. */
  receiveSnapshot(packet: Packet & { kind: 'snapshot' }): void {
    this.#received.set(packet.meta.index, packet.state);
    this.step({
      type: 'InstallSnapshot',
      group: this.#base.group,
      from: packet.from,
      to: this.id,
      term: packet.term,
      snapshot: packet.meta,
    });
  }

  get configuration(): Configuration {
    return this.status.configuration;
  }

  #clock(): void {
    this.core.clock(this.#environment.now());
  }

  #touched(): void {
    this.#status = null;
  }

  #send(message: Message): void {
    if (message.from !== this.id) throw new Error(`node ${this.id} sends in the name of ${message.from}`);
    if (message.to === this.id) throw new Error(`node ${this.id} sends to itself`);
    this.#environment.event({ type: 'sent', node: this, message });
    const copy =
      message.type === 'Append'
        ? { ...message, entries: message.entries.map((entry) => ({ ...entry })) }
        : { ...message };
    this.#environment.send({ kind: 'message', from: this.id, to: message.to, message: copy });
  }

  #settle(entry: Entry): void {
    const list = this.waiting.get(entry.index);
    if (list === undefined) return;
    this.waiting.delete(entry.index);
    for (const { term, done } of list) {
      if (term === entry.term) this.#environment.event({ type: 'acknowledged', node: this, index: entry.index, term });
      done(term === entry.term ? 'acknowledged' : 'lost');
    }
  }

  /** Terms never fall along a log: after an entry of `term` none of an earlier one can follow, so what waits for one is lost. */
  #giveUpBefore(term: number): void {
    for (const [index, list] of this.waiting) {
      const left = list.filter((item) => item.term >= term);
      if (left.length === list.length) continue;
      if (left.length > 0) this.waiting.set(index, left);
      else this.waiting.delete(index);
      for (const item of list) if (item.term < term) item.done('lost');
    }
  }

  #readState(token: number, index: number | null): void {
    const read = this.reads.get(token);
    if (read === undefined || read.index !== null) throw new Error(`node ${this.id} answers read ${token} unasked`);
    if (index === null) {
      this.reads.delete(token);
      this.#environment.event({ type: 'readRefused', node: this, token });
      read.done(null);
      return;
    }
    this.#environment.event({ type: 'readReleased', node: this, token, index });
    read.index = index;
    this.#serveReads();
  }

  #serveReads(): void {
    for (const [token, read] of this.reads) {
      if (read.index === null || read.index > this.applied.index) continue;
      this.reads.delete(token);
      read.done(read.index);
    }
  }

  /** The snapshot is of the state as it is applied now: at least as new as the compacted log. */
  #streamSnapshot(to: NodeId, term: number): void {
    const { index, term: appliedTerm } = this.applied;
    const meta: SnapshotMeta = { index, term: appliedTerm, configuration: this.core.configurationAt(index) };
    this.#environment.send({
      kind: 'snapshot',
      from: this.id,
      to,
      term,
      meta,
      state: this.applied,
      starts: this.starts,
    });
  }
}
