/**
 * Transactions: lists that are appended to under conditions (by revision or by value), several at once, and read together, for the checker's transaction model; and
 * others that put, delete and delete ranges in one revision, for whoever watches. Some happen once by a key, and are repeated elsewhere.
 */
import { check } from '../../../src/checker/index.ts';
import type { KvEntry } from '../../../src/kv/types.ts';
import type { TxnAnswer, TxnCompare, TxnRequest, TxnRequestStep } from '../../../src/node/coordination.ts';
import type { Random } from '../../../src/testing/random.ts';
import type { Answered } from '../asking.ts';
import { History } from '../history.ts';
import type { LogRules } from '../log-rules.ts';
import { contradict, thinkMs, type Stage, type Workload } from './workload.ts';

const LISTS = ['l1', 'l2', 'l3'];
const MIXED = ['m1', 'm2', 'm3', 'm4'];
const MAX_TRIES = 5;
const MAX_STEPS = 5_000_000;

interface List {
  readonly elements: readonly string[];
  readonly text: string | null;
  readonly modRevision: number;
}

interface Told {
  readonly request: TxnRequest;
  /** A value that is written nowhere else; null when it writes none. */
  readonly mark: string | null;
  readonly fate: TxnAnswer | 'failed' | 'unknown';
}

const decoder = new TextDecoder();

export class Transactions implements Workload {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #history = new History();
  readonly #told: Told[] = [];
  #names = 0;

  constructor(stage: Stage, random: Random) {
    this.#stage = stage;
    this.#random = random;
  }

  async run(): Promise<void> {
    const { transactions } = this.#stage.plan.coordination;
    await Promise.all(Array.from({ length: transactions }, (_, i) => this.#client(`t${i + 1}`, this.#random.fork())));
  }

  async #client(name: string, dice: Random): Promise<void> {
    const seen = new Map<string, List>();
    while (!this.#stage.stopped) {
      await this.#stage.asking.sleep(thinkMs(this.#stage, dice));
      if (this.#stage.stopped) return;
      const choice = dice.float();
      const client = `${name}.${++this.#names}`;
      if (choice < 0.55) await this.#append(client, seen, dice);
      else if (choice < 0.75) await this.#read(client, seen, dice);
      else await this.#mix(client, dice);
    }
  }

  /** To one list or two, if they are as this client saw them last, and reads one more. */
  async #append(client: string, seen: Map<string, List>, dice: Random): Promise<void> {
    const lists = shuffled(LISTS, dice);
    const targets = lists.slice(0, dice.between(1, 2));
    const [beside] = lists.slice(-1);
    const reads = dice.chance(0.5) && beside !== undefined && !targets.includes(beside) ? [beside] : [];
    const compare: TxnCompare[] = [];
    const puts: TxnRequestStep[] = [];
    const added = new Map<string, List>();
    for (const key of targets) {
      const { elements, text, modRevision } = seen.get(key) ?? { elements: [], text: null, modRevision: 0 };
      const byValue = text !== null && dice.chance(0.4);
      compare.push(
        byValue
          ? { key, target: 'value', operator: '=', value: text }
          : { key, target: 'modRevision', operator: '=', value: modRevision },
      );
      const after = [...elements, `e${++this.#names}`];
      added.set(key, { elements: after, text: JSON.stringify(after), modRevision: 0 });
      puts.push({ put: { key, value: JSON.stringify(after) } });
    }
    const input = targets.flatMap((key) => [
      ['r', key, null],
      ['append', key, added.get(key)?.elements.at(-1)],
    ]);
    const open = this.#history.call(client, 'txn', '', [...input, ...reads.map((key) => ['r', key, null])]);
    const instead = this.#history.call(
      `${client}/else`,
      'txn',
      '',
      LISTS.map((key) => ['r', key, null]),
    );
    const gets = (keys: readonly string[]): TxnRequestStep[] => keys.map((key) => ({ get: { key } }));
    const request = { if: compare, then: [...puts, ...gets(reads)], else: gets(LISTS) };
    const mark = added.get(targets[0] as string)?.text ?? null;
    const { outcome, answer } = await this.#ask(client, request, mark, dice);
    if (answer === null) {
      if (outcome === 'failed') open.fail();
      instead.fail();
      for (const key of targets) seen.delete(key);
      return;
    }
    const listOf = (at: number): List => this.#listAt(answer, at);
    if (!answer.succeeded) {
      open.fail();
      LISTS.forEach((key, at) => seen.set(key, listOf(at)));
      instead.ok(LISTS.map((key, at) => ['r', key, listOf(at).elements]));
      return;
    }
    instead.fail();
    for (const key of targets) seen.set(key, { ...(added.get(key) as List), modRevision: answer.revision });
    const output = targets.flatMap((key) => {
      const { elements } = added.get(key) as List;
      return [
        ['r', key, elements.slice(0, -1)],
        ['append', key, elements.at(-1)],
      ];
    });
    open.ok([...output, ...reads.map((key, at) => ['r', key, listOf(targets.length + at).elements])]);
  }

  async #read(client: string, seen: Map<string, List>, dice: Random): Promise<void> {
    const open = this.#history.call(
      client,
      'txn',
      '',
      LISTS.map((key) => ['r', key, null]),
    );
    const ranged = dice.chance(0.5);
    const then: TxnRequestStep[] = ranged ? [{ range: { prefix: 'l' } }] : LISTS.map((key) => ({ get: { key } }));
    const { outcome, answer } = await this.#ask(client, { then }, null, dice);
    if (answer === null) {
      if (outcome === 'failed') open.fail();
      return;
    }
    const lists = new Map<string, List>();
    LISTS.forEach((key, at) => lists.set(key, ranged ? rangedList(answer, key) : this.#listAt(answer, at)));
    for (const [key, list] of lists) seen.set(key, list);
    open.ok(LISTS.map((key) => ['r', key, lists.get(key)?.elements]));
  }

  /** Puts, deletions and ranges at one revision. */
  async #mix(client: string, dice: Random): Promise<void> {
    const mark = `mixed ${++this.#names}`;
    const [one, two, three] = shuffled(MIXED, dice) as [string, string, string];
    const steps: TxnRequestStep[] = [{ put: { key: one, value: mark, prev: true } }];
    if (dice.chance(0.5)) steps.push({ put: { key: two, value: `${mark}, too` } });
    if (dice.chance(0.5)) steps.unshift({ delete: { key: three, prev: true } });
    else if (dice.chance(0.3)) steps.unshift({ delete: { prefix: 'm' } });
    steps.push({ range: { prefix: 'm', keysOnly: dice.chance(0.5) } }, { get: { key: one } });
    // A key is written once in a transaction: what a range deletes is not put again.
    const then = steps.some((step) => 'delete' in step && 'prefix' in step.delete)
      ? steps.filter((step) => !('put' in step))
      : steps;
    const target = dice.pick(['version', 'createRevision', 'modRevision'] as const);
    const compare: TxnCompare[] = dice.chance(0.6)
      ? [{ key: two, target, operator: dice.pick(['<', '>', '=', '!='] as const), value: dice.pick([0, 1, 2, 5]) }]
      : [];
    const written = then === steps ? mark : null;
    await this.#ask(client, { if: compare, then, else: [{ get: { key: two } }] }, written, dice);
  }

  async #ask(client: string, request: TxnRequest, mark: string | null, dice: Random): Promise<Answered<TxnAnswer>> {
    const { asking } = this.#stage;
    const once = dice.chance(0.5) ? { once: { key: `${client} once` } } : {};
    let unknown = false;
    for (let tries = 1; ; tries++) {
      const node = dice.pick(asking.cluster.nodes);
      const timeoutMs = dice.pick([50, 300, 1000, 4000]);
      const what = `${client} transacts on ${node.name}, try ${tries}`;
      const answered = await asking.ask({ what, node, timeoutMs, input: JSON.stringify(request) }, (running) =>
        running.txn(request, { timeoutMs, ...once }),
      );
      unknown ||= answered.outcome === 'unknown';
      const again = answered.outcome !== 'ok' && 'once' in once && tries < MAX_TRIES && !this.#stage.stopped;
      if (!again) {
        const outcome = answered.outcome === 'ok' ? 'ok' : unknown ? 'unknown' : 'failed';
        this.#told.push({ request, mark, fate: answered.answer ?? (outcome === 'unknown' ? 'unknown' : 'failed') });
        return { ...answered, outcome };
      }
      await asking.sleep(dice.float() * 100);
    }
  }

  #listAt({ responses }: TxnAnswer, at: number): List {
    const response = responses[at];
    if (response === undefined || !('get' in response)) throw new Error(`response ${at} is none to a get`);
    return listOf(response.get);
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  judge(rules: LogRules): void {
    const steps = new Map<string, { succeeded: number; revision: number }>();
    for (const step of rules.steps) {
      const operation = step?.command.operation;
      if (step === undefined || operation?.type !== 'txn' || !('succeeded' in step.result)) continue;
      if (step.result.replayed === true || !step.result.succeeded) continue;
      for (const one of operation.then) {
        if (one.type !== 'put') continue;
        const mark = decoder.decode(one.value);
        steps.set(mark, { succeeded: (steps.get(mark)?.succeeded ?? 0) + 1, revision: step.revision });
      }
    }
    // Clocks here jump by an hour, after which a key may be forgotten: then what is repeated is done again.
    if ([...rules.executed.values()].some((indexes) => indexes.length > 1)) return;
    for (const told of this.#told) {
      if (told.mark === null) continue;
      const is = steps.get(told.mark);
      const { fate } = told;
      if ((is?.succeeded ?? 0) > 1) contradict(told, `it happened ${String(is?.succeeded)} times`);
      if (fate === 'unknown') continue;
      const succeeded = fate !== 'failed' && fate.succeeded;
      if (succeeded !== (is !== undefined)) contradict(told, is);
      if (succeeded && is?.revision !== fate.revision) contradict(told, is);
    }
    const result = check(this.#history.operations, { model: 'txn', budget: { maxSteps: MAX_STEPS } });
    if (result.verdict === 'ok') return;
    const culprits = result.parts[0]?.culprits.map((one) => JSON.stringify(one)).join('\n  ') ?? '';
    throw new Error(`the history of the lists is ${result.verdict}: ${result.reason}\n  ${culprits}`);
  }
}

function listOf(entry: KvEntry | null): List {
  if (entry === null) return { elements: [], text: null, modRevision: 0 };
  const text = decoder.decode(entry.value);
  return { elements: JSON.parse(text) as string[], text, modRevision: entry.modRevision };
}

function rangedList({ responses }: TxnAnswer, key: string): List {
  const [response] = responses;
  if (response === undefined || !('range' in response)) throw new Error('there is no answer to a range');
  const entry = response.range.entries.find((one) => one.key === key);
  return listOf((entry as KvEntry | undefined) ?? null);
}

function shuffled<T>(list: readonly T[], dice: Random): T[] {
  const left = [...list];
  return list.map(() => left.splice(dice.between(0, left.length - 1), 1)[0] as T);
}
