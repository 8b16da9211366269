/**
 * The failure detector (SWIM §3.1): one member is pinged in each protocol period; without an answer others are asked to ping it; without any answer by
 * the end of the period it is suspected. And the other side of it: pinging for others.
 */
import type { Context } from './context.ts';
import { RANK } from './statement.ts';
import type { Ack, MemberId, Nack, PeerId, Ping, PingRequest } from './types.ts';

/** A nack goes out when this share of the time-out is over, so that it is back before the period ends (Lifeguard §IV.A). */
const NACK_SHARE = 0.8;

interface Probe {
  readonly id: MemberId;
  /** It may have been forgotten since, and its place given to another. */
  readonly slot: number;
  readonly peerId: PeerId;
  readonly incarnation: number;
  readonly sequence: number;
  indirectAtMs: number;
  endMs: number;
  /** Who was asked to ping for us; null: not yet. */
  helpers: readonly PeerId[] | null;
  readonly nacks: Set<PeerId>;
}

/** A ping for somebody else. */
interface Relay {
  readonly asker: PeerId;
  readonly askerSequence: number;
  readonly target: PeerId;
  nackAtMs: number;
  endMs: number;
  nacked: boolean;
}

export class Prober {
  readonly #context: Context;
  #sequence: number;
  #startMs = Infinity;
  #probe: Probe | null = null;
  /** By the sequence of our ping; in the order of their ends. */
  readonly #relays = new Map<number, Relay>();

  constructor(context: Context) {
    this.#context = context;
    // So that an answer to a ping from before a restart is no answer to one from after it.
    this.#sequence = Math.floor(context.random() * 2 ** 31);
  }

  begin(startMs: number): void {
    this.#startMs = startMs;
  }

  /** `held`: one's own probing stands still. */
  nextMs(held: boolean): number {
    let next = Infinity;
    for (const { nacked, nackAtMs, endMs } of this.#relays.values()) next = Math.min(next, nacked ? endMs : nackAtMs);
    if (held) return next;
    if (this.#probe === null) return Math.min(next, this.#startMs);
    return Math.min(next, this.#probe.helpers === null ? this.#probe.indirectAtMs : this.#probe.endMs);
  }

  tick(nowMs: number, held: boolean): void {
    this.#tickRelays(nowMs);
    if (held) return;
    const probe = this.#probe;
    if (probe !== null) {
      if (probe.helpers === null && nowMs >= probe.indirectAtMs) this.#askOthers(probe);
      if (nowMs >= probe.endMs) this.#fail(probe, nowMs);
    }
    if (this.#probe === null && nowMs >= this.#startMs) this.#start(nowMs);
  }

  /** This process stood still for so long. */
  postpone(ms: number): void {
    this.#startMs += ms;
    if (this.#probe !== null) {
      this.#probe.indirectAtMs += ms;
      this.#probe.endMs += ms;
    }
    for (const relay of this.#relays.values()) {
      relay.nackAtMs += ms;
      relay.endMs += ms;
    }
  }

  onPing(from: PeerId, { sequence }: Ping): void {
    const health = this.#context.awareness.score;
    this.#context.send(from, 'ping', { type: 'ack', sequence, health, updates: this.#context.updates() });
  }

  onPingRequest(from: PeerId, { sequence, target }: PingRequest, nowMs: number): void {
    const { table, settings, counters } = this.#context;
    const slot = table.slotOf(target);
    if (slot === undefined) {
      counters.refused.unknownSubject++;
      return;
    }
    if (this.#relays.size >= settings.maxRelays) {
      counters.refused.tooManyRelays++;
      return;
    }
    const { peerId } = table.statementOf(slot);
    const own = this.#nextSequence();
    this.#relays.set(own, {
      asker: from,
      askerSequence: sequence,
      target: peerId,
      nackAtMs: nowMs + NACK_SHARE * settings.probeTimeoutMs,
      // An answer that is later than the longest period that a member can have is of no use to anybody.
      endMs: nowMs + settings.probeIntervalMs * settings.awarenessMax,
      nacked: !settings.lhaProbe,
    });
    this.#ping(slot, own);
  }

  onAck(from: PeerId, ack: Ack): void {
    const probe = this.#probe;
    if (probe?.sequence === ack.sequence) {
      if (from !== probe.peerId && probe.helpers?.includes(from) !== true) return;
      if (this.#isKnown(probe)) this.#context.table.setHealth(probe.slot, ack.health);
      this.#context.awareness.apply(-1);
      this.#probe = null;
      return;
    }
    const relay = this.#relays.get(ack.sequence);
    if (relay === undefined || from !== relay.target) return;
    this.#relays.delete(ack.sequence);
    this.#context.send(relay.asker, 'ping', {
      type: 'ack',
      sequence: relay.askerSequence,
      health: ack.health,
      updates: this.#context.updates(),
    });
  }

  onNack(from: PeerId, { sequence }: Nack): void {
    const probe = this.#probe;
    if (probe?.sequence === sequence && probe.helpers?.includes(from) === true) probe.nacks.add(from);
  }

  #start(nowMs: number): void {
    const { settings, awareness, table, near, counters } = this.#context;
    const { probeIntervalMs, probeTimeoutMs } = settings;
    const periodMs = awareness.scale(probeIntervalMs);
    // Periods keep their phase, and those that were missed are not made up for.
    const late = nowMs - this.#startMs;
    this.#startMs = late < probeIntervalMs ? this.#startMs + periodMs : nowMs + periodMs;
    const slot = table.nextTarget(nowMs, settings.gossipToTheDeadMs, (slot) => near.includes(slot));
    if (slot === null) return;
    const sequence = this.#nextSequence();
    const { id, peerId } = table.statementOf(slot);
    this.#probe = {
      id,
      slot,
      peerId,
      incarnation: table.incarnationOf(slot),
      sequence,
      indirectAtMs: nowMs + awareness.scale(probeTimeoutMs),
      endMs: nowMs + periodMs,
      helpers: null,
      nacks: new Set(),
    };
    counters.probes++;
    this.#ping(slot, sequence);
  }

  #ping(slot: number, sequence: number): void {
    const { settings, table, awareness } = this.#context;
    const verdict = table.verdictOf(slot)?.statement;
    // Buddy system (Lifeguard §IV.C): so a suspect hears of it as soon as it hears anything.
    const told = settings.buddy && verdict?.kind === 'suspect' ? verdict : undefined;
    const updates = this.#context.updates(told);
    this.#context.send(table.statementOf(slot).peerId, 'ping', {
      ...{ type: 'ping', sequence, health: awareness.score, updates },
    });
  }

  #askOthers(probe: Probe): void {
    const { settings, table, near } = this.#context;
    const helpers = near.pickHelpers(
      settings.indirectProbes,
      probe.slot,
      (slot) => slot !== probe.slot && table.rankOf(slot) === RANK.alive,
    );
    probe.helpers = helpers.map((slot) => table.statementOf(slot).peerId);
    for (const helper of probe.helpers) {
      const updates = this.#context.updates();
      const { sequence, id: target } = probe;
      this.#context.send(helper, 'ping', { type: 'pingRequest', sequence, target, updates });
    }
  }

  #fail(probe: Probe, nowMs: number): void {
    const { awareness, counters } = this.#context;
    this.#probe = null;
    counters.failedProbes++;
    // As memberlist does: with somebody to ask, only the nacks that did not come count against this node, for they must be alive and
    // heard from; with nobody to ask, the failure itself does.
    const helpers = probe.helpers?.length ?? 0;
    awareness.apply(helpers > 0 ? helpers - probe.nacks.size : 1);
    if (this.#isKnown(probe)) this.#context.suspect(probe.slot, probe.incarnation, nowMs);
  }

  #isKnown({ id, slot }: Probe): boolean {
    return this.#context.table.slotOf(id) === slot;
  }

  #tickRelays(nowMs: number): void {
    for (const [sequence, relay] of this.#relays) {
      if (!relay.nacked && nowMs >= relay.nackAtMs) {
        relay.nacked = true;
        this.#context.send(relay.asker, 'ping', { type: 'nack', sequence: relay.askerSequence });
      }
      if (nowMs >= relay.endMs) this.#relays.delete(sequence);
    }
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }
}
