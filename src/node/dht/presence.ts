/** What a node publishes of itself: `node/<id>`, and that it has a replica. The core publishes it again until the node goes. */
import { KvorumError } from '../../errors.ts';
import type { NodeCard } from '../dht-types.ts';
import type { Environment } from '../env.ts';
import type { Logger } from '../types.ts';
import { encodeCard } from './card.ts';
import type { DhtDriver, Finding } from './driver.ts';

export interface PresenceOptions {
  readonly env: Pick<Environment, 'after' | 'random'>;
  readonly driver: DhtDriver;
  /** Peers that are known. */
  readonly peers: () => number;
  readonly logger: Logger;
  /** As of now. */
  readonly card: () => NodeCard;
  /** Whether it has a replica of the group. */
  readonly provides: () => boolean;
  readonly group: number;
}

/** Several changes in a row are one. */
const SETTLE_MS = 200;
/**
 * What a node without a replica says of itself is needed by few, and seldom, and to publish it makes links to some twenty others, or forty: so many that start together take
 * a second each. Of a few each is linked with all the others anyway.
 */
const SPREAD_MS = 1000;
const FEW_PEERS = 20;
/** Nobody was there to keep it. Later than after so many times the core tries again by itself, once a minute. */
const RETRY_MS = 5000;
const MAX_RETRIES = 6;

export class Presence {
  readonly #options: PresenceOptions;
  /** What was published last, as text. */
  #told = '';
  #isProvider = false;
  #cancel: (() => void) | null = null;
  /** It waits for longer than it takes to settle. */
  #isSpread = false;
  #retries = 0;
  #left = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** What it says of itself may be something else by now. */
  changed(): void {
    if (this.#left || this.#text() === this.#told) return;
    const { env, peers, provides } = this.#options;
    const isUrgent = provides() || this.#isProvider;
    const spreadMs = isUrgent ? 0 : env.random() * Math.max(0, peers() - FEW_PEERS) * SPREAD_MS;
    if (this.#cancel !== null) {
      if (!isUrgent || !this.#isSpread) return;
      this.#cancel();
    }
    this.#retries = 0;
    this.#publishAfter(SETTLE_MS + spreadMs);
    this.#isSpread = spreadMs > 0;
  }

  /**
   * Others are told that there is no replica here any more; where the node was is of use to those who look for it. Resolves when they have been told, or the time is over: the
   * record expires in half an hour anyway.
   */
  async leave(timeoutMs: number): Promise<void> {
    this.close();
    if (!this.#isProvider) return;
    this.#isProvider = false;
    const { driver, env } = this.#options;
    const ended = new AbortController();
    const cancel = env.after(timeoutMs, () => ended.abort());
    try {
      // Who does not answer at once is not waited for.
      await driver.retract(this.#groupName, { timeoutMs: Math.ceil(timeoutMs / 4), signal: ended.signal });
    } catch (error) {
      if (!ended.signal.aborted) this.#failed(error);
    } finally {
      cancel();
    }
  }

  close(): void {
    this.#left = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  get #groupName(): string {
    return `group/${this.#options.group}`;
  }

  #text(): string {
    const { card, provides } = this.#options;
    return JSON.stringify([card(), provides()]);
  }

  #publishAfter(delayMs: number): void {
    this.#isSpread = false;
    this.#cancel = this.#options.env.after(delayMs, () => {
      this.#cancel = null;
      const told = this.#text();
      this.#told = told;
      this.#publish().then(
        (findings) => {
          if (findings.some(({ result }) => result.outcome === 'alone')) this.#retry();
        },
        (error: unknown) => this.#failed(error),
      );
    });
  }

  #publish(): Promise<Finding[]> {
    const { card, driver, provides } = this.#options;
    const said = card();
    const body = encodeCard(said);
    const publishing = [driver.publish('put', { name: `node/${said.id}`, body, republish: true })];
    if (provides()) publishing.push(driver.publish('provide', { name: this.#groupName, body, republish: true }));
    else if (this.#isProvider) publishing.push(driver.retract(this.#groupName));
    this.#isProvider = provides();
    return Promise.all(publishing);
  }

  #failed(error: unknown): void {
    if (KvorumError.is(error, 'ERR_CLOSED')) return;
    const { logger } = this.#options;
    logger.warn({ err: error }, 'what this node says of itself could not be published in the DHT');
    this.#retry();
  }

  #retry(): void {
    if (this.#left || this.#cancel !== null || this.#retries >= MAX_RETRIES) return;
    this.#retries++;
    this.#publishAfter(RETRY_MS);
  }
}
