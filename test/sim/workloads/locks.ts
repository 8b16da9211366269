/**
 * Locks with what they guard: a resource that refuses tokens smaller than one it has seen. Holders wait in queues on other nodes, give up waiting, stand still longer than their
 * lease and write all the same, walk away. Beside them semaphores, readers and writers, elections and barriers.
 */
import { check } from '../../../src/checker/index.ts';
import { KvorumError } from '../../../src/errors.ts';
import type { LockAnswer } from '../../../src/node/coordination.ts';
import type { KvorumNode } from '../../../src/node/types.ts';
import type { Random } from '../../../src/testing/random.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import { History, type Open } from '../history.ts';
import type { Grant, LogRules } from '../log-rules.ts';
import { LeaseWatch } from './lease-watch.ts';
import { contradict, thinkMs, type Stage, type Workload } from './workload.ts';

const MAX_STEPS = 5_000_000;
const MAX_TRIES = 3;

/** The names in use, and how each is taken. */
const NAMES = ['x1', 'x2', 'rw', 'sem', 'chief', 'gate'] as const;
type Name = (typeof NAMES)[number];
const EXCLUSIVE: ReadonlySet<string> = new Set(['x1', 'x2']);

interface Held {
  readonly name: Name;
  readonly token: number;
  readonly lease: string;
  readonly ttlMs: number;
}

interface Write extends Held {
  /** Virtual milliseconds. */
  readonly at: number;
  readonly accepted: boolean;
}

interface Taken extends Held {
  readonly node: string;
  readonly leader: string | null;
}

interface Ask {
  readonly timeoutMs: number;
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly lease: string | null;
  readonly key: string | null;
  readonly mode: 'read' | 'write';
}

export class LockHolders implements Workload {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #watch: LeaseWatch;
  readonly #history = new History();
  readonly #accepted = new Map<string, number>();
  readonly #writes: Write[] = [];
  readonly #taken: Taken[] = [];
  /** Few names, so that there are queues. */
  readonly #pool: readonly Name[];
  #names = 0;

  constructor(stage: Stage, random: Random) {
    this.#stage = stage;
    this.#random = random;
    this.#watch = new LeaseWatch(stage);
    const dice = random.fork();
    this.#pool = ['x1', ...[1, 2].map(() => dice.pick(NAMES))] as const;
  }

  async run(): Promise<void> {
    const { locks } = this.#stage.plan.coordination;
    await Promise.all(Array.from({ length: locks }, (_, i) => this.#client(`x${i + 1}`, this.#random.fork())));
  }

  async #client(client: string, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    while (!this.#stage.stopped) {
      await asking.sleep(thinkMs(this.#stage, dice));
      if (this.#stage.stopped) return;
      const name = dice.pick(this.#pool);
      const turn = `${client}.${++this.#names}`;
      if (EXCLUSIVE.has(name) && dice.chance(0.1)) {
        await this.#query(turn, name, dice);
        continue;
      }
      if (dice.chance(0.02)) {
        const node = dice.pick(asking.cluster.nodes);
        await asking.ask({ what: `${turn} breaks ${name} on ${node.name}`, node, timeoutMs: 500 }, (running) =>
          running.locks.break(name, { timeoutMs: 500 }),
        );
      }
      const held = await this.#acquire(turn, name, dice);
      if (held !== null && name !== 'gate') await this.#use(turn, held, dice);
    }
  }

  async #acquire(turn: string, name: Name, dice: Random): Promise<Held | null> {
    const { asking } = this.#stage;
    const ttlMs = dice.pick([1000, 1500, 3000]);
    const lease = dice.chance(0.3) ? await this.#lease(turn, ttlMs, dice) : null;
    const open = EXCLUSIVE.has(name) ? this.#history.call(turn, 'acquire', name, null) : null;
    const ask: Ask = {
      timeoutMs: dice.pick([300, 1000, 4000]),
      waitMs: dice.pick([0, 300, 1500, 5000]),
      ttlMs,
      lease,
      key: dice.chance(0.3) ? `${turn} once` : null,
      mode: dice.chance(0.6) ? 'read' : 'write',
    };
    let unknown = false;
    for (let tries = 1; tries <= MAX_TRIES; tries++) {
      const node = dice.pick(asking.cluster.nodes);
      const controller = new AbortController();
      const left = dice.chance(0.15)
        ? asking.cluster.time.schedule(dice.float() * (ask.waitMs + 100), () => {
            controller.abort(new KvorumError('ERR_TIMEOUT', 'the caller has gone', { outcome: 'unknown' }));
          })
        : null;
      const { timeoutMs, waitMs } = ask;
      const { answer, outcome } = await asking.ask(
        {
          what: `${turn} wants ${name} on ${node.name}, try ${tries}`,
          node,
          timeoutMs: timeoutMs + waitMs,
          input: JSON.stringify(ask),
        },
        (running) => take(running, name, turn, ask, controller.signal),
      );
      left?.();
      if (controller.signal.aborted) asking.sightings.saw('a caller goes while it asks for a lock');
      if (answer !== null) return this.#took(name, answer, node, open);
      unknown ||= outcome === 'unknown';
      // What was asked for once, or with a lease of our own, may be asked for again.
      const safe = ask.key !== null || lease !== null;
      if (outcome !== 'unknown' || !safe || this.#stage.stopped || controller.signal.aborted) break;
    }
    // Who waited may have been let in and lost it again before it heard of either: then others have seen its token.
    if (!unknown && ask.waitMs === 0) open?.fail();
    return null;
  }

  async #lease(turn: string, ttlMs: number, dice: Random): Promise<string | null> {
    const { asking } = this.#stage;
    const node = dice.pick(asking.cluster.nodes);
    const at = asking.now;
    const { answer } = await asking.ask(
      { what: `${turn} wants a lease on ${node.name}`, node, timeoutMs: 500 },
      (running) => running.leases.grant({ ttlMs, timeoutMs: 500 }),
    );
    if (answer === null) return null;
    this.#watch.acknowledged(answer.id, at);
    return answer.id;
  }

  #took(name: Name, { token, lease, ttlMs }: LockAnswer, node: SimNode, open: Open | null): Held {
    open?.ok(token);
    const held = { name, token, lease, ttlMs };
    this.#taken.push({ ...held, node: node.name, leader: this.#stage.asking.cluster.leader?.name ?? null });
    return held;
  }

  /** Writes with its token, now and then renewing, now and then standing still for too long. */
  async #use(turn: string, held: Held, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    const { name, token, ttlMs, lease } = held;
    const writes = dice.pick([1, 2, 5]);
    for (let i = 0; i < writes; i++) {
      await asking.sleep(dice.chance(0.1) ? ttlMs * (1 + dice.float()) : (dice.float() * ttlMs) / 6);
      if (EXCLUSIVE.has(name)) this.#write(turn, held);
      if (dice.chance(0.4) && !(await this.#watch.renew(turn, lease, dice.pick(asking.cluster.nodes), ttlMs / 3)))
        break;
      if (dice.chance(0.2)) await this.#guarded(turn, held, dice);
    }
    if (EXCLUSIVE.has(name)) this.#write(turn, held);
    if (dice.chance(0.25)) return;
    const node = dice.pick(asking.cluster.nodes);
    const timeoutMs = dice.pick([300, 1000]);
    const open = EXCLUSIVE.has(name) ? this.#history.call(`${turn}/release`, 'release', name, token) : undefined;
    const question = { what: `${turn} releases ${name} ${token} on ${node.name}`, node, timeoutMs };
    await asking.ask(open === undefined ? question : { ...question, open }, async (running, answered) => {
      if (name === 'chief') return running.elections.resign(name, { token }, { timeoutMs });
      const answer = await running.locks.release(name, dice.chance(0.5) ? { token } : { lease }, { timeoutMs });
      answered.ok(answer.released);
      return answer;
    });
  }

  /** The resource is not part of the cluster: it knows the largest token that it has seen. */
  #write(turn: string, held: Held): void {
    const { name, token } = held;
    const accepted = token >= (this.#accepted.get(name) ?? 0);
    if (accepted) this.#accepted.set(name, token);
    else this.#stage.asking.sightings.saw('a stale holder is fenced out');
    this.#writes.push({ ...held, at: this.#stage.asking.now, accepted });
    this.#history.call(`${turn}/write`, 'write', name, token).ok(accepted);
  }

  /** In the store itself: a condition on the token. */
  async #guarded(turn: string, { name, token }: Held, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    const node = dice.pick(asking.cluster.nodes);
    const value = `${turn} ${++this.#names}`;
    await asking.ask(
      { what: `${turn} writes under ${name} ${token} on ${node.name}`, node, timeoutMs: 500 },
      async (running) => {
        if (name === 'chief' && dice.chance(0.5))
          return running.elections.proclaim(name, { token, value }, { timeoutMs: 500 });
        return running.txn(
          {
            if: [{ lock: name, target: 'token', operator: '=', value: token }],
            then: [{ put: { key: `guarded/${name}`, value } }],
          },
          { timeoutMs: 500 },
        );
      },
    );
  }

  async #query(turn: string, name: Name, dice: Random): Promise<void> {
    const { asking } = this.#stage;
    const node = dice.pick(asking.cluster.nodes);
    const open = this.#history.call(turn, 'query', name, null);
    await asking.ask(
      { what: `${turn} looks at ${name} on ${node.name}`, node, timeoutMs: 500, open },
      async (running, answered) => {
        const { holders } = await running.locks.get(name, { timeoutMs: 500 });
        answered.ok(holders[0]?.token ?? null);
      },
    );
  }

  finish(): Promise<void> {
    return this.#watch.finish();
  }

  judge(rules: LogRules): void {
    this.#watch.judge(rules);
    const grants = new Map<string, Grant>();
    for (const grant of rules.grants) grants.set(`${grant.name} ${grant.lease} ${grant.token}`, grant);
    const { sightings } = this.#stage.asking;
    for (const taken of this.#taken) {
      const grant = grants.get(`${taken.name} ${taken.lease} ${taken.token}`);
      // Who made a barrier complete is told by its own entry.
      if (grant === undefined) contradict(taken, rules.grants.filter(({ name }) => name === taken.name).slice(-3));
      if (grant.waited && taken.leader !== null && taken.node !== taken.leader) {
        sightings.saw('a waiter on another node than the leader is let in');
      }
    }
    for (const write of this.#writes) {
      if (write.accepted) continue;
      const grant = grants.get(`${write.name} ${write.lease} ${write.token}`);
      const ended = grant === undefined || grant.endedAt === null ? undefined : rules.steps[grant.endedAt];
      // Nobody newer can have written while it held the lock.
      if (ended === undefined || ended.at > write.at) contradict(write, { ...grant, endedAt: ended?.at });
    }
    const result = check(
      this.#history.operations.filter(({ fail }) => fail !== true),
      { model: 'lock', budget: { maxSteps: MAX_STEPS } },
    );
    if (result.verdict !== 'bad') return;
    const culprits = result.parts[0]?.culprits.map((one) => JSON.stringify(one)).join('\n  ') ?? '';
    throw new Error(`the history of a lock is bad: ${result.reason}\n  ${culprits}`);
  }
}

function take(running: KvorumNode, name: Name, turn: string, ask: Ask, signal: AbortSignal): Promise<LockAnswer> {
  const { timeoutMs, waitMs, ttlMs, lease, key, mode } = ask;
  const options = {
    timeoutMs,
    waitMs,
    owner: { turn },
    signal,
    ...(lease === null ? { ttlMs } : { lease }),
    ...(key === null ? {} : { once: { key } }),
  };
  switch (name) {
    case 'x1':
      return running.locks.acquire(name, options);
    case 'x2':
      return running.locks.acquire(name, { ...options, delayMs: 300 });
    case 'rw':
      return running.locks.acquire(name, { ...options, mode });
    case 'sem':
      return running.locks.acquire(name, { ...options, permits: 2 });
    case 'chief':
      return running.elections.campaign(name, { ...options, value: turn });
    case 'gate':
      return running.barriers.enter(name, { ...options, parties: 2 });
  }
}
