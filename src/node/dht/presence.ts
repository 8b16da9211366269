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
  /** This process does what it has to in time. */
  readonly isWell: () => boolean;
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
 * What a node without a replica says of itself is needed by few, and seldom, and to publish it makes links to some twenty others, or forty. So many that start together take a second each, and none
 * does it while it is slow itself. Of a few peers each is linked with all the others anyway.
 */
const SPREAD_MS = 1000;
const FEW_PEERS = 20;
const PUT_OFF_MS = 5000;
const MAX_PUT_OFFS = 60;
/** Nobody was there to keep it. Later than after so many times the core tries again by itself, once a minute. */
const RETRY_MS = 5000;
const MAX_RETRIES = 6;

export class Presence {
  readonly #options: PresenceOptions;
  /** What was published last, as text. */
  #told = '';
  #isProvider = false;
  #cancel: (() => void) | null = null;
  /** It waits for its place among many, or until this process is well. */
  #isPutOff = false;
  #retries = 0;
  #left = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** What it says of itself may be something else by now. */
  changed(): void {
    if (this.#left || this.#text() === this.#told) return;
    if (this.#cancel !== null) {
      if (!this.#isUrgent || !this.#isPutOff) return;
      this.#cancel();
    }
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
    this.#isPutOff = false;
    this.#cancel = this.#options.env.after(delayMs, () => this.#publishOr(0));
  }

  /** Who has a replica, or has it no more, says so at once. */
  get #isUrgent(): boolean {
    return this.#isProvider || this.#options.provides();
  }

  /** Publishes, or puts it off, which was done so often already. */
  #publishOr(putOffs: number): void {
    const { env, isWell, peers } = this.#options;
    if (this.#isUrgent || putOffs >= MAX_PUT_OFFS) return this.#publishNow();
    // Who came just now knows few of those that there are, and not yet how it is itself.
    const others = putOffs === 1 ? Math.max(0, peers() - FEW_PEERS) : 0;
    if (putOffs > 0 && others === 0 && isWell()) return this.#publishNow();
    const delayMs = others === 0 ? PUT_OFF_MS : env.random() * others * SPREAD_MS;
    this.#isPutOff = true;
    this.#cancel = env.after(delayMs, () => this.#publishOr(putOffs + 1));
  }

  #publishNow(): void {
    this.#cancel = null;
    this.#isPutOff = false;
    this.#told = this.#text();
    this.#publish().then(
      (findings) => {
        if (findings.some(({ result }) => result.outcome === 'alone')) this.#retry();
      },
      (error: unknown) => this.#failed(error),
    );
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
