/**
 * Who is known, and what is held of them. Two registers for each member, both growing only: the newest that it said of itself, and the strongest that
 * was said against it (suspect, dead, or its own good-bye). Its state follows from both, so the order in which statements come does not matter.
 *
 * Flat arrays by place: a member costs a reference to a shared statement and a few bytes; only what is not alive costs a record of its own. A simulation
 * keeps ten thousand tables of ten thousand.
 */
import { invariant } from '../errors.ts';
import { RANK } from './statement.ts';
import type {
  Accusation,
  AliveStatement,
  LeftStatement,
  Member,
  MemberDirectory,
  MemberId,
  MemberState,
} from './types.ts';

/** What is said against a member, or its good-bye. */
export interface Verdict {
  readonly statement: Accusation | LeftStatement;
  readonly sinceMs: number;
}

const STATES: readonly MemberState[] = ['alive', 'suspect', 'dead', 'left'];
const UNKNOWN = 255;

export class MemberTable {
  readonly #directory: MemberDirectory;
  readonly #maxMembers: number;
  readonly #random: () => number;
  readonly self: number;
  /** By place, of exactly the size that is needed. */
  #statements: (AliveStatement | null)[] = [];
  /** By place: rank of the state, or UNKNOWN. */
  #ranks = new Uint8Array(0);
  /** By place: health score as the member told it. */
  #healths = new Uint8Array(0);
  /** By place: 1 when it stands in #order. */
  #listed = new Uint8Array(0);
  /** Of those that are not alive; oldest first. */
  readonly #verdicts = new Map<number, Verdict>();
  /** The active: places in the order in which they are probed, without this node. With those that died lately. */
  #order = new Int32Array(16);
  #active = 0;
  #cursor = 0;
  #version = 0;
  /** Known dead, and those who left, that are no longer active. */
  readonly #retired: number[] = [];
  readonly #counts = [0, 0, 0, 0];
  /** Over the living and the suspect: tells two tables apart. How long the dead are remembered is each node's own affair. */
  #low = 0;
  #high = 0;

  constructor(
    directory: MemberDirectory,
    self: AliveStatement,
    known: readonly AliveStatement[],
    maxMembers: number,
    random: () => number,
  ) {
    this.#directory = directory;
    this.#maxMembers = maxMembers;
    this.#random = random;
    let left = maxMembers - 1;
    for (const statement of known) {
      if (statement.id === self.id || left === 0) continue;
      const slot = directory.claim(statement.id);
      // Twice in the list: the first counts.
      if (this.isKnown(slot)) directory.release(slot);
      else {
        this.#enter(slot, statement);
        left--;
      }
    }
    this.self = directory.claim(self.id);
    this.#enter(this.self, self, false);
    this.#shuffle();
  }

  // What is known.

  /** Known members, this node included. */
  get size(): number {
    return this.count('alive') + this.count('suspect') + this.count('dead') + this.count('left');
  }

  /** Those that the formulas count: the active and this node. */
  get activeSize(): number {
    return this.#active + 1;
  }

  /** Another one each time that somebody came to the active, or went from them. */
  get version(): number {
    return this.#version;
  }

  count(state: MemberState): number {
    return this.#counts[RANK[state]] ?? 0;
  }

  hash(): readonly [number, number] {
    return [this.#low >>> 0, this.#high >>> 0];
  }

  slotOf(id: MemberId): number | undefined {
    const slot = this.#directory.slotOf(id);
    return slot !== undefined && this.isKnown(slot) ? slot : undefined;
  }

  isKnown(slot: number): boolean {
    return slot < this.#ranks.length && this.#ranks[slot] !== UNKNOWN;
  }

  statementOf(slot: number): AliveStatement {
    const statement = this.#statements[slot];
    invariant(statement, 'This place is empty');
    return statement;
  }

  verdictOf(slot: number): Verdict | undefined {
    return this.#verdicts.get(slot);
  }

  /** 0 alive, 1 suspect, 2 dead, 3 left. */
  rankOf(slot: number): number {
    return this.#ranks[slot] ?? UNKNOWN;
  }

  /** Of what decides its state. */
  incarnationOf(slot: number): number {
    return this.#verdicts.get(slot)?.statement.incarnation ?? this.statementOf(slot).incarnation;
  }

  isListed(slot: number): boolean {
    return this.#listed[slot] === 1;
  }

  /** 32 bits that depend on the member's id alone. */
  hashAt(slot: number): number {
    return this.#directory.hashAt(slot);
  }

  setHealth(slot: number, score: number): void {
    this.#healths[slot] = Math.min(255, score);
  }

  view(slot: number): Member {
    const statement = this.statementOf(slot);
    const { id, peerId, name, role, addresses, http, metadata } = statement;
    return {
      ...{ id, peerId, name, role, addresses, http, metadata },
      state: STATES[this.rankOf(slot)] as MemberState,
      incarnation: this.incarnationOf(slot),
      sinceMs: this.#verdicts.get(slot)?.sinceMs ?? null,
      health: this.#healths[slot] ?? 0,
      statement,
    };
  }

  /** This node first, then the active, then the others. */
  *slots(): Generator<number> {
    yield this.self;
    yield* this.active();
    yield* this.#retired;
  }

  *active(): Generator<number> {
    for (let i = 0; i < this.#active; i++) yield this.#order[i] as number;
  }

  // Changes. Whoever calls has verified.

  /** A member that is not known yet; null when there is no room for it. */
  add(statement: AliveStatement, onForgotten: (slot: number) => void): number | null {
    if (this.size >= this.#maxMembers) {
      const victim = this.#victim();
      if (victim === null) return null;
      this.#forget(victim);
      onForgotten(victim);
    }
    const slot = this.#directory.claim(statement.id);
    invariant(!this.isKnown(slot), 'A member is added twice');
    this.#enter(slot, statement);
    return slot;
  }

  /** Something newer that it says of itself. */
  renew(slot: number, statement: AliveStatement): void {
    invariant(statement.incarnation > this.statementOf(slot).incarnation, 'What a member says of itself is not new');
    this.#toggle(slot);
    this.#statements[slot] = statement;
    const verdict = this.#verdicts.get(slot);
    if (verdict !== undefined && verdict.statement.incarnation < statement.incarnation) {
      this.#verdicts.delete(slot);
      this.#rank(slot, RANK.alive);
      if (!this.isListed(slot) && slot !== this.self) this.#relist(slot);
    }
    this.#toggle(slot);
  }

  /** Something stronger that is said of it. */
  judge(slot: number, statement: Accusation | LeftStatement, nowMs: number): void {
    this.#toggle(slot);
    // To the end: the oldest stay first.
    this.#verdicts.delete(slot);
    this.#verdicts.set(slot, { statement, sinceMs: nowMs });
    this.#rank(slot, RANK[statement.kind]);
    this.#toggle(slot);
  }

  /** Would it change anything? */
  isStronger(slot: number, statement: Accusation | LeftStatement): boolean {
    const held = this.#verdicts.get(slot)?.statement;
    const { incarnation, kind } = statement;
    if (held !== undefined && held.incarnation >= incarnation) {
      return held.incarnation === incarnation && RANK[held.kind] < RANK[kind];
    }
    return incarnation >= this.statementOf(slot).incarnation;
  }

  // Choosing.

  /**
   * The next to be probed, alive or suspect, of those that fit: round robin in a random order (SWIM §4.3), so that nobody is left out for longer than two passes.
   * Those that have been dead for long are taken off the list between two passes.
   */
  nextTarget(nowMs: number, gossipToTheDeadMs: number, fits: (slot: number) => boolean = () => true): number | null {
    for (let looked = 0; looked <= this.#active; looked++) {
      if (this.#cursor >= this.#active) {
        this.#reap(nowMs - gossipToTheDeadMs);
        this.#shuffle();
        this.#cursor = 0;
        if (this.#active === 0) return null;
      }
      const slot = this.#order[this.#cursor++] as number;
      if (this.rankOf(slot) <= RANK.suspect && fits(slot)) return slot;
    }
    return null;
  }

  /** Up to `count` different active members that fit. Gives up after some attempts, as memberlist does, so that it costs the same at any size. */
  pick(count: number, fits: (slot: number) => boolean): number[] {
    const picked: number[] = [];
    const attempts = 3 * this.#active;
    for (let i = 0; i < attempts && i < 64 && picked.length < count; i++) {
      const slot = this.#order[Math.floor(this.#random() * this.#active)] as number;
      if (!picked.includes(slot) && fits(slot)) picked.push(slot);
    }
    return picked;
  }

  /** Up to `count` of these, at random. */
  draw(count: number, among: readonly number[]): number[] {
    const left = [...among];
    const drawn: number[] = [];
    while (drawn.length < count && left.length > 0) {
      const at = Math.floor(this.#random() * left.length);
      drawn.push(left[at] as number);
      left[at] = left.at(-1) as number;
      left.pop();
    }
    return drawn;
  }

  /**
   * A dead member, on the list or no longer on it; null when none is known. Every other time one that has a replica, if there is any: of those there are few, and
   * they must not wait behind a thousand agents that are gone for good.
   */
  pickDead(): number | null {
    if (this.count('dead') === 0) return null;
    const dead = [...this.#verdicts].flatMap(([slot, { statement }]) => (statement.kind === 'dead' ? [slot] : []));
    const replicas = dead.filter((slot) => this.statementOf(slot).role !== 'agent');
    const isMixed = replicas.length > 0 && replicas.length < dead.length;
    const among = isMixed && this.#random() < 0.5 ? replicas : dead;
    return among[Math.floor(this.#random() * among.length)] ?? null;
  }

  // Inside.

  #enter(slot: number, statement: AliveStatement, listed = true): void {
    if (slot >= this.#ranks.length) this.#grow(slot);
    this.#statements[slot] = statement;
    this.#ranks[slot] = RANK.alive;
    this.#healths[slot] = 0;
    this.#counts[RANK.alive] = this.count('alive') + 1;
    if (listed) this.#list(slot);
    this.#toggle(slot);
  }

  #grow(slot: number): void {
    const room = Math.max(slot + 1, this.#directory.end, Math.min(2 * this.#ranks.length, this.#ranks.length + 1024));
    const wider = (old: Uint8Array, filling: number): Uint8Array<ArrayBuffer> => {
      const array = new Uint8Array(room).fill(filling);
      array.set(old);
      return array;
    };
    this.#ranks = wider(this.#ranks, UNKNOWN);
    this.#healths = wider(this.#healths, 0);
    this.#listed = wider(this.#listed, 0);
    const known = this.#statements.length;
    this.#statements.length = room;
    this.#statements.fill(null, known);
  }

  /** At a random place of what is still to come or over, so that not everybody probes a new member at the same time (SWIM §4.3). */
  #list(slot: number): void {
    if (this.#active >= this.#order.length) {
      const wider = new Int32Array(Math.max(this.#directory.end, this.#order.length + (this.#order.length >> 1)));
      wider.set(this.#order);
      this.#order = wider;
    }
    const offset = Math.floor(this.#random() * (this.#active + 1));
    this.#order[this.#active] = this.#order[offset] as number;
    this.#order[offset] = slot;
    this.#active++;
    this.#version++;
    this.#listed[slot] = 1;
  }

  #relist(slot: number): void {
    this.#retired.splice(this.#retired.indexOf(slot), 1);
    this.#list(slot);
  }

  #rank(slot: number, rank: number): void {
    const old = this.rankOf(slot);
    this.#counts[old] = (this.#counts[old] ?? 0) - 1;
    this.#counts[rank] = (this.#counts[rank] ?? 0) + 1;
    this.#ranks[slot] = rank;
  }

  /** Takes off the list who has been dead or gone since `untilMs`. */
  #reap(untilMs: number): void {
    let kept = 0;
    for (let i = 0; i < this.#active; i++) {
      const slot = this.#order[i] as number;
      const verdict = this.#verdicts.get(slot);
      if (verdict !== undefined && RANK[verdict.statement.kind] >= RANK.dead && verdict.sinceMs <= untilMs) {
        this.#listed[slot] = 0;
        this.#retired.push(slot);
      } else this.#order[kept++] = slot;
    }
    if (this.#active !== kept) this.#version++;
    this.#active = kept;
  }

  /** Fisher and Yates. */
  #shuffle(): void {
    for (let i = this.#active - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1));
      const slot = this.#order[i] as number;
      this.#order[i] = this.#order[j] as number;
      this.#order[j] = slot;
    }
  }

  /** Who makes room for another: who left longest ago, else who has been dead longest. */
  #victim(): number | null {
    let dead: number | null = null;
    for (const [slot, { statement }] of this.#verdicts) {
      if (statement.kind === 'left') return slot;
      if (dead === null && statement.kind === 'dead') dead = slot;
    }
    return dead;
  }

  #forget(slot: number): void {
    this.#toggle(slot);
    const rank = this.rankOf(slot);
    this.#counts[rank] = (this.#counts[rank] ?? 0) - 1;
    this.#verdicts.delete(slot);
    this.#statements[slot] = null;
    this.#ranks[slot] = UNKNOWN;
    if (this.isListed(slot)) {
      const at = this.#order.indexOf(slot);
      // What comes before the cursor was probed in this pass: the order of the rest is kept.
      this.#order.copyWithin(at, at + 1, this.#active);
      if (at < this.#cursor) this.#cursor--;
      this.#active--;
      this.#version++;
      this.#listed[slot] = 0;
    } else this.#retired.splice(this.#retired.indexOf(slot), 1);
    this.#directory.release(slot);
  }

  /** Takes the member into the hash, or out of it. */
  #toggle(slot: number): void {
    if (this.rankOf(slot) >= RANK.dead) return;
    const incarnation = this.incarnationOf(slot);
    let hash = this.#directory.hashAt(slot);
    hash = Math.imul(hash ^ (incarnation >>> 0), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15) ^ Math.floor(incarnation / 2 ** 32), 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 13) ^ this.rankOf(slot), 0x27d4eb2f);
    this.#low ^= hash ^ (hash >>> 16);
    hash = Math.imul(hash ^ (hash >>> 14) ^ 0x165667b1, 0x9e3779b1);
    this.#high ^= hash ^ (hash >>> 15);
  }
}
