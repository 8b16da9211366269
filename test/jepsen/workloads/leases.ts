/**
 * Keys that hang on leases whose owners renew them for a while, at any node, and stop, or revoke them. None is gone before its
 * time, whatever becomes of leaders, nodes and clocks; and when all is healed, all that is left goes in its time.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { KvorumError, type Lease } from '../../../src/client/index.ts';
import type { Operation } from '../../../src/checker/index.ts';
import { LibraryClients, outcomeOf } from '../library-clients.ts';
import { PersistentClient, type Request, type Told } from '../persistent-client.ts';
import type { ActingWorkload, LabNode, Scene } from '../types.ts';
import { ContractError } from '../witness.ts';
import { leased } from './lease-model.ts';

const LIBRARY_CLIENTS = 2;
const TTLS_MS = [1000, 2000, 4000] as const;
const MAX_RENEWALS = 8;
const POLL_MS = 150;
/** A lease ends at most 1 s late while the leader is stable; what is more is for a busy machine. */
const LATE_MS = 1000;
const SLACK_MS = 3000;
/** A leader that is new counts from its election. */
const MAX_EXTENSIONS = 3;

type OperationTimes = Omit<Operation, 'client' | 'key'>;

export function leases(): ActingWorkload {
  return new Leases();
}

class Leases implements ActingWorkload {
  readonly name = 'leases';
  readonly about = 'keys on leases that are renewed at any node, then left or revoked: never gone early';
  readonly model = leased;
  /** A key is one lease's. */
  readonly operationsPerKey = 1;
  readonly keysAtOnce = 1;
  #library: LibraryClients | null = null;
  #persistent: PersistentClient | null = null;
  #lives = 0;
  readonly #latestMs: number[] = [];

  async open({ nodes }: Scene): Promise<void> {
    this.#library = new LibraryClients(nodes, LIBRARY_CLIENTS);
    this.#persistent = new PersistentClient(nodes);
    return await Promise.resolve();
  }

  async act(scene: Scene, actor: number): Promise<void> {
    while (await scene.pace()) {
      const key = scene.takeKey().name;
      await (actor % 3 === 2 ? this.#liveByLibrary(scene, actor, key) : this.#liveByHttp(scene, key));
      this.#lives++;
    }
  }

  figures(operations: readonly Operation[]): string {
    const renewals = operations.filter(
      ({ op, output, return: returned }) => op === 'renew' && returned !== null && output === true,
    );
    const latest =
      this.#latestMs.length === 0 ? 'nobody was waited for' : `at most ${Math.max(...this.#latestMs)} ms late`;
    return `${this.#lives} leases, ${renewals.length} renewals acknowledged, none ended before its time; when all was healed ${this.#latestMs.length} ended ${latest}`;
  }

  async close(): Promise<void> {
    await this.#library?.close();
  }

  async #liveByHttp(scene: Scene, key: string): Promise<void> {
    const { chance } = scene;
    const life = this.#life(scene, key);
    const ttlMs = chance.pick(TTLS_MS);
    const granted = await life.does('grant', ttlMs, { method: 'POST', path: '/v1/leases', json: { ttl: ttlMs } }, true);
    if (granted === null) return;
    const id = String(granted.body['id']);
    if ((await life.put(id)) !== true) return;
    const renewals = chance.between(0, MAX_RENEWALS);
    const everyMs = ttlMs * (0.2 + 0.6 * chance.float());
    for (let renewal = 0; renewal < renewals && !scene.stopping.aborted; renewal++) {
      await delay(everyMs / 2);
      await life.read();
      await delay(everyMs / 2);
      const renew: Request = { method: 'POST', path: `/v1/leases/${id}/renew`, answers: ['ERR_LEASE_NOT_FOUND'] };
      const renewed = await life.does('renew', null, renew, false);
      if (renewed !== null && renewed.code !== null) break;
    }
    if (chance.chance(0.15)) {
      await life.does(
        'revoke',
        null,
        { method: 'DELETE', path: `/v1/leases/${id}`, answers: ['ERR_LEASE_NOT_FOUND'] },
        true,
      );
    }
    await this.#untilGone(scene, life, ttlMs);
  }

  /** The library renews by itself, and vouches. */
  async #liveByLibrary(scene: Scene, actor: number, key: string): Promise<void> {
    const { chance, giveUp } = scene;
    const life = this.#life(scene, key);
    const ttlMs = chance.pick(TTLS_MS);
    const call = scene.nowUs();
    let lease: Lease;
    try {
      if (this.#library === null) throw new Error('unreachable: the workload was opened');
      lease = await this.#library.of(actor).lease({ ttl: ttlMs, signal: giveUp });
    } catch (error) {
      const { type, error: why } = outcomeOf(error, 'a lease', giveUp);
      life.record(
        { op: 'grant', input: ttlMs, output: null, call, return: null, ...(type === 'fail' ? { fail: true } : {}) },
        why,
      );
      return;
    }
    life.record({ op: 'grant', input: ttlMs, output: lease.id, call, return: scene.nowUs() });
    if ((await life.put(lease.id)) === true) {
      for (let look = chance.between(2, 12); look > 0 && !scene.stopping.aborted; look--) {
        await delay((ttlMs / 3) * chance.float());
        await life.read();
        try {
          const at = scene.nowUs();
          lease.guard();
          life.record({ op: 'guard', input: null, output: null, call: at, return: at });
        } catch (error) {
          if (!KvorumError.is(error, 'ERR_LEASE_NOT_FOUND')) throw error;
          break;
        }
      }
    }
    // Closing revokes it.
    const at = scene.nowUs();
    await lease.close();
    life.record({ op: 'revoke', input: null, output: null, call: at, return: scene.nowUs() });
    await this.#untilGone(scene, life, ttlMs);
  }

  /** Under faults without a bound; when all is healed, in its time. */
  async #untilGone(scene: Scene, life: Life, ttlMs: number): Promise<void> {
    const leftUs = scene.nowUs();
    let sinceUs = leftUs;
    let wasStopping = scene.stopping.aborted;
    let term = life.term;
    let extensions = 0;
    for (;;) {
      if (scene.giveUp.aborted) return;
      const there = await life.read();
      if (there === false) break;
      const now = scene.nowUs();
      if (!wasStopping && scene.stopping.aborted) {
        wasStopping = true;
        sinceUs = now;
      }
      if (wasStopping && life.term !== term && extensions++ < MAX_EXTENSIONS) sinceUs = now;
      term = life.term;
      const lateMs = (now - sinceUs) / 1000 - ttlMs;
      if (wasStopping && lateMs > LATE_MS + SLACK_MS) {
        throw new ContractError(
          `${life.key} is still there ${Math.round(lateMs)} ms after its lease should have ended`,
        );
      }
      await delay(POLL_MS);
    }
    if (wasStopping) this.#latestMs.push(Math.max(0, Math.round((scene.nowUs() - sinceUs) / 1000 - ttlMs)));
  }

  #life(scene: Scene, key: string): Life {
    if (this.#persistent === null) throw new Error('unreachable: the workload was opened');
    return new Life(scene, this.#persistent, key);
  }
}

/** One lease with its key. */
class Life {
  readonly key: string;
  /** Of the last answer. */
  term: string | null = null;
  readonly #scene: Scene;
  readonly #client: PersistentClient;
  #name: number;

  constructor(scene: Scene, client: PersistentClient, key: string) {
    this.#scene = scene;
    this.#client = client;
    this.key = key;
    this.#name = scene.newClient();
  }

  record(operation: OperationTimes, error?: string): void {
    this.#scene.record({ client: this.#name, key: this.key, ...operation }, error);
    if (operation.return === null) this.#name = this.#scene.newClient();
  }

  /** Null when it was not answered. What fails for certain is recorded as that. */
  async does(op: string, input: unknown, request: Request, insists: boolean): Promise<Told | null> {
    const { giveUp, nodes, chance } = this.#scene;
    const target: LabNode = chance.pick(nodes);
    const call = this.#scene.nowUs();
    const answer = insists
      ? await this.#client.insist(target, request, giveUp)
      : await this.#client.ask(target, request, giveUp);
    if (answer.type !== 'told') {
      const fail = answer.type === 'fail' ? { fail: true } : {};
      this.record({ op, input, output: null, call, return: null, ...fail }, answer.error);
      return null;
    }
    const term = answer.headers['x-raft-term'];
    this.term = typeof term === 'string' ? term : null;
    const output = op === 'grant' ? answer.body['id'] : answer.code === null;
    this.record({ op, input, output, call, return: this.#scene.nowUs() });
    return answer;
  }

  /** Null: nobody knows. */
  async put(lease: string): Promise<boolean | null> {
    const path = `/v1/kv/${this.key}?lease=${lease}`;
    const answer = await this.does(
      'put',
      null,
      { method: 'PUT', path, text: lease, answers: ['ERR_LEASE_NOT_FOUND'] },
      true,
    );
    return answer === null ? null : answer.code === null;
  }

  /** Null: not answered. */
  async read(): Promise<boolean | null> {
    const request: Request = { method: 'GET', path: `/v1/kv/${this.key}`, answers: ['ERR_KEY_NOT_FOUND'] };
    const answer = await this.does('read', null, request, false);
    return answer === null ? null : answer.code === null;
  }
}
