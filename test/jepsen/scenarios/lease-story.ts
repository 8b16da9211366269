/** A key on a lease, and what is seen of it: whether it went before its time, and how late. */
import { PersistentClient, type Request } from '../persistent-client.ts';
import type { LabNode } from '../types.ts';
import type { Stage } from './stage.ts';

const POLL_MS = 25;

/** A lease ends at most so late while the leader is stable. */
export const EXPIRY_DELAY_MS = 1000;
/** Of what is measured here: a look takes time, and the machine is busy. */
export const MEASURING_MS = 1000;

export class LeaseStory {
  readonly id: string;
  readonly key: string;
  readonly ttlMs: number;
  /** When the renewal that was acknowledged last was sent, and when that was answered; of performance.now(). */
  sentMs: number;
  answeredMs: number;
  renewals = 0;
  readonly #stage: Stage;
  readonly #client: PersistentClient;

  private constructor(stage: Stage, client: PersistentClient, id: string, key: string, ttlMs: number, sentMs: number) {
    this.#stage = stage;
    this.#client = client;
    this.id = id;
    this.key = key;
    this.ttlMs = ttlMs;
    this.sentMs = sentMs;
    this.answeredMs = performance.now();
  }

  static async begin(stage: Stage, key: string, ttlMs: number): Promise<LeaseStory> {
    const client = new PersistentClient(stage.lab.nodes);
    const node = await stage.leader();
    const sentMs = performance.now();
    const grant = { method: 'POST', path: '/v1/leases', json: { ttl: ttlMs } } as const;
    const granted = await client.insist(node, grant, stage.lab.signal);
    if (granted.type !== 'told') throw new Error(`no lease: ${granted.error}`);
    const id = String(granted.body['id']);
    const story = new LeaseStory(stage, client, id, key, ttlMs, sentMs);
    const put: Request = { method: 'PUT', path: `/v1/kv/${key}?lease=${id}`, text: id };
    const written = await client.insist(node, put, stage.lab.signal);
    if (written.type !== 'told') throw new Error(`${key} was not written: ${written.error}`);
    return story;
  }

  /** One attempt; true when it was acknowledged. A lease that has ended before its time breaks a promise. */
  async renew(node: LabNode): Promise<boolean> {
    const sentMs = performance.now();
    const request: Request = { method: 'POST', path: `/v1/leases/${this.id}/renew`, answers: ['ERR_LEASE_NOT_FOUND'] };
    const answer = await this.#client.ask(node, request, this.#stage.lab.signal);
    if (answer.type !== 'told') return false;
    if (answer.code !== null) {
      this.mustBeOver('a renewal was refused');
      return false;
    }
    this.renewals++;
    this.sentMs = Math.max(this.sentMs, sentMs);
    this.answeredMs = performance.now();
    return true;
  }

  /** Asks several at once, so that one that hangs keeps nobody waiting. */
  async renewAnywhere(): Promise<boolean> {
    const awake = this.#stage.lab.nodes.filter((node) => node.alive && !node.paused);
    const renewals = awake.map(async (node) => {
      if (!(await this.renew(node))) throw new Error(`${node.name} did not renew it`);
    });
    return await Promise.any(renewals).then(
      () => true,
      () => false,
    );
  }

  /** Null: not answered. Linearizable, so any node may be asked that is not cut off. */
  async isThere(node: LabNode): Promise<boolean | null> {
    const request: Request = { method: 'GET', path: `/v1/kv/${this.key}`, answers: ['ERR_KEY_NOT_FOUND'] };
    const answer = await this.#client.ask(node, request, this.#stage.lab.signal);
    return answer.type === 'told' ? answer.code === null : null;
  }

  /** What the leader counts: milliseconds. */
  async remainingMs(node: LabNode): Promise<number | null> {
    const request: Request = { method: 'GET', path: `/v1/leases/${this.id}`, answers: ['ERR_LEASE_NOT_FOUND'] };
    const answer = await this.#client.ask(node, request, this.#stage.lab.signal);
    return answer.type === 'told' && answer.code === null ? Number(answer.body['remainingMs']) : null;
  }

  /** Looks until it is gone. When that was seen; null when it is not within the time. */
  async gone(node: LabNode, withinMs: number): Promise<number | null> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const there = await this.isThere(node);
      if (there === false) {
        this.mustBeOver(`${this.key} is gone`);
        return performance.now();
      }
      if (performance.now() > deadline) return null;
      await this.#stage.pause(POLL_MS);
    }
  }

  /** Now: its TTL has passed since the last acknowledged renewal was sent. Says so only when it has not. */
  mustBeOver(what: string): void {
    const earlyMs = this.sentMs + this.ttlMs - performance.now();
    if (earlyMs > 0) this.#stage.must(false, `${this.key}: ${what} ${Math.ceil(earlyMs)} ms before its time`);
  }
}
