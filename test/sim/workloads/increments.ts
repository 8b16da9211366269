/**
 * Increments that are repeated, on other nodes, until somebody answers: by a key, or by the numbers of a session of which several are on their way at once. Each
 * happens once: what was acknowledged is in the sum, what nobody answered is in it once or not, and nothing more.
 */
import type { Operation } from '../../../src/checker/history.ts';
import { check } from '../../../src/checker/index.ts';
import type { CounterAnswer } from '../../../src/node/coordination.ts';
import type { Once } from '../../../src/machine/types.ts';
import type { Random } from '../../../src/testing/random.ts';
import { History, type Open } from '../history.ts';
import { onceName, type LogRules } from '../log-rules.ts';
import { contradict, thinkMs, type Stage, type Workload } from './workload.ts';

const MAX_TRIES = 8;
const HANDS = 3;
const MAX_STEPS = 2_000_000;

interface Increment {
  readonly counter: string;
  readonly once: Once | null;
  readonly delta: number;
  fate: 'open' | 'failed' | 'unknown' | CounterAnswer;
  /** Its place in the order of calls and returns. */
  called?: number;
}

interface Session {
  readonly id: string;
  readonly ttlMs: number;
  next: number;
  readonly open: Set<number>;
}

export class Increments implements Workload {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #increments: Increment[] = [];
  readonly #history = new History();
  readonly #finals: { counter: string; node: string; value: number }[] = [];
  #names = 0;

  constructor(stage: Stage, random: Random) {
    this.#stage = stage;
    this.#random = random;
  }

  async run(): Promise<void> {
    const clients = Array.from({ length: this.#stage.plan.coordination.increments }, (_, i) => {
      const dice = this.#random.fork();
      const name = `i${i + 1}`;
      return i % 3 === 0
        ? this.#byKey(name, dice)
        : i % 3 === 1
          ? this.#bySession(name, dice)
          : this.#plain(name, dice);
    });
    await Promise.all(clients);
  }

  async #byKey(name: string, dice: Random): Promise<void> {
    while (await this.#goesOn(dice)) {
      const once = { key: `${name}.${++this.#names}` };
      await this.#increment(name, { counter: 'by key', once, delta: dice.between(1, 3), fate: 'open' }, dice);
    }
  }

  /** Nothing is repeated: an answer that is missing may mean either. */
  async #plain(name: string, dice: Random): Promise<void> {
    while (await this.#goesOn(dice)) {
      await this.#increment(name, { counter: 'plain', once: null, delta: 1, fate: 'open' }, dice);
    }
  }

  async #bySession(name: string, dice: Random): Promise<void> {
    let session: Session | null = null;
    let opening: Promise<Session | null> | null = null;
    const current = async (): Promise<Session | null> => {
      if (session !== null) return session;
      opening ??= this.#openSession(name, dice, () => session);
      session = await opening;
      opening = null;
      return session;
    };
    const hand = async (which: string, own: Random): Promise<void> => {
      while (await this.#goesOn(own)) {
        const mine = await current();
        if (mine === null) continue;
        const sequence = mine.next++;
        mine.open.add(sequence);
        const lowestUnanswered = Math.min(...mine.open);
        const once = { session: mine.id, sequence, lowestUnanswered };
        const increment: Increment = { counter: 'by session', once, delta: 1, fate: 'open' };
        const expired = await this.#increment(which, increment, own);
        // One that is given up stays unanswered, for ever.
        if (typeof increment.fate === 'object') mine.open.delete(sequence);
        if (expired && session === mine) session = null;
      }
    };
    const hands = Array.from({ length: HANDS }, (_, i) => hand(`${name}.${i + 1}`, dice.fork()));
    await Promise.all(hands);
    session = null;
  }

  async #openSession(name: string, dice: Random, current: () => Session | null): Promise<Session | null> {
    const { asking } = this.#stage;
    const ttlMs = dice.pick([1500, 3000, 10_000]);
    const node = dice.pick(asking.cluster.nodes);
    const { answer } = await asking.ask({ what: `${name} session on ${node.name}`, node, timeoutMs: 1000 }, (running) =>
      running.leases.grant({ ttlMs, timeoutMs: 1000 }),
    );
    if (answer === null) return null;
    const session: Session = { id: answer.id, ttlMs, next: 1, open: new Set() };
    void this.#keepAlive(name, session, dice.fork(), current);
    return session;
  }

  async #keepAlive(name: string, session: Session, dice: Random, current: () => Session | null): Promise<void> {
    const { asking } = this.#stage;
    for (;;) {
      await asking.sleep(session.ttlMs / 3);
      if (this.#stage.stopped || current() !== session) return;
      const node = dice.pick(asking.cluster.nodes);
      const { error } = await asking.ask(
        { what: `${name} keeps ${session.id} on ${node.name}`, node, timeoutMs: session.ttlMs / 3 },
        (running) => running.leases.renew(session.id, { timeoutMs: session.ttlMs / 3 }),
      );
      if (error?.code === 'ERR_LEASE_NOT_FOUND') return;
    }
  }

  /** True: its session is gone. */
  async #increment(client: string, increment: Increment, dice: Random): Promise<boolean> {
    const { asking } = this.#stage;
    const { counter, delta, once } = increment;
    this.#increments.push(increment);
    // Who gives up goes on under another name: the checker knows one operation a client.
    const open: Open = this.#history.call(`${client}/${++this.#names}`, 'add', counter, delta);
    increment.called = this.#history.operations.at(-1)?.call ?? 0;
    let unknown = false;
    let expired = false;
    for (let tries = 1; tries <= MAX_TRIES; tries++) {
      const node = dice.pick(asking.cluster.nodes);
      const timeoutMs = dice.pick([50, 300, 1000]);
      const what = `${client} adds ${delta} to ${counter} on ${node.name}, try ${tries}`;
      const { outcome, answer, error } = await asking.ask(
        { what, node, timeoutMs, input: JSON.stringify(once) },
        (running) => running.counters.add(counter, delta, { timeoutMs, ...(once === null ? {} : { once }) }),
      );
      if (answer !== null) {
        increment.fate = answer;
        open.ok(answer.value);
        return false;
      }
      if (outcome === 'unknown') unknown = true;
      expired = error?.code === 'ERR_SESSION_EXPIRED';
      if (expired || once === null || (this.#stage.stopped && tries > 2)) break;
      await asking.sleep(dice.float() * dice.pick([20, 200, 1000]));
    }
    increment.fate = unknown ? 'unknown' : 'failed';
    if (!unknown) open.fail();
    return expired;
  }

  async #goesOn(dice: Random): Promise<boolean> {
    await this.#stage.asking.sleep(thinkMs(this.#stage, dice));
    return !this.#stage.stopped;
  }

  async finish(): Promise<void> {
    const { asking } = this.#stage;
    for (const counter of new Set(this.#increments.map((one) => one.counter))) {
      for (const node of asking.cluster.nodes) {
        if (node.state !== 'running') continue;
        const { answer } = await asking.ask(
          { what: `last ${counter} on ${node.name}`, node, timeoutMs: 4000 },
          (running) => running.counters.get(counter),
        );
        if (answer !== null) this.#finals.push({ counter, node: node.name, value: answer.value });
      }
    }
  }

  judge(rules: LogRules): void {
    for (const increment of this.#increments) this.#judgeOne(increment, rules);
    for (const final of this.#finals) {
      const value = rules.counters.get(final.counter) ?? 0;
      if (final.value !== value) contradict(final, value);
    }
    for (const counter of ['by key', 'by session', 'plain']) this.#judgeSum(counter, rules);
    const operations = this.#history.operations.filter(({ fail }) => fail !== true);
    const again = this.#increments.flatMap((one) => this.#doneAgain(one, rules));
    const result = check([...operations, ...again], { model: 'counter', budget: { maxSteps: MAX_STEPS } });
    if (result.verdict === 'bad') throw new Error(`the history of a counter is bad: ${result.reason}`);
  }

  /** A key that was forgotten, as it may be after an hour of state-machine time (clocks here jump): each time more that it was done is an add that nobody has the answer of. */
  #doneAgain({ counter, once, delta, called = 0 }: Increment, rules: LogRules): Operation[] {
    const executed = once === null ? [] : (rules.executed.get(onceName(once)) ?? []);
    return executed.slice(1).map((index) => ({
      ...{ client: `again/${index}`, op: 'add', key: counter, input: delta, output: null, call: called, return: null },
    }));
  }

  #judgeOne(increment: Increment, rules: LogRules): void {
    const { once, fate } = increment;
    if (once === null) return;
    const executed = rules.executed.get(onceName(once)) ?? [];
    if (fate === 'failed' && executed.length > 0) contradict(increment, `it was done by entry ${String(executed[0])}`);
    if (typeof fate === 'string') return;
    const results = executed.map((index) => rules.steps[index]?.result);
    if (!results.some((result) => result !== undefined && 'value' in result && result.value === fate.value)) {
      contradict(increment, results);
    }
    const asked = rules.asked.get(onceName(once)) ?? [];
    if (fate.replayed === true && asked.length < 2) contradict(increment, 'it was asked for once');
  }

  #judgeSum(counter: string, rules: LogRules): void {
    let acknowledged = 0;
    let unknown = 0;
    for (const one of this.#increments) {
      if (one.counter !== counter) continue;
      acknowledged += one.delta * this.#doneAgain(one, rules).length;
      if (typeof one.fate === 'object') acknowledged += one.delta;
      else if (one.fate !== 'failed') unknown += one.delta;
    }
    const value = rules.counters.get(counter) ?? 0;
    if (value < acknowledged || value > acknowledged + unknown) {
      throw new Error(`${counter}: ${value}, with ${acknowledged} acknowledged and ${unknown} unknown`);
    }
  }
}
