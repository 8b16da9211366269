/**
 * Statements to be passed on, as memberlist's TransmitLimitedQueue: those sent least often first, of those the newest; each
 * so many times and no more (SWIM §4.1). One for each member: what is newly said of it takes the place of what was said before. So the table bounds it.
 */
import { statementBytes } from './statement.ts';
import type { Statement } from './types.ts';

interface Broadcast {
  readonly slot: number;
  readonly statement: Statement;
  readonly bytes: number;
  transmits: number;
  /** Another took its place. */
  replaced: boolean;
}

/** So many that do not fit are passed over, then the message goes as it is. */
const MAX_MISFITS = 8;

export class Broadcasts {
  readonly #messageBytes: number;
  readonly #bySlot = new Map<number, Broadcast>();
  /** By how often they were sent; in the order in which they came there. Those that were replaced lie there until they are met. */
  readonly #tiers: Broadcast[][] = [];
  // Of one call of `take`, and empty in between.
  readonly #sent: Broadcast[] = [];
  readonly #misfits: Broadcast[] = [];

  /** `messageBytes`: what there is room for in a message that holds nothing else. */
  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes;
  }

  get size(): number {
    return this.#bySlot.size;
  }

  /** With those that were replaced and are not met yet: what it takes in memory. */
  get held(): number {
    return this.#tiers.reduce((sum, { length }) => sum + length, 0);
  }

  put(slot: number, statement: Statement): void {
    this.delete(slot);
    const broadcast = { slot, statement, bytes: statementBytes(statement), transmits: 0, replaced: false };
    this.#bySlot.set(slot, broadcast);
    this.#tier(0).push(broadcast);
  }

  delete(slot: number): void {
    const old = this.#bySlot.get(slot);
    if (old === undefined) return;
    old.replaced = true;
    this.#bySlot.delete(slot);
    // Without this the replaced ones of a tier that is never reached would stay for ever.
    const tier = this.#tiers[old.transmits];
    if (tier !== undefined && tier.length > 2 * this.#bySlot.size + 16) {
      this.#tiers[old.transmits] = tier.filter((broadcast) => !broadcast.replaced);
    }
  }

  /** Adds to `into` what fits; each may be sent `limit` times. */
  take(into: Statement[], bytes: number, maxStatements: number, limit: number): void {
    if (this.#bySlot.size === 0) return;
    let left = bytes;
    const tiers = this.#tiers;
    const sent = this.#sent;
    const misfits = this.#misfits;
    for (let i = 0; i < tiers.length && left > 0 && into.length < maxStatements; i++) {
      const tier = tiers[i] as Broadcast[];
      while (tier.length > 0 && into.length < maxStatements && misfits.length < MAX_MISFITS) {
        const broadcast = tier.pop() as Broadcast;
        if (broadcast.replaced) continue;
        // One that fits into no message has one to itself.
        const alone = into.length === 0 && broadcast.bytes > this.#messageBytes;
        if (broadcast.bytes > left && !alone) {
          misfits.push(broadcast);
          continue;
        }
        left -= broadcast.bytes;
        into.push(broadcast.statement);
        sent.push(broadcast);
      }
      while (misfits.length > 0) tier.push(misfits.pop() as Broadcast);
    }
    // In the order of their age, and only now: none is sent twice in one message.
    while (sent.length > 0) {
      const broadcast = sent.pop() as Broadcast;
      broadcast.transmits++;
      if (broadcast.transmits >= limit) this.#bySlot.delete(broadcast.slot);
      else this.#tier(broadcast.transmits).push(broadcast);
    }
  }

  #tier(transmits: number): Broadcast[] {
    while (this.#tiers.length <= transmits) this.#tiers.push([]);
    return this.#tiers[transmits] as Broadcast[];
  }
}
