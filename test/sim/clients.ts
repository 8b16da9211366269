/**
 * Clients of a simulated cluster: each has one operation open at a time, on any node, also one that is paused, cut off or gone, and goes on
 * under a new name after one whose outcome is unknown. Every value is written once.
 */
import { KvorumError } from '../../src/errors.ts';
import type { Condition, KvEntry } from '../../src/kv/types.ts';
import type { KvorumNode } from '../../src/node/types.ts';
import type { Random } from '../../src/testing/random.ts';
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Asking, Outcome } from './asking.ts';
import { History, nameOf, type Open, type View } from './history.ts';
import type { Compared } from './judge.ts';
import type { Plan } from './plan.ts';

const BALLAST_WRITES = 40;

/** Reads that a client asks for again when all is calm, each with 4 s. */
const LAST_TRIES = 5;

const decoder = new TextDecoder();

export class Clients {
  readonly history = new History();
  readonly #asking: Asking;
  readonly #cluster: SimCluster;
  readonly #plan: Plan;
  #stopped = false;
  #values = 0;

  constructor(asking: Asking, plan: Plan) {
    this.#asking = asking;
    this.#cluster = asking.cluster;
    this.#plan = plan;
  }

  /** Resolves when all have their last answer. */
  async run(random: Random): Promise<void> {
    const own = Array.from({ length: 8 }, () => random.fork());
    const ballast = random.fork();
    const clients = own.slice(0, this.#plan.clients).map((dice, i) => this.#client(`c${i + 1}`, dice));
    if (this.#plan.ballastBytes > 0) clients.push(this.#ballast(ballast));
    await Promise.all(clients);
  }

  /** Writes what makes the state large: a few keys, again and again. */
  async #ballast(dice: Random): Promise<void> {
    const { ballastBytes, operations, stormMs } = this.#plan;
    for (let i = 0; i < Math.min(operations, BALLAST_WRITES) && !this.#stopped; i++) {
      const value = `v${++this.#values} ${'x'.repeat(ballastBytes)}`;
      const node = dice.pick(this.#cluster.nodes);
      const timeoutMs = 4000;
      await this.#try(`ballast.${i}`, node, timeoutMs, 'put', `b${i % 4}`, value, async (running, open) => {
        const { revision } = await running.put(`b${i % 4}`, value, { timeoutMs });
        open.ok({ revision });
      });
      await this.#sleep((dice.float() * 2 * stormMs) / BALLAST_WRITES);
    }
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
      if (outcome === 'unknown') life++;
    }
  }

  async #operation(
    client: string,
    node: SimNode,
    key: string,
    dice: Random,
    seen: Map<string, { value: string | null; modRevision: number }>,
  ): Promise<Outcome> {
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
    if (choice < 0.87) {
      return this.#try(client, node, timeoutMs, 'get', key, null, (running, open) =>
        this.#read(running, open, key, timeoutMs, seen),
      );
    }
    if (choice < 0.94) return this.#list(client, node, timeoutMs, dice.pick([1, 100]));
    const revision = dice.chance(0.5) || known === undefined || known.modRevision === 0 ? null : known.modRevision;
    return this.#look(client, node, key, timeoutMs, revision);
  }

  /** All keys, as they were at one revision: a read of each. */
  async #list(client: string, node: SimNode, timeoutMs: number, limit: number): Promise<Outcome> {
    const opened = new Map<string, Open>();
    for (let k = 1; k <= this.#plan.keys; k++) {
      opened.set(`k${k}`, this.history.call(`${client}/k${k}`, 'get', `k${k}`, null));
    }
    const all: Open = {
      ok: (output) => {
        const { found, revision } = output as { found: ReadonlyMap<string, KvEntry>; revision: number };
        for (const [key, open] of opened) open.ok(viewOf(found.get(key) ?? null, revision));
      },
      fail: () => {
        for (const open of opened.values()) open.fail();
      },
    };
    return this.#answer(`${client} list on ${node.name}`, node, timeoutMs, all, async (running, open) => {
      const found = new Map<string, KvEntry>();
      const first = await running.list({ prefix: 'k', limit, timeoutMs });
      for (let page = first; ;) {
        for (const entry of page.entries as readonly KvEntry[]) found.set(entry.key, entry);
        if (page.revision !== first.revision) throw new Error(`pages of ${first.revision} and ${page.revision}`);
        if (page.nextCursor === null) break;
        page = await running.list({ cursor: page.nextCursor, limit, timeoutMs });
      }
      open.ok({ found, revision: first.revision });
    });
  }

  /** What this node happens to have, however old; or what was at a revision that this client knows. */
  async #look(
    client: string,
    node: SimNode,
    key: string,
    timeoutMs: number,
    revision: number | null,
  ): Promise<Outcome> {
    const none: Open = { ok: () => {}, fail: () => {} };
    return this.#answer(`${client} look at ${key} on ${node.name}`, node, timeoutMs, none, async (running) => {
      try {
        const options = revision === null ? { consistency: 'stale' as const } : { revision };
        const answer = await running.get(key, { timeoutMs, ...options });
        this.history.views.push({ key, ...viewOf(answer.entry, revision ?? answer.revision) });
      } catch (error) {
        // It has been there, so whoever confirms a read has it.
        if (KvorumError.is(error, 'ERR_FUTURE_REVISION')) throw new Error(error.message, { cause: error });
        throw error;
      }
    });
  }

  async #read(
    running: KvorumNode,
    open: Open,
    key: string,
    timeoutMs: number,
    seen: Map<string, { value: string | null; modRevision: number }>,
  ): Promise<void> {
    const { entry, revision } = await running.get(key, { timeoutMs });
    const view = viewOf(entry, revision);
    seen.set(key, view);
    open.ok(view);
  }

  /** One read of every key on every node that runs, when all is calm. */
  async readAll(): Promise<void> {
    // A wish of the storm may still take a member away; that one stops, and is no node of the cluster any more.
    const gone = (node: SimNode): boolean => !this.#cluster.nodes.includes(node);
    for (const node of [...this.#cluster.nodes]) {
      if (node.state !== 'running') continue;
      for (let k = 1; k <= this.#plan.keys; k++) {
        const key = `k${k}`;
        // Asked again as a client would: one that still waits for a snapshot whose frame was lost takes a while.
        for (let tries = 1; !gone(node); tries++) {
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
  ): Promise<Outcome> {
    const open = this.history.call(client, op, key, shortened(input));
    const what = `${client} ${op} ${key} on ${node.name}`;
    const outcome = await this.#answer(what, node, timeoutMs, open, action, JSON.stringify(shortened(input)));
    if (outcome === 'ok' && op !== 'get') this.#asking.sightings.moment('acknowledged', node);
    return outcome;
  }

  async #answer(
    what: string,
    node: SimNode,
    timeoutMs: number,
    open: Open,
    action: (running: KvorumNode, open: Open) => Promise<void>,
    input = '',
  ): Promise<Outcome> {
    return (await this.#asking.ask({ what, node, timeoutMs, open, input }, action)).outcome;
  }

  #sleep(ms: number): Promise<void> {
    return this.#asking.sleep(ms);
  }

  #value(dice: Random): string {
    const name = `v${++this.#values}`;
    if (!this.#plan.largeValues || !dice.chance(0.2)) return name;
    return `${name} ${'x'.repeat(dice.pick([200, 2000, 20_000]))}`;
  }
}

function viewOf(entry: KvEntry | null, revision: number): Omit<View, 'key'> {
  if (entry === null) return { value: null, modRevision: 0, revision };
  return { value: nameOf(decoder.decode(entry.value)), modRevision: entry.modRevision, revision };
}

function shortened(input: unknown): unknown {
  return typeof input === 'string' ? nameOf(input) : input;
}
