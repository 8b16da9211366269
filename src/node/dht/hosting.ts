/** Instances of services that this node hosts: one provider record a service, which tells of all of them, published until the last one goes. */
import { Buffer } from 'node:buffer';
import { KvorumError } from '../../errors.ts';
import type { Environment } from '../env.ts';
import type { Logger } from '../types.ts';
import type { DhtDriver } from './driver.ts';
import { MAX_BODY_BYTES } from './envelope.ts';

export interface HostingOptions {
  readonly env: Pick<Environment, 'after' | 'now'>;
  readonly driver: Pick<DhtDriver, 'publish' | 'retract'>;
  readonly logger: Logger;
}

/** What an instance says of itself: a JSON object. */
export type Said = Readonly<Record<string, unknown>>;

/** Several changes in a row are one: checks may come and go with the wind. */
const SETTLE_MS = 500;
/** Between two publications of a service, of which each is a search and twenty messages. */
const REST_MS = 5000;
const MAX_SERVICES = 256;
const MAX_INSTANCES = 256;

interface Hosted {
  readonly instances: Map<string, Said>;
  /** Ends the wait before it is published; null: it is. */
  cancel: (() => void) | null;
  published: boolean;
  /** When it may be again. */
  readyMs: number;
}

export class Hosting {
  readonly #options: HostingOptions;
  readonly #services = new Map<string, Hosted>();
  #closed = false;

  constructor(options: HostingOptions) {
    this.#options = options;
  }

  /** Services with an instance here. */
  get size(): number {
    return this.#services.size;
  }

  /** Null: it is not hosted here any more. Throws ERR_OVERLOADED for more than a node tells of. */
  host(service: string, instance: string, said: Said | null): void {
    if (this.#closed) return;
    const hosted = this.#services.get(service) ?? {
      instances: new Map<string, Said>(),
      cancel: null,
      published: false,
      readyMs: 0,
    };
    if (said === null) {
      if (!hosted.instances.delete(instance)) return;
    } else {
      const isNew = !hosted.instances.has(instance);
      const isFull = hosted.instances.size >= MAX_INSTANCES || (isNew && this.#isFull(service));
      if (isNew && isFull) throw new KvorumError('ERR_OVERLOADED', 'this node hosts more than it can tell of');
      hosted.instances.set(instance, said);
    }
    this.#services.set(service, hosted);
    const { env } = this.#options;
    hosted.cancel ??= env.after(Math.max(SETTLE_MS, hosted.readyMs - env.now()), () => {
      hosted.cancel = null;
      hosted.readyMs = env.now() + REST_MS;
      this.#publish(service, hosted).catch((error: unknown) => this.#failed(service, error));
    });
  }

  /** Nothing is hosted here any more, and others are told within that time. */
  async leave(timeoutMs: number): Promise<void> {
    const published = [...this.#services].filter(([, hosted]) => hosted.published).map(([service]) => service);
    this.close();
    const { driver, env } = this.#options;
    const ended = new AbortController();
    const cancel = env.after(timeoutMs, () => ended.abort());
    const query = { timeoutMs: Math.ceil(timeoutMs / 4), signal: ended.signal };
    // A few at a time: what is not told expires in half an hour.
    const retracting = published.slice(0, 32).map((service) => driver.retract(`service/${service}`, query));
    for (const result of await Promise.allSettled(retracting)) {
      if (result.status === 'rejected' && !ended.signal.aborted) this.#failed('', result.reason);
    }
    cancel();
  }

  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#services.values()) cancel?.();
    this.#services.clear();
  }

  #isFull(service: string): boolean {
    return this.#services.size >= MAX_SERVICES && !this.#services.has(service);
  }

  async #publish(service: string, hosted: Hosted): Promise<void> {
    const { driver } = this.#options;
    const name = `service/${service}`;
    if (hosted.instances.size > 0) {
      hosted.published = true;
      await driver.publish('provide', { name, body: bodyOf(hosted.instances), republish: true });
      return;
    }
    this.#services.delete(service);
    if (hosted.published) await driver.retract(name);
  }

  #failed(service: string, error: unknown): void {
    if (KvorumError.is(error, 'ERR_CLOSED')) return;
    this.#options.logger.warn({ service, err: error }, 'the DHT could not be told which instances this node hosts');
  }
}

/** A JSON list of as many as a record holds: without their metadata where that is too much. */
function bodyOf(instances: ReadonlyMap<string, Said>): Uint8Array {
  let list = [...instances].map(([instance, said]) => ({ ...said, instance }));
  let body = Buffer.from(JSON.stringify(list), 'utf8');
  if (body.length > MAX_BODY_BYTES) {
    list = list.map((said) => ({ ...said, metadata: {} }));
    body = Buffer.from(JSON.stringify(list), 'utf8');
  }
  while (body.length > MAX_BODY_BYTES && list.length > 0) {
    list = list.slice(0, -1);
    body = Buffer.from(JSON.stringify(list), 'utf8');
  }
  return body;
}
