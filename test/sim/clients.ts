/**
 * Clients of a simulated cluster: each has one operation open at a time, on any node, also one that is paused, cut off or gone, and goes on
 * under a new name after one whose outcome is unknown. Every value is written once.
 */
import { KvorumError } from '../../src/errors.ts';
import type { Condition } from '../../src/kv/types.ts';
import type { KvorumNode } from '../../src/node/types.ts';
import type { Random } from '../../src/testing/random.ts';
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { History, type Open } from './history.ts';
import type { Compared } from './judge.ts';
import type { Plan } from './plan.ts';

export interface ClientCounts {
  ok: number;
  failed: number;
  unknown: number;
}

/** A client waits this much longer for a node than the node was asked to take. */
const PATIENCE_MS = 1000;

/** Reads that a client asks for again when all is calm, each with 4 s. */
const LAST_TRIES = 5;

const decoder = new TextDecoder();

export class Clients {
  readonly history = new History();
  readonly counts: ClientCounts = { ok: 0, failed: 0, unknown: 0 };
  readonly #cluster: SimCluster;
  readonly #plan: Plan;
  readonly #log: (line: string) => void;
  #stopped = false;
  #values = 0;

  constructor(cluster: SimCluster, plan: Plan, log: (line: string) => void) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#log = log;
  }

  /** Resolves when all have their last answer. */
  async run(random: Random): Promise<void> {
    const own = Array.from({ length: 8 }, () => random.fork());
    await Promise.all(own.slice(0, this.#plan.clients).map((dice, i) => this.#client(`c${i + 1}`, dice)));
  }

  stop(): void {
    this.#stopped = true;
  }

  async #client(name: string, dice: Random): Promise<void> {
    const { thinkMs, operations } = this.#plan;
    /** By key: what it saw last, to compare with when it writes. */
    const seen = new Map<string, { value: string | null; modRevision: number }>();
    let life = 0;
    for (let i = 0; i < operations && !this.#stopped; i++) {
      await this.#sleep(dice.float() * 2 * thinkMs);
      if (this.#stopped) return;
      const client = life === 0 ? name : `${name}.${life}`;
      const node = dice.pick(this.#cluster.nodes);
      const key = `k${dice.between(1, this.#plan.keys)}`;
      const outcome = await this.#operation(client, node, key, dice, seen);
      this.counts[outcome]++;
      if (outcome === 'unknown') life++;
    }
  }

  async #operation(
    client: string,
    node: SimNode,
    key: string,
    dice: Random,
    seen: Map<string, { value: string | null; modRevision: number }>,
  ): Promise<keyof ClientCounts> {
    const timeoutMs = dice.pick([50, 300, 1000, 4000]);
    const choice = dice.float();
    const value = this.#value(dice);
    const known = seen.get(key);
    if (choice < 0.4) {
      return this.#try(client, node, timeoutMs, 'put', key, value, async (running, open) => {
        const { revision } = await running.put(key, value, { timeoutMs });
        seen.set(key, { value, modRevision: revision });
        open.ok({ revision });
      });
    }
    if (choice < 0.55 && known !== undefined) {
      const { modRevision, value: expected } = known;
      const was = expected === null ? null : nameOf(expected);
      const compared: Compared = { expected: was, revision: modRevision, value: nameOf(value) };
      return this.#try(client, node, timeoutMs, 'cas', key, compared, async (running, open) => {
        try {
          const condition: Condition =
            modRevision === 0 ? { type: 'absent' } : { type: 'modRevision', revision: modRevision };
          const { revision } = await running.put(key, value, { timeoutMs, condition });
          seen.set(key, { value, modRevision: revision });
          open.ok({ revision });
        } catch (error) {
          if (!KvorumError.is(error, 'ERR_CAS_FAILED')) throw error;
          seen.delete(key);
          open.ok(false);
        }
      });
    }
    if (choice < 0.65) {
      return this.#try(client, node, timeoutMs, 'delete', key, null, async (running, open) => {
        const { revision, deleted } = await running.delete(key, { timeoutMs });
        seen.set(key, { value: null, modRevision: 0 });
        open.ok({ revision, deleted: deleted > 0 });
      });
    }
    return this.#try(client, node, timeoutMs, 'get', key, null, (running, open) =>
      this.#read(running, open, key, timeoutMs, seen),
    );
  }

  async #read(
    running: KvorumNode,
    open: Open,
    key: string,
    timeoutMs: number,
    seen: Map<string, { value: string | null; modRevision: number }>,
  ): Promise<void> {
    const { entry, revision } = await running.get(key, { timeoutMs });
    const value = entry === null ? null : nameOf(decoder.decode(entry.value));
    seen.set(key, { value, modRevision: entry?.modRevision ?? 0 });
    open.ok({ value, modRevision: entry?.modRevision ?? 0, revision });
  }

  /** One read of every key on every node that runs, when all is calm. */
  async readAll(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      if (node.state !== 'running') continue;
      for (let k = 1; k <= this.#plan.keys; k++) {
        const key = `k${k}`;
        // Asked again as a client would: one that still waits for a snapshot whose frame was lost takes a while.
        for (let tries = 1; ; tries++) {
          const outcome = await this.#try(`last-${node.name}.${tries}`, node, 4000, 'get', key, null, (running, open) =>
            this.#read(running, open, key, 4000, new Map()),
          );
          if (outcome === 'ok') break;
          if (tries === LAST_TRIES) throw new Error(`${node.name} does not answer a read when all is calm`);
        }
      }
    }
  }

  async #try(
    client: string,
    node: SimNode,
    timeoutMs: number,
    op: string,
    key: string,
    input: unknown,
    action: (running: KvorumNode, open: Open) => Promise<void>,
  ): Promise<keyof ClientCounts> {
    const open = this.history.call(client, op, key, shortened(input));
    const what = `${client} ${op} ${key} on ${node.name}`;
    this.#log(`${what} ${JSON.stringify(shortened(input))}`);
    // What comes after the client has gone does not count any more.
    let gone = false;
    const guarded: Open = {
      ok: (output) => {
        if (!gone) open.ok(output);
      },
      fail: () => {
        if (!gone) open.fail();
      },
    };
    const answered = node
      .call((running) => action(running, guarded))
      .then(
        (): keyof ClientCounts => 'ok',
        (error: unknown): keyof ClientCounts => {
          if (!KvorumError.is(error)) throw error;
          if (error.outcome !== 'none') return 'unknown';
          guarded.fail();
          return 'failed';
        },
      );
    const impatient = this.#sleep(timeoutMs + PATIENCE_MS).then((): keyof ClientCounts => 'unknown');
    const outcome = await Promise.race([answered, impatient]);
    gone = true;
    this.#log(`${what}: ${outcome}`);
    return outcome;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#cluster.time.schedule(ms, resolve));
  }

  #value(dice: Random): string {
    const name = `v${++this.#values}`;
    if (!this.#plan.largeValues || !dice.chance(0.2)) return name;
    return `${name} ${'x'.repeat(dice.pick([200, 2000, 20_000]))}`;
  }
}

/** Values differ in their first word; the rest only weighs. */
function nameOf(value: string): string {
  return value.split(' ', 1)[0] ?? '';
}

function shortened(input: unknown): unknown {
  return typeof input === 'string' ? nameOf(input) : input;
}
