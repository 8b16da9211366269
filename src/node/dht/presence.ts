/** What a node publishes of itself: `node/<id>`, and that it has a replica. The core publishes it again until the node goes. */
import { KvorumError } from '../../errors.ts';
import type { NodeCard } from '../dht-types.ts';
import type { Environment } from '../env.ts';
import type { Logger } from '../types.ts';
import { encodeCard } from './card.ts';
import type { DhtDriver, Finding } from './driver.ts';

export interface PresenceOptions {
  readonly env: Pick<Environment, 'after'>;
  readonly driver: DhtDriver;
  readonly logger: Logger;
  /** As of now. */
  readonly card: () => NodeCard;
  /** Whether it has a replica of the group. */
  readonly provides: () => boolean;
  readonly group: number;
}

/** Several changes in a row are one. */
const SETTLE_MS = 200;
/** Nobody was there to keep it. Later than after so many times the core tries again by itself, once a minute. */
const RETRY_MS = 5000;
const MAX_RETRIES = 6;

export class Presence {
  readonly #options: PresenceOptions;
  /** What was published last, as text. */
  #told = '';
  #isProvider = false;
  #cancel: (() => void) | null = null;
  #retries = 0;
  #left = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** What it says of itself may be something else by now. */
  changed(): void {
    if (this.#left || this.#cancel !== null || this.#text() === this.#told) return;
    this.#retries = 0;
    this.#publishAfter(SETTLE_MS);
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
