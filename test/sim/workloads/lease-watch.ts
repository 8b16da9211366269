/**
 * What is true of leases in time: none is gone before its TTL has passed since somebody sent a renewal that was acknowledged, by the fastest of the clocks; and
 * when nobody renews it and one leader stays, it goes soon after.
 */
import { KvorumError } from '../../../src/errors.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import type { LogRules } from '../log-rules.ts';
import { clockBounds, contradict, type Stage } from './workload.ts';

/** Beyond the TTL: how often the leader looks, the commit, and what clocks and disks add. */
const LATE_MS = 1000;

interface Sent {
  readonly lease: string;
  /** Virtual milliseconds. */
  readonly at: number;
}

export class LeaseWatch {
  readonly #stage: Stage;
  readonly #acknowledged: Sent[] = [];
  readonly #gone: (Sent & { readonly toldAt: number })[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Granted, or renewed, by what was sent at `at`. */
  acknowledged(lease: string, at: number): void {
    this.#acknowledged.push({ lease, at });
  }

  /** Renews it; false when it is gone. */
  async renew(what: string, lease: string, node: SimNode, timeoutMs: number): Promise<boolean> {
    const { asking } = this.#stage;
    const at = asking.now;
    const { answer, error } = await asking.ask(
      { what: `${what} renews ${lease} on ${node.name}`, node, timeoutMs },
      (running) => running.leases.renew(lease, { timeoutMs }),
    );
    if (answer !== null) this.acknowledged(lease, at);
    if (!KvorumError.is(error, 'ERR_LEASE_NOT_FOUND')) return true;
    this.#gone.push({ lease, at, toldAt: asking.now });
    return false;
  }

  /** When nobody renews any more: all leases end. */
  async finish(): Promise<void> {
    const { asking, observer, plan } = this.#stage;
    const start = asking.now;
    const { slowest } = clockBounds(plan);
    let longest = 0;
    // A lock that is given to one who waits makes that one's lease count anew, after its rest: as long as something ends or is handed over, it goes on.
    let [before, changedAt] = ['', start];
    for (;;) {
      const leader = observer.nodes.find(({ simNode }) => simNode !== null && simNode === asking.cluster.leader);
      const coordinator = leader?.parts?.replica.machine.coordinator;
      const leases = [...(coordinator?.leases.all() ?? [])];
      // A lock that rests is woken by an entry of its own.
      const idle = leases.length === 0 && coordinator?.locks.names('', null, 1).length === 0;
      if (coordinator !== undefined && idle) return;
      const names = coordinator?.locks.names('', null, Infinity) ?? [];
      const now = JSON.stringify([
        leases.map(({ id }) => id),
        names.map((name) => [name, coordinator?.locks.token(name)]),
      ]);
      if (now !== before) [before, changedAt] = [now, asking.now];
      const since = Math.max(changedAt, ...observer.electedAt.values());
      longest = Math.max(longest, ...leases.map(({ ttlMs }) => ttlMs));
      const slack = LATE_MS + 2 * plan.timing.electionTimeoutMs;
      if (asking.now > since + (longest + slack) / slowest) {
        throw new Error(
          `${leases.length} leases live on, ${asking.now - since} ms after all was calm: ${JSON.stringify(leases)}, locks ${coordinator?.locks.names('', null, 9).join(' ')}`,
        );
      }
      await asking.sleep(20);
    }
  }

  judge(rules: LogRules): void {
    const { fastest } = clockBounds(this.#stage.plan);
    for (const sent of this.#acknowledged) {
      const life = rules.lives.get(sent.lease);
      if (life === undefined) contradict(sent, 'there was no such lease');
      const ended = life.endedAt === null ? undefined : rules.steps[life.endedAt];
      if (!life.expired || ended === undefined) continue;
      if (ended.at < sent.at + life.ttlMs / fastest) contradict(sent, { expiredAt: ended.at, ...life });
    }
    for (const told of this.#gone) {
      const life = rules.lives.get(told.lease);
      const ended = life === undefined || life.endedAt === null ? undefined : rules.steps[life.endedAt];
      if (life === undefined || ended === undefined || ended.at > told.toldAt)
        contradict({ ...told, gone: true }, life);
    }
  }
}
