/**
 * Peers that are not where they were: who cannot be reached at the addresses that are known is looked up in the DHT, under `node/<id>`, and dialled where it says. Nothing but
 * dialling follows from that: who is a member is Raft's to say, and a link is let in by what the peer proves.
 */
import { KvorumError } from '../../errors.ts';
import type { NodeId } from '../../raft/types.ts';
import type { Environment } from '../env.ts';
import type { LinkPool } from '../links.ts';
import type { Logger } from '../types.ts';
import { decodeCard } from './card.ts';
import type { DhtDriver } from './driver.ts';
import { decodeEnvelope } from './envelope.ts';

export interface MovedPeersOptions {
  readonly env: Pick<Environment, 'now'>;
  readonly driver: Pick<DhtDriver, 'get' | 'stats'>;
  readonly links: Pick<LinkPool, 'redirect'>;
  readonly isAgent: (id: NodeId) => boolean;
  /** Whether it may be looked up now. */
  readonly mayLook: (id: NodeId) => boolean;
  readonly logger: Logger;
}

/** A peer is looked up no more often; each time in vain twice as long passes, up to the second. Gossip asks for the dead for ever. */
const LOOK_EVERY_MS = 10_000;
const MAX_LOOK_EVERY_MS = 3_600_000;
const LOOK_TIMEOUT_MS = 5000;
/** Of agents, of which there may be many, one is looked up in so long: each of them is linked with members by itself. */
const AGENT_EVERY_MS = 30_000;
/** When a part of the network is gone, or this process is too slow to reach anybody in time, a look-up more is of no use, and each dials many. */
const MAX_LOOKS = 1;
const MAX_REMEMBERED = 1024;

export class MovedPeers {
  readonly #options: MovedPeersOptions;
  /** When each was looked up last, the longest ago first. */
  readonly #looked = new Map<NodeId, { readonly atMs: number; readonly waitMs: number }>();
  #looking = 0;
  /** Not before is another agent looked up. */
  #agentMs = -Infinity;
  #found = 0;

  constructor(options: MovedPeersOptions) {
    this.#options = options;
  }

  /** Peers that were dialled at an address that the DHT told. */
  get found(): number {
    return this.#found;
  }

  /** It does not answer at any of the addresses that were tried. */
  look(id: NodeId, tried: readonly string[]): void {
    const { driver, env, isAgent, mayLook } = this.#options;
    const now = env.now();
    const last = this.#looked.get(id);
    if (!mayLook(id) || (isAgent(id) && now < this.#agentMs)) return;
    if (this.#looking >= MAX_LOOKS || (last !== undefined && now - last.atMs < last.waitMs)) return;
    // With nobody to ask, asking only dials them all.
    if (!driver.stats().joined) return;
    if (isAgent(id)) this.#agentMs = now + AGENT_EVERY_MS;
    this.#looked.delete(id);
    const waitMs = last === undefined ? LOOK_EVERY_MS : Math.min(2 * last.waitMs, MAX_LOOK_EVERY_MS);
    this.#looked.set(id, { atMs: now, waitMs });
    if (this.#looked.size > MAX_REMEMBERED) {
      const [oldest] = this.#looked.keys();
      if (oldest !== undefined) this.#looked.delete(oldest);
    }
    this.#looking++;
    this.#look(id, tried)
      .catch((error: unknown) => {
        if (KvorumError.is(error, 'ERR_CLOSED') || KvorumError.is(error, 'ERR_OVERLOADED')) return;
        this.#options.logger.warn({ peer: id, err: error }, 'a peer could not be looked up in the DHT');
      })
      .finally(() => {
        this.#looking--;
      });
  }

  /** It is there. */
  linked(id: NodeId): void {
    this.#looked.delete(id);
  }

  async #look(id: NodeId, tried: readonly string[]): Promise<void> {
    const { driver, links, logger } = this.#options;
    const { result } = await driver.get(`node/${id}`, { timeoutMs: LOOK_TIMEOUT_MS });
    const [record] = result.records;
    const envelope = record === undefined ? null : decodeEnvelope(record.value);
    const card = envelope === null ? null : decodeCard(envelope.body);
    const addresses = card?.addresses.filter((address) => !tried.includes(address)) ?? [];
    if (addresses.length === 0 || !links.redirect(id, addresses)) return;
    this.#found++;
    logger.info({ peer: card?.name, id, addresses }, 'a peer has moved: it is dialled where the DHT says that it is');
  }
}
