/**
 * Exchange of whole tables with one member at a time (memberlist's push-pull): what gossip missed is repaired, and who comes anew learns of everybody. It
 * begins with a digest, and when both have the same it ends with a word. Known dead members are asked for ever, at a slow pace: when a split is
 * over they hear in that digest that they were taken for dead, speak up, and both sides grow together.
 */
import type { Context } from './context.ts';
import { LIMITS, pushPullIntervalMs } from './settings.ts';
import { RANK } from './statement.ts';
import type { Digest, MemberId, PeerId, Statement, Sync } from './types.ts';

/** Seeds are tried again after so long, then twice as long, up to the pace at which the dead are. */
const FIRST_SEED_RETRY_MS = 2000;
const MAX_SEEDS = 64;

/** Whole tables sent: so many at once, and so many a second. More are asked for in vain, and asked for again. */
const SYNC_BURST = 16;
const SYNCS_PER_SECOND = 4;

export class Exchange {
  readonly #context: Context;
  #pushPullMs = Infinity;
  #deadRetryMs = Infinity;
  #seeds: readonly PeerId[] = [];
  #seedRetryMs = Infinity;
  #seedDelayMs = FIRST_SEED_RETRY_MS;
  /** Nobody has told its table since the last `join`. */
  #isNew = false;
  #tokens = SYNC_BURST;
  #tokensAtMs = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  begin(nowMs: number, phase: () => number): void {
    const { settings, table } = this.#context;
    this.#pushPullMs = nowMs + phase() * pushPullIntervalMs(settings.pushPullIntervalMs, table.activeSize);
    this.#deadRetryMs = nowMs + (0.5 + phase()) * settings.deadRetryIntervalMs;
    this.#tokensAtMs = nowMs;
  }

  join(peers: readonly PeerId[], nowMs: number): void {
    this.#seeds = [...new Set([...peers, ...this.#seeds])].slice(0, MAX_SEEDS);
    this.#seedDelayMs = 2 * FIRST_SEED_RETRY_MS;
    this.#seedRetryMs = nowMs + FIRST_SEED_RETRY_MS;
    this.#isNew = true;
    for (const peer of peers.slice(0, MAX_SEEDS)) this.#digestTo(peer);
  }

  nextMs(): number {
    return Math.min(this.#pushPullMs, this.#deadRetryMs, this.#seeks() ? this.#seedRetryMs : Infinity);
  }

  tick(nowMs: number): void {
    const { settings, table } = this.#context;
    if (nowMs >= this.#pushPullMs) {
      this.#pushPullMs = nowMs + pushPullIntervalMs(settings.pushPullIntervalMs, table.activeSize);
      for (const slot of table.pick(1, (slot) => table.rankOf(slot) === RANK.alive)) this.#ask(slot);
    }
    if (nowMs >= this.#deadRetryMs) {
      this.#deadRetryMs = nowMs + settings.deadRetryIntervalMs;
      const slot = table.pickDead();
      if (slot !== null) this.#ask(slot);
    }
    if (this.#seeks() && nowMs >= this.#seedRetryMs) {
      this.#seedRetryMs = nowMs + this.#seedDelayMs;
      this.#seedDelayMs = Math.min(2 * this.#seedDelayMs, settings.deadRetryIntervalMs);
      for (const seed of this.#seeds) this.#digestTo(seed);
    }
  }

  /** There is a way to it. When it is taken for dead it hears of that now, and not only when its turn comes among all that are. */
  reachable(peer: MemberId): void {
    const { table } = this.#context;
    const slot = table.slotOf(peer);
    if (slot !== undefined && table.rankOf(slot) === RANK.dead) this.#ask(slot);
  }

  /** The updates of the message have been taken in. */
  onDigest(from: PeerId, { count, hash }: Digest, nowMs: number): void {
    const own = this.#digest();
    const isSame = count === own.count && hash[0] === own.hash[0] && hash[1] === own.hash[1];
    if (isSame) this.#sendPart(from, [], false);
    else this.#sendTable(from, true, nowMs);
  }

  /** The statements have been taken in. `weaker`: places of members of whom this node knows something stronger than what it was told. */
  onSync(from: PeerId, { answer }: Sync, weaker: readonly number[], nowMs: number): void {
    const { table } = this.#context;
    this.#isNew = false;
    if (answer) this.#sendTable(from, false, nowMs);
    // The table has only those who are on the list. Who was taken off it hears only so that it has to speak up.
    const verdicts = weaker.flatMap((slot) => table.verdictOf(slot)?.statement ?? []);
    if (verdicts.length > 0) this.#sendPart(from, verdicts, false);
    // It has come back as it was in an older life: what it does not remember to have said it is told, so that it can say something newer.
    const itself = weaker.find((slot) => table.statementOf(slot).peerId === from);
    if (itself !== undefined) this.#sendPart(from, [table.statementOf(itself)], false);
  }

  /** Are the seeds needed? */
  #seeks(): boolean {
    if (this.#seeds.length === 0) return false;
    const { table } = this.#context;
    return this.#isNew || (table.count('alive') <= 1 && table.count('suspect') === 0);
  }

  #ask(slot: number): void {
    const { table } = this.#context;
    this.#digestTo(table.statementOf(slot).peerId, table.verdictOf(slot)?.statement);
  }

  #digestTo(to: PeerId, first?: Statement): void {
    const { table } = this.#context;
    const own = table.statementOf(table.self);
    // With a word of this node: who does not know it could not answer for it otherwise.
    const updates = [...this.#context.updates(first)];
    if (!updates.includes(own)) updates.push(own);
    this.#context.send(to, 'gossip', { ...this.#digest(), updates });
  }

  #digest(): Omit<Digest, 'updates'> {
    const { table, clusterId } = this.#context;
    const count = table.count('alive') + table.count('suspect');
    return { type: 'digest', clusterId, count, hash: table.hash() };
  }

  /** False: too many were sent lately. */
  #sendTable(to: PeerId, answer: boolean, nowMs: number): boolean {
    const { counters, table } = this.#context;
    this.#tokens = Math.min(SYNC_BURST, this.#tokens + ((nowMs - this.#tokensAtMs) / 1000) * SYNCS_PER_SECOND);
    this.#tokensAtMs = nowMs;
    if (this.#tokens < 1) {
      counters.refused.tooManySyncs++;
      return false;
    }
    this.#tokens--;
    const statements: Statement[] = [];
    for (const slot of [table.self, ...table.active()]) {
      const rank = table.rankOf(slot);
      if (rank <= RANK.suspect || slot === table.self) statements.push(table.statementOf(slot));
      const verdict = table.verdictOf(slot);
      if (verdict !== undefined) statements.push(verdict.statement);
    }
    const parts = Math.ceil(statements.length / LIMITS.syncStatements);
    for (let i = 0; i < parts; i++) {
      const part = statements.slice(i * LIMITS.syncStatements, (i + 1) * LIMITS.syncStatements);
      this.#sendPart(to, part, answer && i === parts - 1);
    }
    return true;
  }

  #sendPart(to: PeerId, statements: readonly Statement[], answer: boolean): void {
    this.#context.send(to, 'gossip', { type: 'sync', answer, statements });
  }
}
