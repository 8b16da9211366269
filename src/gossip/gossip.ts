/**
 * One node's part of the gossip: SWIM with Lifeguard's three additions. Joins the failure detector, the dissemination and the exchange of tables, and
 * decides what is believed.
 */
import { invariant } from '../errors.ts';
import { Awareness } from './awareness.ts';
import { Broadcasts } from './broadcasts.ts';
import type { Context, Counters } from './context.ts';
import { checkedDetails } from './details.ts';
import { Directory } from './directory.ts';
import { Exchange } from './exchange.ts';
import { Neighbourhood } from './neighbourhood.ts';
import { Prober } from './probe.ts';
import { LIMITS, retransmitLimit, settingsOf, suspicionMinMs } from './settings.ts';
import { INCARNATIONS_PER_BOOT, RANK, sameDetails, signedBytes, statementBytes } from './statement.ts';
import { Suspicions, type SuspicionBounds } from './suspicion.ts';
import { MemberTable } from './table.ts';
import type {
  Accusation,
  AliveStatement,
  Details,
  GossipCore,
  GossipEffect,
  GossipMessage,
  GossipOptions,
  GossipSettings,
  GossipStats,
  HeldLoops,
  LeftStatement,
  Member,
  MemberEventKind,
  MemberId,
  PeerId,
  Refusal,
  Statement,
} from './types.ts';

const NOTHING: readonly Statement[] = [];
const NOTHING_HELD: HeldLoops = {};

/** Accusations of an incarnation that has not been heard of yet: kept for a while, for its own word may be on the way. */
const MAX_EARLY = 64;

export function createGossip(options: GossipOptions): GossipCore {
  return new GossipNode(options);
}

class GossipNode implements GossipCore {
  readonly #options: GossipOptions;
  readonly #settings: GossipSettings;
  readonly #table: MemberTable;
  readonly #near: Neighbourhood;
  readonly #broadcasts: Broadcasts;
  readonly #suspicions = new Suspicions();
  readonly #awareness: Awareness;
  readonly #prober: Prober;
  readonly #exchange: Exchange;
  readonly #early = new Map<number, Accusation>();
  readonly #counters: Counters;
  #effects: GossipEffect[] = [];
  #started = false;
  #leaving = false;
  #nowMs = 0;
  /** Not before is an accuser answered that is not known. */
  #answerUnknownMs = -Infinity;
  /**
   * When to gossip next, on the grid of this node's phase. It stays behind while there is nothing to tell: so what this node itself finds or has to say
   * goes out at once, and what it hears waits for the next place of the grid.
   */
  #gossipMs = Infinity;
  #held = NOTHING_HELD;
  /** How often a statement is passed on among so many. */
  #limit = 0;
  #limitFor = -1;
  /** When the next tick was due, as of the last call. */
  #dueMs = 0;

  constructor(options: GossipOptions) {
    this.#options = options;
    this.#settings = settingsOf(options);
    const { self, known = [], directory = new Directory(), random, announce = true } = options;
    const { maxMembers, lhaProbe, awarenessMax, updateBytes, neighbours } = this.#settings;
    this.#broadcasts = new Broadcasts(updateBytes);
    const { id, peerId, bootEpoch } = self;
    invariant(options.idOf(peerId) === id, 'This member id does not belong to this peer id');
    const incarnation = bootEpoch * INCARNATIONS_PER_BOOT;
    invariant(Number.isSafeInteger(incarnation) && bootEpoch >= 0, 'The boot epoch is out of range');
    const remembered = known.find((statement) => statement.id === id && statement.incarnation === incarnation);
    const details = checkedDetails(self);
    const own = remembered ?? this.#signed({ kind: 'alive', id, peerId, incarnation, ...details });
    this.#table = new MemberTable(directory, own, known, maxMembers, random);
    this.#near = new Neighbourhood(this.#table, neighbours);
    this.#awareness = new Awareness(lhaProbe ? awarenessMax : 1);
    this.#counters = {
      probes: 0,
      failedProbes: 0,
      refutations: 0,
      verifications: 0,
      stalls: 0,
      refused: {
        malformed: 0,
        overLimits: 0,
        wrongCluster: 0,
        badIdentity: 0,
        badSignature: 0,
        unknownSubject: 0,
        unknownAuthor: 0,
        tableFull: 0,
        tooManyRelays: 0,
        tooManySyncs: 0,
      },
    };
    const context: Context = {
      clusterId: options.clusterId,
      settings: this.#settings,
      table: this.#table,
      near: this.#near,
      awareness: this.#awareness,
      counters: this.#counters,
      random,
      send: (to, channel, message) => this.#effects.push({ kind: 'send', to, channel, message }),
      updates: (first) => this.#updates(first),
      suspect: (slot, incarnation, nowMs) => this.#suspect(slot, incarnation, nowMs),
    };
    this.#prober = new Prober(context);
    this.#exchange = new Exchange(context);
    if (announce) this.#broadcasts.put(this.#table.self, own);
  }

  get id(): MemberId {
    return this.#options.self.id;
  }

  get incarnation(): number {
    return this.#own.incarnation;
  }

  get #own(): AliveStatement {
    return this.#table.statementOf(this.#table.self);
  }

  // What comes in.

  tick(nowMs: number, held: HeldLoops = NOTHING_HELD): void {
    this.#advance(nowMs);
    const lateMs = nowMs - this.#dueMs;
    if (lateMs > this.#settings.stallMs) this.#stalled(lateMs);
    this.#held = held;
    for (const slot of this.#suspicions.expired(nowMs)) this.#declareDead(slot, nowMs);
    if (this.#leaving) this.#prober.tick(nowMs, true);
    else {
      this.#prober.tick(nowMs, held.probe === true);
      if (held.pushPull !== true) this.#exchange.tick(nowMs);
    }
    if (held.gossip !== true && this.#gossipMs <= nowMs) this.#gossip(nowMs);
    this.#dueMs = this.nextTickMs();
  }

  nextTickMs(): number {
    if (!this.#started) return this.#nowMs;
    const { probe = false, gossip = false, pushPull = false } = this.#held;
    return Math.min(
      this.#suspicions.nextMs,
      this.#prober.nextMs(probe || this.#leaving),
      pushPull || this.#leaving ? Infinity : this.#exchange.nextMs(),
      gossip || this.#broadcasts.size === 0 ? Infinity : this.#gossipMs,
    );
  }

  receive(from: PeerId, message: GossipMessage, nowMs: number): void {
    this.#advance(nowMs);
    switch (message.type) {
      case 'ping':
        this.#learnAll(message.updates, nowMs);
        this.#prober.onPing(from, message);
        break;
      case 'ack':
        this.#learnAll(message.updates, nowMs);
        this.#prober.onAck(from, message);
        break;
      case 'pingRequest':
        this.#learnAll(message.updates, nowMs);
        this.#prober.onPingRequest(from, message, nowMs);
        break;
      case 'nack':
        this.#prober.onNack(from, message);
        break;
      case 'gossip':
        this.#learnAll(message.updates, nowMs);
        break;
      case 'digest':
        if (message.clusterId === this.#options.clusterId) {
          this.#learnAll(message.updates, nowMs);
          this.#exchange.onDigest(from, message, nowMs);
        } else this.refuse('wrongCluster');
        break;
      case 'sync':
        this.#exchange.onSync(from, message, this.#merge(message.statements, nowMs), nowMs);
        break;
    }
    this.#schedule(nowMs);
  }

  refuse(reason: Refusal): void {
    this.#counters.refused[reason]++;
  }

  join(peers: readonly PeerId[], nowMs: number): void {
    this.#advance(nowMs);
    const others = peers.filter((peer) => peer !== this.#options.self.peerId);
    this.#exchange.join(others, nowMs);
    this.#schedule(nowMs);
  }

  reachable(id: MemberId, nowMs: number): void {
    this.#advance(nowMs);
    if (!this.#leaving) this.#exchange.reachable(id);
  }

  leave(nowMs: number): void {
    this.#advance(nowMs);
    if (this.#leaving) return;
    this.#leaving = true;
    const { id, incarnation } = this.#own;
    const statement: LeftStatement = this.#signed({ kind: 'left', id, incarnation });
    this.#table.judge(this.#table.self, statement, nowMs);
    this.#broadcasts.put(this.#table.self, statement);
    this.#schedule(nowMs);
  }

  setDetails(changes: Partial<Details>): void {
    // It would come back.
    if (this.#leaving) return;
    const { name, role, addresses, http, metadata } = this.#own;
    this.#speakUp(checkedDetails({ name, role, addresses, http, metadata, ...changes }));
  }

  reportHealth(delta: number): void {
    this.#awareness.apply(delta);
  }

  // What can be asked.

  members(): Member[] {
    return Array.from(this.#table.slots(), (slot) => this.#view(slot));
  }

  member(id: MemberId): Member | undefined {
    const slot = this.#table.slotOf(id);
    return slot === undefined ? undefined : this.#view(slot);
  }

  stats(): GossipStats {
    const { refused, ...counters } = this.#counters;
    return {
      ...counters,
      health: this.#awareness.score,
      alive: this.#table.count('alive'),
      suspect: this.#table.count('suspect'),
      dead: this.#table.count('dead'),
      left: this.#table.count('left'),
      queued: this.#broadcasts.size,
      refused: { ...refused },
    };
  }

  takeEffects(): GossipEffect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  // Time.

  #advance(nowMs: number): void {
    invariant(nowMs >= this.#nowMs || !this.#started, 'Time goes back');
    this.#nowMs = nowMs;
    if (this.#started) return;
    this.#started = true;
    const { stagger, probeIntervalMs, gossipIntervalMs } = this.#settings;
    // At random phases, so that the load is even (SWIM §4.3 has members in no lock-step either).
    const phase = stagger ? this.#options.random : () => 0;
    this.#prober.begin(nowMs + phase() * probeIntervalMs);
    this.#gossipMs = nowMs + phase() * gossipIntervalMs;
    this.#exchange.begin(nowMs, this.#options.random);
    this.#schedule(nowMs);
  }

  /** After something came in: gossip may be wanted again, at the next place of its grid. */
  #schedule(nowMs: number): void {
    if (this.#gossipMs < nowMs) this.#alignGossip(nowMs);
    this.#dueMs = this.nextTickMs();
  }

  #alignGossip(nowMs: number): void {
    const { gossipIntervalMs } = this.#settings;
    this.#gossipMs += Math.ceil((nowMs - this.#gossipMs) / gossipIntervalMs) * gossipIntervalMs;
  }

  /** This process did not run: what others did not answer in that time says nothing of them. */
  #stalled(ms: number): void {
    this.#counters.stalls++;
    this.#awareness.apply(1);
    this.#suspicions.postpone(ms);
    this.#prober.postpone(ms);
  }

  // Dissemination.

  #gossip(nowMs: number): void {
    const { gossipPeers, gossipIntervalMs, gossipToTheDeadMs } = this.#settings;
    const table = this.#table;
    if (this.#broadcasts.size > 0) {
      for (const slot of this.#listeners(nowMs, gossipPeers, gossipToTheDeadMs)) {
        const updates = this.#updates();
        if (updates.length === 0) break;
        const to = table.statementOf(slot).peerId;
        this.#effects.push({ kind: 'send', to, channel: 'gossip', message: { type: 'gossip', updates } });
      }
    }
    this.#gossipMs += gossipIntervalMs;
    if (this.#gossipMs <= nowMs) this.#alignGossip(nowMs);
    if (this.#gossipMs <= nowMs) this.#gossipMs += gossipIntervalMs;
  }

  /** Who is told the news. The dead for a while too: they may hear of it, and speak up. */
  #listeners(nowMs: number, count: number, gossipToTheDeadMs: number): number[] {
    const table = this.#table;
    const { isLinked } = this.#options;
    const hears = (slot: number): boolean =>
      table.rankOf(slot) < RANK.dead || nowMs - (table.verdictOf(slot)?.sinceMs ?? 0) <= gossipToTheDeadMs;
    const linked =
      isLinked === undefined
        ? []
        : this.#near.pick(count, (slot) => hears(slot) && isLinked(table.statementOf(slot).id));
    return linked.length > 0 ? linked : this.#near.pick(count, hears);
  }

  #updates(first?: Statement): readonly Statement[] {
    if (first === undefined && this.#broadcasts.size === 0) return NOTHING;
    const updates: Statement[] = first === undefined ? [] : [first];
    const { updateBytes, retransmitMultiplier } = this.#settings;
    const members = this.#table.activeSize;
    // A logarithm for each message shows in a profile.
    if (members !== this.#limitFor) {
      this.#limitFor = members;
      this.#limit = retransmitLimit(retransmitMultiplier, members);
    }
    const limit = this.#limit;
    const room = updateBytes - (first === undefined ? 0 : statementBytes(first));
    // One less, because a digest adds a word of this node.
    this.#broadcasts.take(updates, room, LIMITS.updates - 1, limit);
    return updates;
  }

  // What is believed.

  #learnAll(statements: readonly Statement[], nowMs: number): void {
    for (const statement of statements) this.#learn(statement, nowMs, false);
  }

  /** Places of those of whom this node knows something stronger. */
  #merge(statements: readonly Statement[], nowMs: number): number[] {
    const weaker: number[] = [];
    for (const statement of statements) {
      this.#learn(statement, nowMs, true);
      if (statement.kind !== 'alive') continue;
      const slot = this.#table.slotOf(statement.id);
      const verdict = slot === undefined ? undefined : this.#table.verdictOf(slot);
      if (slot === undefined || slot === this.#table.self || verdict === undefined) continue;
      // A suspicion spreads by itself; who is taken for dead by one and not by the other is to hear of it.
      if (verdict.statement.kind !== 'suspect' && verdict.statement.incarnation >= statement.incarnation)
        weaker.push(slot);
    }
    return weaker;
  }

  #learn(statement: Statement, nowMs: number, fromTable: boolean): void {
    if (statement.id === this.id) this.#hearOfSelf(statement);
    else if (statement.kind === 'alive') this.#hearAlive(statement, nowMs);
    else {
      const slot = this.#table.slotOf(statement.id);
      if (slot === undefined) this.refuse('unknownSubject');
      else if (statement.kind === 'left') this.#hearLeft(slot, statement, nowMs);
      else this.#hearAccusation(slot, statement, nowMs, fromTable);
    }
  }

  #hearAlive(statement: AliveStatement, nowMs: number): void {
    const table = this.#table;
    const known = table.slotOf(statement.id);
    if (known !== undefined && statement.incarnation <= table.statementOf(known).incarnation) return;
    if (this.#options.idOf(statement.peerId) !== statement.id) return this.refuse('badIdentity');
    if (!this.#verified(statement, statement.peerId)) return;
    if (known === undefined) {
      const slot = table.add(statement, (slot) => this.#forgotten(slot));
      if (slot === null) return this.refuse('tableFull');
      this.#broadcasts.put(slot, statement);
      this.#tell('up', statement.id, statement.id, statement.incarnation);
      return;
    }
    const before = table.statementOf(known);
    const rank = table.rankOf(known);
    table.renew(known, statement);
    if (table.rankOf(known) === RANK.alive) {
      this.#suspicions.delete(known);
      this.#broadcasts.put(known, statement);
      const updated = sameDetails(before, statement) ? null : 'updated';
      const event = rank === RANK.left ? 'up' : rank === RANK.alive ? updated : 'alive-again';
      if (event !== null) this.#tell(event, statement.id, statement.id, statement.incarnation);
    }
    const early = this.#early.get(known);
    if (early === undefined || early.incarnation > statement.incarnation) return;
    this.#early.delete(known);
    this.#hearAccusation(known, early, nowMs, false);
  }

  #hearLeft(slot: number, statement: LeftStatement, nowMs: number): void {
    if (!this.#table.isStronger(slot, statement)) return;
    if (!this.#verified(statement, this.#table.statementOf(slot).peerId)) return;
    this.#judge(slot, statement, statement.id, nowMs);
  }

  #hearAccusation(slot: number, statement: Accusation, nowMs: number, fromTable: boolean): void {
    const table = this.#table;
    const { kind, incarnation, by } = statement;
    // Nobody but the member itself raises its incarnation: else a liar could accuse it of one that it will never reach.
    if (incarnation > table.statementOf(slot).incarnation) return this.#keepEarly(slot, statement);
    const confirms = kind === 'suspect' && this.#isSuspectAt(slot, incarnation);
    if (confirms ? !this.#suspicions.isNews(slot, by) : !table.isStronger(slot, statement)) return;
    const author = table.slotOf(by);
    if (author === undefined) return this.refuse('unknownAuthor');
    if (!this.#verified(statement, table.statementOf(author).peerId)) return;
    if (confirms) this.#confirm(slot, statement);
    else if (kind === 'dead' && fromTable) this.#hearsay(slot, statement, nowMs);
    else this.#judge(slot, statement, by, nowMs);
  }

  #keepEarly(slot: number, statement: Accusation): void {
    const held = this.#early.get(slot);
    if (held !== undefined && !isAfter(statement, held)) return;
    this.#early.delete(slot);
    for (const oldest of this.#early.keys()) {
      if (this.#early.size < MAX_EARLY) break;
      this.#early.delete(oldest);
    }
    this.#early.set(slot, statement);
  }

  #hearOfSelf(statement: Statement): void {
    if (this.#leaving) return;
    const own = this.#own;
    if (statement.kind === 'alive' || statement.kind === 'left') {
      // From a run of this node that had a larger boot epoch: it was put back to an older state, or it runs twice.
      const is =
        statement.incarnation > own.incarnation ||
        (statement.kind === 'left' && statement.incarnation === own.incarnation);
      if (is && this.#verified(statement, own.peerId)) this.#speakUp(own, statement.incarnation + 1);
      return;
    }
    if (statement.incarnation !== own.incarnation) return;
    const author = this.#table.slotOf(statement.by);
    if (author === undefined) return this.#answerUnknown(own);
    if (!this.#verified(statement, this.#table.statementOf(author).peerId)) return;
    // Who is suspected did not answer in time: it may be the slow one (Lifeguard §IV.A).
    this.#counters.refutations++;
    this.#awareness.apply(1);
    this.#speakUp(own);
  }

  /**
   * An accuser that is not known may have gone since, and those who heard it believe it: without an answer this node would be dead for them for ever. But anybody can make one up, so the
   * answer is given once a period, and says nothing about the health of this node.
   */
  #answerUnknown(own: AliveStatement): void {
    this.refuse('unknownAuthor');
    if (this.#nowMs < this.#answerUnknownMs) return;
    this.#answerUnknownMs = this.#nowMs + this.#settings.probeIntervalMs;
    this.#counters.refutations++;
    this.#speakUp(own);
  }

  /** A new incarnation of this node, which is alive (SWIM §4.2). */
  #speakUp(details: Details, incarnation = this.#own.incarnation + 1): void {
    const { id, peerId } = this.#own;
    const { name, role, addresses, http, metadata } = details;
    const fields = { kind: 'alive', id, peerId, incarnation, name, role, addresses, http, metadata } as const;
    const statement = this.#signed<AliveStatement>(fields);
    this.#table.renew(this.#table.self, statement);
    this.#broadcasts.put(this.#table.self, statement);
  }

  // Suspicion.

  /** This node says so itself. */
  #suspect(slot: number, incarnation: number, nowMs: number): void {
    const table = this.#table;
    if (!table.isKnown(slot) || table.statementOf(slot).incarnation !== incarnation) return;
    const confirms = this.#isSuspectAt(slot, incarnation);
    if (confirms ? !this.#suspicions.isNews(slot, this.id) : table.rankOf(slot) !== RANK.alive) return;
    const { id } = table.statementOf(slot);
    const statement = this.#signed<Accusation>({ kind: 'suspect', id, incarnation, by: this.id });
    if (confirms) this.#confirm(slot, statement);
    else this.#judge(slot, statement, this.id, nowMs);
  }

  /**
   * Dead in the table of another: that may be long over, so the member is suspected only (as memberlist does), and told of it itself. Nothing is said of it
   * to others: where two halves meet, each of which takes the other for dead, that would be a flood in which the refutations drown.
   */
  #hearsay(slot: number, statement: Accusation, nowMs: number): void {
    const { id, peerId } = this.#table.statementOf(slot);
    const { incarnation } = statement;
    const message: GossipMessage = { type: 'gossip', updates: [statement] };
    this.#effects.push({ kind: 'send', to: peerId, channel: 'gossip', message });
    if (this.#table.rankOf(slot) !== RANK.alive) return;
    const own = this.#signed<Accusation>({ kind: 'suspect', id, incarnation, by: this.id });
    this.#judge(slot, own, this.id, nowMs, false);
  }

  /** Passed on as new: so independent confirmations reach those who have the suspicion already (Lifeguard §IV.B). */
  #confirm(slot: number, statement: Accusation): void {
    this.#suspicions.confirm(slot, statement.by);
    this.#broadcasts.put(slot, statement);
  }

  #declareDead(slot: number, nowMs: number): void {
    const { id } = this.#table.statementOf(slot);
    const incarnation = this.#table.incarnationOf(slot);
    const statement = this.#signed<Accusation>({ kind: 'dead', id, incarnation, by: this.id });
    this.#judge(slot, statement, this.id, nowMs);
  }

  #judge(slot: number, statement: Accusation | LeftStatement, by: MemberId, nowMs: number, passOn = true): void {
    this.#table.judge(slot, statement, nowMs);
    if (passOn) this.#broadcasts.put(slot, statement);
    else this.#broadcasts.delete(slot);
    if (statement.kind === 'suspect') this.#suspicions.start(slot, by, this.#bounds(), nowMs);
    else this.#suspicions.delete(slot);
    this.#tell(statement.kind, statement.id, by, statement.incarnation);
  }

  #bounds(): SuspicionBounds {
    const { suspicionMultiplier, suspicionMaxMultiplier, probeIntervalMs, lhaSuspicion } = this.#settings;
    const members = this.#table.activeSize;
    const minMs = suspicionMinMs(suspicionMultiplier, members, probeIntervalMs);
    if (!lhaSuspicion) return { minMs, maxMs: minMs, expected: 0 };
    // memberlist: as many as can be hoped for two periods before the least time is over, and none where there is nobody to confirm.
    const wanted = Math.max(0, Math.floor(suspicionMultiplier) - 2);
    return { minMs, maxMs: suspicionMaxMultiplier * minMs, expected: members - 2 < wanted ? 0 : wanted };
  }

  #isSuspectAt(slot: number, incarnation: number): boolean {
    return this.#table.rankOf(slot) === RANK.suspect && this.#table.incarnationOf(slot) === incarnation;
  }

  #forgotten(slot: number): void {
    this.#suspicions.delete(slot);
    this.#broadcasts.delete(slot);
    this.#early.delete(slot);
  }

  #view(slot: number): Member {
    const member = this.#table.view(slot);
    return slot === this.#table.self ? { ...member, health: this.#awareness.score } : member;
  }

  #tell(event: MemberEventKind, id: MemberId, by: MemberId, incarnation: number): void {
    this.#effects.push({ kind: 'member', event, id, by, incarnation });
  }

  #signed<T extends Statement>(statement: Omit<T, 'signature'>): T {
    const bytes = signedBytes(this.#options.clusterId, statement as Parameters<typeof signedBytes>[1]);
    return { ...statement, signature: this.#options.sign(bytes) } as T;
  }

  #verified(statement: Statement, peerId: PeerId): boolean {
    this.#counters.verifications++;
    const bytes = signedBytes(this.#options.clusterId, statement);
    if (this.#options.verify(peerId, bytes, statement.signature)) return true;
    this.refuse('badSignature');
    return false;
  }
}

function isAfter(left: Accusation, right: Accusation): boolean {
  return left.incarnation === right.incarnation
    ? RANK[left.kind] > RANK[right.kind]
    : left.incarnation > right.incarnation;
}
