/**
 * Half of the clients write, one key or several at once, the others watch: through the client library, beginning at any node,
 * and going on elsewhere when that node is killed, paused or cut off. Each has to get every revision of what it watches, whole,
 * once and in order, and in the end everything up to a revision that is known.
 */
import { connect, type Client, type Fetch, type WatchOptions } from '../../../src/client/index.ts';
import type { Operation } from '../../../src/checker/index.ts';
import type { KvClient } from '../kv-client.ts';
import { ALWAYS } from '../kv-client.ts';
import { outcomeOf } from '../library-clients.ts';
import { PersistentClient } from '../persistent-client.ts';
import type { ActingWorkload, Chance, Scene } from '../types.ts';
import { ContractError } from '../witness.ts';

const PREFIX = 'watch/';
const GROUPS = ['a', 'b', 'c'] as const;
const KEYS = 8;
const END_KEY = `${PREFIX}end`;
const END_TIMEOUT_MS = 60_000;

interface Span {
  /** For the history: a prefix, or the key. */
  readonly key: string;
  readonly isKey: boolean;
  readonly options: Pick<WatchOptions, 'prefix' | 'key'>;
}

export function watch(client: KvClient): ActingWorkload {
  return new Watchers(client);
}

class Watchers implements ActingWorkload {
  readonly name = 'watch';
  readonly about = 'watchers of prefixes and keys on any node: every revision once, whole and in order';
  readonly model = 'watch';
  readonly operationsPerKey = 200;
  readonly keysAtOnce = 1;
  readonly #client: KvClient;
  readonly #clients: Client[] = [];
  #persistent: PersistentClient | null = null;
  #values = 0;
  #connections = 0;
  #writers = 0;
  /** The last write of all is made when the last writer has ended. */
  readonly #end = Promise.withResolvers<number>();

  constructor(client: KvClient) {
    this.#client = client;
    this.#end.promise.catch(() => undefined);
  }

  async open({ nodes, clients }: Scene): Promise<void> {
    this.#persistent = new PersistentClient(nodes);
    this.#writers = Math.ceil(clients / 2);
    const counted: Fetch = (url, init) => {
      if (url.includes('/v1/watch')) this.#connections++;
      return fetch(url, init);
    };
    for (let made = 0; made < clients; made++) {
      this.#clients.push(
        connect(
          nodes.map(({ url }) => url),
          { fetch: counted },
        ),
      );
    }
    return await Promise.resolve();
  }

  async act(scene: Scene, actor: number): Promise<void> {
    if (actor % 2 !== 0) {
      await this.#watch(scene, actor);
      return;
    }
    try {
      while (await scene.pace()) await this.#write(scene);
    } finally {
      if (--this.#writers === 0) await this.#writeLast(scene);
    }
  }

  figures(operations: readonly Operation[]): string {
    const streams = operations.filter(({ op }) => op === 'watch');
    const outputs = streams.map(({ output }) => output as { batches: readonly { events: readonly unknown[] }[] });
    const batches = outputs.flatMap((output) => output.batches);
    const events = batches.reduce((sum, batch) => sum + batch.events.length, 0);
    return `${streams.length} watches over ${this.#connections} connections got ${events} events in ${batches.length} revisions`;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map(async (client) => await client.close()));
  }

  async #write(scene: Scene): Promise<void> {
    const { chance, nodes, giveUp } = scene;
    const target = chance.pick(nodes);
    const draw = chance.float();
    const call = scene.nowUs();
    const client = scene.newClient();
    const times = (type: 'ok' | 'fail' | 'unknown') => ({
      call,
      return: type === 'ok' ? scene.nowUs() : null,
      ...(type === 'fail' ? { fail: true } : {}),
    });
    if (draw < 0.6) {
      const [key, value] = [keyOf(chance), `v${++this.#values}`];
      const result = await this.#client.put(target, key, value, ALWAYS, giveUp);
      if (result.type === 'refused') throw new Error('unreachable: there was no condition');
      const [output, end] = result.type === 'written' ? [result.revision, 'ok' as const] : [null, result.type];
      scene.record(
        { client, op: 'put', key, input: value, output, ...times(end) },
        'error' in result ? result.error : undefined,
      );
      return;
    }
    if (draw < 0.8) {
      const key = keyOf(chance);
      const result = await this.#ask.ask(target, { method: 'DELETE', path: `/v1/kv/${key}` }, giveUp);
      const isTold = result.type === 'told';
      const output = isTold ? { revision: result.body['revision'], deleted: result.body['deleted'] } : null;
      scene.record(
        { client, op: 'delete', key, input: null, output, ...times(isTold ? 'ok' : result.type) },
        isTold ? undefined : result.error,
      );
      return;
    }
    const keys = [...new Set(Array.from({ length: chance.between(2, 4) }, () => keyOf(chance)))];
    const input = keys.map((key) => ({ op: 'put', key, value: `v${++this.#values}` }));
    const json = { then: input.map(({ key, value }) => ({ put: { key, value } })) };
    const result = await this.#ask.ask(target, { method: 'POST', path: '/v1/txn', json }, giveUp);
    const isTold = result.type === 'told';
    const output = isTold ? result.body['revision'] : null;
    scene.record(
      { client, op: 'batch', key: PREFIX, input, output, ...times(isTold ? 'ok' : result.type) },
      isTold ? undefined : result.error,
    );
  }

  async #writeLast(scene: Scene): Promise<void> {
    const call = scene.nowUs();
    const [target] = scene.nodes;
    if (target === undefined) throw new Error('unreachable: there is a node');
    const value = `v${++this.#values}`;
    const result = await this.#ask.insist(
      target,
      { method: 'PUT', path: `/v1/kv/${END_KEY}`, text: value },
      scene.giveUp,
    );
    if (result.type !== 'told') {
      const error = new Error(`the last write was not acknowledged: ${result.error}`);
      this.#end.reject(error);
      throw error;
    }
    const revision = Number(result.body['revision']);
    const operation = { client: scene.newClient(), op: 'put', key: END_KEY, input: value, output: revision };
    scene.record({ ...operation, call, return: scene.nowUs() });
    this.#end.resolve(revision);
  }

  /** One watcher: several watches, each going on right after the last. */
  async #watch(scene: Scene, actor: number): Promise<void> {
    const client = this.#clients[actor];
    if (client === undefined) throw new Error('unreachable: there is one for each actor');
    const span = spanOf(scene.chance);
    let from: number | null = null;
    for (;;) {
      // One that has no end of its own stays until the end of all.
      const lastsMs = scene.chance.chance(0.5) ? Infinity : scene.chance.between(1000, 15_000);
      const isOver = await this.#watchOnce(scene, client, `w${actor}`, span, from, lastsMs);
      if (isOver.over) return;
      ({ from } = isOver);
      await scene.pace();
    }
  }

  /** `over`: everything is told, or nothing more will be. `from`: where to go on, null when it never stood. */
  async #watchOnce(
    scene: Scene,
    client: Client,
    watcher: string,
    span: Span,
    from: number | null,
    lastsMs: number,
  ): Promise<{ readonly over: boolean; readonly from: number | null }> {
    const ended = new AbortController();
    const [call, name] = [scene.nowUs(), scene.newClient()];
    const stream = client.watch({
      ...span.options,
      ...(from === null ? {} : { from }),
      progress: true,
      signal: ended.signal,
    });
    const batches: { revision: number; events: readonly object[]; at: number }[] = [];
    let upTo = (from ?? 1) - 1;
    let first = from;
    let last: number | null = null;
    let [isStuck, isOver, isFailed] = [false, false, false];
    const timers = [setTimeout(() => (last === null ? ended.abort() : undefined), Math.min(lastsMs, 2 ** 31 - 1))];
    this.#end.promise.then(
      (revision) => {
        last = revision;
        if (isOver) return;
        if (upTo >= revision) ended.abort();
        const stuck = (): void => {
          isStuck = true;
          ended.abort();
        };
        timers.push(setTimeout(stuck, END_TIMEOUT_MS));
      },
      () => {
        isFailed = true;
        ended.abort();
      },
    );
    const giveUp = (): void => ended.abort();
    scene.giveUp.addEventListener('abort', giveUp, { once: true });
    try {
      first ??= (await stream.ready()) + 1;
      upTo = Math.max(upTo, first - 1);
      for await (const batch of stream) {
        if (batch.resync) throw new ContractError(`${watcher} did not ask for a list`);
        const { revision, events } = batch;
        if (events.length > 0) {
          const told = events.map((event) => ({
            type: event.type,
            key: event.key,
            value: event.type === 'put' ? event.value : null,
          }));
          batches.push({ revision, events: told, at: scene.nowUs() });
        }
        upTo = revision;
        if (last !== null && upTo >= last) break;
      }
    } catch (error) {
      // Nobody could be reached for as long as a first connection may take.
      if (!scene.giveUp.aborted && !ended.signal.aborted) outcomeOf(error, `${watcher} on ${span.key}`, scene.giveUp);
    } finally {
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      scene.giveUp.removeEventListener('abort', giveUp);
      await stream.close();
    }
    if (first === null) return { over: isFailed || scene.giveUp.aborted, from };
    const output = { batches, ...(upTo >= first ? { upTo } : {}) };
    const input = { watcher, from: first, ...(span.isKey ? { key: true } : {}) };
    scene.record({ client: name, op: 'watch', key: span.key, input, output, call, return: scene.nowUs() });
    if (isStuck)
      throw new ContractError(
        `${watcher} on ${span.key} was told of ${upTo} only, ${END_TIMEOUT_MS} ms after revision ${last}`,
      );
    const told = last !== null && upTo >= last;
    return { over: isFailed || scene.giveUp.aborted || told, from: upTo + 1 };
  }

  get #ask(): PersistentClient {
    if (this.#persistent === null) throw new Error('unreachable: the workload was opened');
    return this.#persistent;
  }
}

function keyOf(chance: Chance): string {
  return `${PREFIX}${chance.pick(GROUPS)}/${chance.between(1, KEYS)}`;
}

function spanOf(chance: Chance): Span {
  const draw = chance.float();
  if (draw < 0.5) return { key: PREFIX, isKey: false, options: { prefix: PREFIX } };
  if (draw < 0.8) {
    const prefix = `${PREFIX}${chance.pick(GROUPS)}/`;
    return { key: prefix, isKey: false, options: { prefix } };
  }
  const key = keyOf(chance);
  return { key, isKey: true, options: { key } };
}
