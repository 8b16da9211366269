/**
 * Snapshots on their way between nodes, in chunks on the transport's `snapshot` channel, so that no heartbeat waits behind one.
 *
 * ```
 * sender                                          receiver
 *   begin {transfer, snapshot, source, …}   ──▶     opens a receiver beside the state in use
 *                                           ◀──   resume {transfer, after}     null, or the last key it already has
 *   chunk {transfer, seq, records, last}    ──▶     writes it
 *                                           ◀──   ack {transfer, seq}          one chunk in flight
 *   …                                               after the last: InstallSnapshot is stepped into the core
 * ```
 * A transfer is named by the sender's boot epoch and a number, in all its frames: an answer to the process that was there before the
 * sender restarted is none to a transfer of the same number. One that breaks is begun anew; while the sender still holds the same snapshot the receiver goes on where it was.
 */
import { Packr } from 'msgpackr';
import { KvorumError } from '../errors.ts';
import type { GroupId, NodeId, SnapshotMeta } from '../raft/types.ts';
import type { SnapshotReceiver, StateRecord, StateSnapshot, StateStore } from '../storage/types.ts';
import { isCount, malformedFrame, unpackBody } from './forwarding.ts';

const FRAME = { begin: 1, resume: 2, chunk: 3, ack: 4 } as const;

const packr = new Packr({ useRecords: false });

/** Bytes of records in a chunk. */
const CHUNK_BYTES = 256 * 1024;

export interface SnapshotHost {
  readonly group: GroupId;
  readonly self: NodeId;
  readonly bootEpoch: number;
  readonly state: StateStore;
  now(): number;
  send(to: NodeId, parts: readonly Uint8Array[]): boolean;
  /** What the log says about an index that the state has flushed. */
  describe(index: number): SnapshotMeta;
  /** Tells the core how the transfer ended. */
  sent(to: NodeId, index: number, ok: boolean): void;
  /** What was received last waits for the core's decision: nothing may be received meanwhile, it would replace that. */
  undecided(): boolean;
  /** All chunks are here and written. */
  received(from: NodeId, term: number, snapshot: SnapshotMeta, receiver: SnapshotReceiver): void;
  /** The disk failed. */
  failed(error: unknown): void;
}

interface Outgoing {
  readonly transfer: number;
  readonly to: NodeId;
  readonly term: number;
  readonly snapshot: StateSnapshot;
  readonly meta: SnapshotMeta;
  readonly source: string;
  /** -1 until the receiver said where to begin. */
  seq: number;
  after: Uint8Array | null;
  last: boolean;
  reading: boolean;
  heardAt: number;
}

/** A snapshot kept for a while after a broken transfer, so that it can be resumed. */
interface Kept {
  readonly snapshot: StateSnapshot;
  readonly meta: SnapshotMeta;
  readonly source: string;
  readonly until: number;
}

/** A follower that has got a snapshot and goes on from there by the log. */
interface Delivered {
  /** It has everything up to here. */
  index: number;
  readonly until: number;
}

interface Incoming {
  readonly from: NodeId;
  /** Of the sender. */
  readonly bootEpoch: number;
  readonly transfer: number;
  readonly term: number;
  readonly meta: SnapshotMeta;
  receiver: SnapshotReceiver | null;
  seq: number;
  busy: boolean;
  heardAt: number;
}

export interface SnapshotTimes {
  /** No word from the receiver for this long: the transfer has failed. */
  readonly stalledAfterMs: number;
  /** A snapshot of a broken transfer is kept open this long, and the log behind one that arrived is kept as long at most. */
  readonly keepMs: number;
}

export class Snapshots {
  readonly #host: SnapshotHost;
  readonly #times: SnapshotTimes;
  readonly #outgoing = new Map<NodeId, Outgoing>();
  readonly #kept = new Map<NodeId, Kept>();
  readonly #delivered = new Map<NodeId, Delivered>();
  #incoming: Incoming | null = null;
  #nextTransfer = 1;
  #closed = false;

  constructor(host: SnapshotHost, times: SnapshotTimes) {
    this.#host = host;
    this.#times = times;
  }

  /** The oldest index that a receiver goes on from: the log must not be cut beyond it, or it would need another snapshot. Infinity for none. */
  get oldestIndex(): number {
    let oldest = Infinity;
    for (const { meta } of this.#outgoing.values()) oldest = Math.min(oldest, meta.index);
    for (const { meta } of this.#kept.values()) oldest = Math.min(oldest, meta.index);
    for (const { index } of this.#delivered.values()) oldest = Math.min(oldest, index);
    return oldest;
  }

  /** Some follower is on its way from a snapshot to the end of the log. */
  get delivered(): boolean {
    return this.#delivered.size > 0;
  }

  /** The log is to be cut up to `cut`: lets go of followers that have come so far. `matchOf`: what the leader knows of them. */
  caughtUp(cut: number, matchOf: (id: NodeId) => number | undefined): void {
    for (const [id, delivered] of this.#delivered) {
      const match = matchOf(id);
      if (match === undefined || match >= cut) this.#delivered.delete(id);
      else delivered.index = Math.max(delivered.index, match);
    }
  }

  get active(): number {
    return this.#outgoing.size + (this.#incoming === null ? 0 : 1);
  }

  /** The core wants `to` to get a snapshot that reaches at least the log's firstIndex - 1. */
  start(to: NodeId, term: number, firstIndex: number): void {
    if (this.#closed || this.#outgoing.has(to)) return;
    this.#delivered.delete(to);
    const kept = this.#kept.get(to);
    this.#kept.delete(to);
    let snapshot: StateSnapshot;
    let meta: SnapshotMeta;
    let source: string;
    if (kept !== undefined && kept.meta.index >= firstIndex - 1) {
      ({ snapshot, meta, source } = kept);
    } else {
      kept?.snapshot.close();
      snapshot = this.#host.state.openSnapshot();
      meta = this.#host.describe(snapshot.position.index);
      source = `${this.#host.self}:${this.#host.bootEpoch}:${this.#nextTransfer}`;
    }
    const transfer = this.#nextTransfer++;
    const heardAt = this.#host.now();
    const outgoing: Outgoing = {
      transfer,
      to,
      term,
      snapshot,
      meta,
      source,
      seq: -1,
      after: null,
      last: false,
      reading: false,
      heardAt,
    };
    this.#outgoing.set(to, outgoing);
    const { bootEpoch } = this.#host;
    const configuration = JSON.stringify(meta.configuration);
    this.#send(to, FRAME.begin, bootEpoch, [transfer, term, source, meta.index, meta.term, configuration]);
  }

  /** `bootEpoch`: of the transfer's sender. */
  #send(to: NodeId, kind: number, bootEpoch: number, body: readonly unknown[]): boolean {
    return this.#host.send(to, [Uint8Array.of(kind), packr.pack([this.#host.group, bootEpoch, ...body])]);
  }

  /** Group that a frame of the snapshot channel belongs to. Throws ERR_INVALID_ARGUMENT. */
  static group(bytes: Uint8Array): GroupId {
    const [group] = unpackBody(bytes, 'snapshot');
    if (!isCount(group)) throw malformedFrame('snapshot');
    return group;
  }

  /** A frame of this group. Throws ERR_INVALID_ARGUMENT for bytes that are none. */
  frame(from: NodeId, bytes: Uint8Array): void {
    if (this.#closed) return;
    const [, bootEpoch, transfer, ...fields] = unpackBody(bytes, 'snapshot');
    if (!isCount(bootEpoch) || !isCount(transfer)) throw malformedFrame('snapshot');
    switch (bytes[0]) {
      case FRAME.begin:
        return this.#begin(from, bootEpoch, transfer, fields);
      case FRAME.resume:
        if (bootEpoch === this.#host.bootEpoch) this.#resume(from, transfer, fields);
        return;
      case FRAME.chunk:
        return this.#chunk(from, bootEpoch, transfer, fields);
      case FRAME.ack:
        if (bootEpoch === this.#host.bootEpoch) this.#ack(from, transfer, fields);
        return;
      default:
        throw malformedFrame('snapshot');
    }
  }

  // Sender.

  #resume(from: NodeId, transfer: number, [after]: unknown[]): void {
    const outgoing = this.#outgoing.get(from);
    if (outgoing === undefined || outgoing.transfer !== transfer || outgoing.seq !== -1) return;
    if (after !== null && !(after instanceof Uint8Array)) throw malformedFrame('snapshot');
    outgoing.after = after;
    outgoing.seq = 0;
    outgoing.heardAt = this.#host.now();
    this.#readAndSend(outgoing);
  }

  #readAndSend(outgoing: Outgoing): void {
    outgoing.reading = true;
    outgoing.snapshot
      .read(outgoing.after, CHUNK_BYTES)
      .then(({ records, done }) => {
        outgoing.reading = false;
        if (this.#outgoing.get(outgoing.to) !== outgoing) return this.#keep(outgoing);
        outgoing.last = done;
        const tail = records.at(-1);
        if (tail !== undefined) outgoing.after = tail.key;
        const flat: Uint8Array[] = [];
        for (const { key, value } of records) flat.push(key, value);
        // A frame that does not leave is noticed by `tick`: the transfer stalls, fails and is begun anew.
        const { to, seq } = outgoing;
        this.#send(to, FRAME.chunk, this.#host.bootEpoch, [outgoing.transfer, seq, done, flat]);
      })
      .catch((error: unknown) => {
        outgoing.reading = false;
        this.#host.failed(error);
      });
  }

  #ack(from: NodeId, transfer: number, [seq]: unknown[]): void {
    const outgoing = this.#outgoing.get(from);
    if (outgoing === undefined || outgoing.transfer !== transfer || outgoing.seq !== seq || outgoing.reading) return;
    outgoing.heardAt = this.#host.now();
    if (!outgoing.last) {
      outgoing.seq++;
      this.#readAndSend(outgoing);
      return;
    }
    this.#outgoing.delete(from);
    outgoing.snapshot.close();
    // Were the log cut to its usual length at once, what was written during a long transfer would be missing behind the snapshot, and
    // the follower would need another one, for ever.
    this.#delivered.set(from, { index: outgoing.meta.index, until: this.#host.now() + this.#times.keepMs });
    this.#host.sent(from, outgoing.meta.index, true);
  }

  #fail(outgoing: Outgoing): void {
    this.#outgoing.delete(outgoing.to);
    if (!outgoing.reading) this.#keep(outgoing);
    this.#host.sent(outgoing.to, outgoing.meta.index, false);
  }

  #keep(outgoing: Outgoing): void {
    if (this.#closed || this.#kept.has(outgoing.to) || this.#outgoing.has(outgoing.to)) {
      outgoing.snapshot.close();
      return;
    }
    const { snapshot, meta, source } = outgoing;
    this.#kept.set(outgoing.to, { snapshot, meta, source, until: this.#host.now() + this.#times.keepMs });
  }

  // Receiver.

  #begin(from: NodeId, bootEpoch: number, transfer: number, fields: unknown[]): void {
    const [term, source, index, indexTerm, configuration] = fields;
    if (!isCount(term) || typeof source !== 'string' || !isCount(index) || !isCount(indexTerm)) {
      throw malformedFrame('snapshot');
    }
    if (typeof configuration !== 'string') throw malformedFrame('snapshot');
    let meta: SnapshotMeta;
    try {
      meta = { index, term: indexTerm, configuration: JSON.parse(configuration) as SnapshotMeta['configuration'] };
    } catch (cause) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'malformed snapshot frame', { cause });
    }
    // A write of the transfer before may still be on its way to the disk; its receiver is not used again, and the sender asks again.
    if (this.#incoming?.busy === true || this.#host.undecided()) return;
    const incoming: Incoming = {
      from,
      bootEpoch,
      transfer,
      term,
      meta,
      receiver: null,
      seq: 0,
      busy: true,
      heardAt: this.#host.now(),
    };
    this.#incoming = incoming;
    this.#host.state.receiveSnapshot({ source, index, term: indexTerm }).then(
      (receiver) => {
        incoming.busy = false;
        if (this.#closed) return;
        incoming.receiver = receiver;
        this.#send(from, FRAME.resume, bootEpoch, [transfer, receiver.after]);
      },
      (error: unknown) => this.#host.failed(error),
    );
  }

  #chunk(from: NodeId, bootEpoch: number, transfer: number, [seq, last, flat]: unknown[]): void {
    const incoming = this.#incoming;
    if (incoming === null || incoming.from !== from) return;
    if (incoming.bootEpoch !== bootEpoch || incoming.transfer !== transfer) return;
    const { receiver } = incoming;
    if (receiver === null || incoming.busy || incoming.seq !== seq) return;
    if (!Array.isArray(flat) || flat.length % 2 !== 0 || typeof last !== 'boolean') throw malformedFrame('snapshot');
    const records: StateRecord[] = [];
    for (let i = 0; i < flat.length; i += 2) {
      const key = flat[i] as unknown;
      const value = flat[i + 1] as unknown;
      if (!(key instanceof Uint8Array) || !(value instanceof Uint8Array)) throw malformedFrame('snapshot');
      records.push({ key, value });
    }
    incoming.busy = true;
    incoming.heardAt = this.#host.now();
    receiver.write(records).then(
      () => {
        incoming.busy = false;
        if (this.#closed || this.#incoming !== incoming) return;
        incoming.seq++;
        if (last) {
          this.#incoming = null;
          this.#host.received(from, incoming.term, incoming.meta, receiver);
        }
        this.#send(from, FRAME.ack, bootEpoch, [transfer, seq]);
      },
      (error: unknown) => this.#host.failed(error),
    );
  }

  // Both.

  /** Called now and then. */
  tick(): void {
    const now = this.#host.now();
    for (const outgoing of [...this.#outgoing.values()]) {
      if (!outgoing.reading && now - outgoing.heardAt > this.#times.stalledAfterMs) this.#fail(outgoing);
    }
    for (const [to, kept] of this.#kept) {
      if (kept.until > now) continue;
      this.#kept.delete(to);
      kept.snapshot.close();
    }
    for (const [to, { until }] of this.#delivered) if (until <= now) this.#delivered.delete(to);
    const incoming = this.#incoming;
    if (incoming === null || incoming.busy || now - incoming.heardAt <= this.#times.keepMs) return;
    // The sender has let go of it too: this node has caught up by the log, or will be sent another.
    this.#incoming = null;
    incoming.receiver?.discard();
  }

  /** The link to `peer` closed. */
  peerGone(peer: NodeId): void {
    const outgoing = this.#outgoing.get(peer);
    if (outgoing !== undefined) this.#fail(outgoing);
  }

  /** This node does not lead any more: it sends no snapshots. */
  stopSending(): void {
    this.#delivered.clear();
    for (const outgoing of [...this.#outgoing.values()]) {
      this.#outgoing.delete(outgoing.to);
      if (!outgoing.reading) this.#keep(outgoing);
    }
  }

  close(): void {
    this.#closed = true;
    for (const outgoing of this.#outgoing.values()) if (!outgoing.reading) outgoing.snapshot.close();
    for (const kept of this.#kept.values()) kept.snapshot.close();
    this.#outgoing.clear();
    this.#kept.clear();
    this.#incoming = null;
  }
}
