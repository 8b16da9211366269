/** Holders of leases on which keys and locks hang: they renew, stop doing so, come back too late, or give up. */
import type { Random } from '../../../src/testing/random.ts';
import type { LogRules } from '../log-rules.ts';
import { LeaseWatch } from './lease-watch.ts';
import { contradict, thinkMs, type Stage, type Workload } from './workload.ts';

interface Revoked {
  readonly lease: string;
  readonly deleted: number;
  readonly revision: number;
}

export class LeaseHolders implements Workload {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #watch: LeaseWatch;
  readonly #revoked: Revoked[] = [];
  #names = 0;

  constructor(stage: Stage, random: Random) {
    this.#stage = stage;
    this.#random = random;
    this.#watch = new LeaseWatch(stage);
  }

  async run(): Promise<void> {
    const { leases } = this.#stage.plan.coordination;
    await Promise.all(Array.from({ length: leases }, (_, i) => this.#holder(`h${i + 1}`, this.#random.fork())));
  }

  async #holder(name: string, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    while (!this.#stage.stopped) {
      await asking.sleep(thinkMs(this.#stage, dice));
      const ttlMs = dice.pick([1000, 1500, 2500, 5000]);
      const node = dice.pick(asking.cluster.nodes);
      const at = asking.now;
      const { answer } = await asking.ask(
        { what: `${name} wants a lease of ${ttlMs} ms on ${node.name}`, node, timeoutMs: 1000 },
        (running) => running.leases.grant({ ttlMs, owner: { name, life: ++this.#names }, timeoutMs: 1000 }),
      );
      if (answer === null) continue;
      this.#watch.acknowledged(answer.id, at);
      await this.#hold(name, answer.id, ttlMs, dice);
    }
  }

  async #hold(name: string, lease: string, ttlMs: number, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    const renewals = dice.pick([0, 1, 3, 8]);
    await this.#hang(name, lease, dice);
    for (let i = 0; i < renewals && !this.#stage.stopped; i++) {
      // Mostly in time, sometimes at the last moment, sometimes too late.
      await asking.sleep(ttlMs * dice.pick([0.2, 0.33, 0.33, 0.9, 1.02, 1.2]));
      if (!(await this.#watch.renew(name, lease, dice.pick(asking.cluster.nodes), ttlMs / 3))) return;
      if (dice.chance(0.3)) await this.#hang(name, lease, dice);
    }
    if (dice.chance(0.7)) return;
    const node = dice.pick(asking.cluster.nodes);
    const { answer } = await asking.ask(
      { what: `${name} revokes ${lease} on ${node.name}`, node, timeoutMs: 1000 },
      (running) => running.leases.revoke(lease, { timeoutMs: 1000 }),
    );
    if (answer !== null) this.#revoked.push({ lease, ...answer });
  }

  /** Keys, one by one and in a transaction, and a lock. */
  async #hang(name: string, lease: string, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    const node = dice.pick(asking.cluster.nodes);
    const value = `${lease} ${++this.#names}`;
    const timeoutMs = 500;
    const what = `${name} hangs things on ${lease} on ${node.name}`;
    const choice = dice.float();
    await asking.ask({ what, node, timeoutMs }, async (running): Promise<unknown> => {
      if (choice < 0.3) return running.put(`${name}/a`, value, { lease, timeoutMs });
      if (choice < 0.4) return running.put(`${name}/a`, value, { timeoutMs });
      if (choice < 0.5) return running.locks.acquire(`${name} lock`, { lease, timeoutMs });
      if (choice < 0.6) return running.locks.acquire('h lock', { lease, timeoutMs, waitMs: 200 });
      return running.txn(
        {
          then: [
            { put: { key: `${name}/b`, value, lease } },
            { put: { key: `${name}/c`, value, ...(choice < 0.8 ? { lease } : {}) } },
          ],
        },
        { timeoutMs },
      );
    });
  }

  finish(): Promise<void> {
    return this.#watch.finish();
  }

  judge(rules: LogRules): void {
    this.#watch.judge(rules);
    for (const told of this.#revoked) {
      const life = rules.lives.get(told.lease);
      const step = life === undefined || life.endedAt === null ? undefined : rules.steps[life.endedAt];
      const gone = rules.store.changes(told.revision).filter(({ before }) => before?.lease === told.lease).length;
      if (step === undefined || life?.expired === true || (told.deleted > 0 && gone !== told.deleted)) {
        contradict(told, { ...life, gone });
      }
    }
  }
}
