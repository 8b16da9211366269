/** Watches of whole nodes on virtual time: every revision once, in order, on whatever node. */
import { afterEach, describe, expect, it } from 'vitest';
import { KvorumError, type KvorumNode, type Watch, type WatchBatch } from '../../src/index.ts';
import { simCluster, type SimCluster, type SimNode } from '../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

function on<T>(node: SimNode, action: (node: KvorumNode) => Promise<T>): Promise<T> {
  return cluster.run(node.call(action));
}

function follower(): SimNode {
  return cluster.nodes.find((node) => node.alive && node !== cluster.leader)!;
}

const decoder = new TextDecoder();

function shown({ revision, events }: WatchBatch): unknown[] {
  return [
    revision,
    ...events.map(({ type, entry, prev }) => {
      const text = `${type} ${entry.key}=${decoder.decode(entry.value)}`;
      if (prev === undefined) return text;
      return `${text} was ${prev === null ? 'nothing' : decoder.decode(prev.value)}`;
    }),
  ];
}

async function next(watch: Watch, count: number): Promise<unknown[][]> {
  const batches: unknown[][] = [];
  while (batches.length < count) {
    const { value, done } = await cluster.run(watch.next());
    if (done === true) throw new Error('the watch ended');
    if (value.events.length > 0) batches.push(shown(value));
  }
  return batches;
}

async function failure(promise: Promise<unknown>): Promise<KvorumError> {
  try {
    await promise;
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('it succeeded');
}

describe('a watch', () => {
  it('gives all of a revision together, of what it asks for, with what was there before', async () => {
    cluster = await simCluster({ seed: 1 });
    const leader = cluster.leader!;
    const all = await on(follower(), (node) => node.watch({ prev: true }));
    const some = await on(follower(), (node) => node.watch({ prefix: 'a/' }));
    const one = await on(leader, (node) => node.watch({ key: 'a/1', filter: 'delete' }));
    await on(leader, (node) => node.put('a/1', 'x'));
    await on(leader, (node) =>
      node.txn({
        then: [
          { put: { key: 'a/1', value: 'y' } },
          { put: { key: 'b', value: 'z' } },
          { put: { key: 'a/2', value: 'w' } },
        ],
      }),
    );
    await on(leader, (node) => node.put('b', 'v'));
    await on(leader, (node) => node.deleteRange({ prefix: 'a/' }));
    expect(await next(all, 4)).toEqual([
      [1, 'put a/1=x was nothing'],
      [2, 'put a/1=y was x', 'put b=z was nothing', 'put a/2=w was nothing'],
      [3, 'put b=v was z'],
      [4, 'delete a/1= was y', 'delete a/2= was w'],
    ]);
    expect(await next(some, 3)).toEqual([
      [1, 'put a/1=x'],
      [2, 'put a/1=y', 'put a/2=w'],
      [4, 'delete a/1=', 'delete a/2='],
    ]);
    expect(await next(one, 1)).toEqual([[4, 'delete a/1=']]);
    expect(all.position).toBe(5);
    expect(one.position).toBe(5);
    for (const watch of [all, some, one]) watch.close();
    expect(await all.next()).toMatchObject({ done: true });
  });

  it('begins at any revision that is kept, and waits on a node that is behind', async () => {
    cluster = await simCluster({ seed: 2 });
    for (let i = 1; i <= 5; i++) await on(cluster.leader!, (node) => node.put('k', String(i)));
    const past = await on(follower(), (node) => node.watch({ from: 3 }));
    expect(await next(past, 3)).toEqual([
      [3, 'put k=3'],
      [4, 'put k=4'],
      [5, 'put k=5'],
    ]);
    const ahead = await on(follower(), (node) => node.watch({ from: 7 }));
    const waiting = ahead.next();
    await on(cluster.leader!, (node) => node.put('k', '6'));
    await on(cluster.leader!, (node) => node.put('k', '7'));
    expect(shown((await cluster.run(waiting)).value as WatchBatch)).toEqual([7, 'put k=7']);
  });

  it('misses nothing where the node that served it dies, nor where a snapshot takes the place of the log', async () => {
    cluster = await simCluster({ seed: 3, limits: { logKeepBytes: 4096 } });
    const late = cluster.nodes.find((node) => node !== cluster.leader);
    const watch = await on(late!, (node) => node.watch());
    await on(cluster.leader!, (node) => node.put('k', '1'));
    expect(await next(watch, 1)).toEqual([[1, 'put k=1']]);
    const others = cluster.nodes.filter((node) => node !== late).map(({ name }) => name);
    cluster.partition([late!.name], others);
    for (let i = 2; i <= 300; i++) await on(cluster.leader!, (node) => node.put('k', 'x'.repeat(100)));
    cluster.heal();
    const batches = await next(watch, 299);
    expect(batches.map(([revision]) => revision)).toEqual(Array.from({ length: 299 }, (_, i) => i + 2));

    late!.crash();
    const elsewhere = await on(cluster.leader!, (node) => node.watch({ from: watch.position }));
    await on(cluster.leader!, (node) => node.put('k', 'last'));
    expect(await next(elsewhere, 1)).toEqual([[301, 'put k=last']]);
  });

  it('that asks for what is not kept any more is told what is', async () => {
    cluster = await simCluster({ seed: 4, nodes: 1 });
    const [node] = cluster.nodes;
    const slow = await on(node!, (one) => one.watch({ from: 1 }));
    for (let i = 1; i <= 10; i++) await on(node!, (one) => one.put('k', String(i)));
    expect(await on(node!, (one) => one.compact(8))).toMatchObject({ compactedRevision: 8 });
    const early = await failure(on(node!, (one) => one.watch({ from: 8 })));
    expect(early).toMatchObject({ code: 'ERR_COMPACTED', details: { compactRevision: 8 } });
    expect(await failure(cluster.run(slow.next()))).toMatchObject({ code: 'ERR_COMPACTED' });
    expect(await slow.next()).toMatchObject({ done: true });
    const kept = await on(node!, (one) => one.watch({ from: 9 }));
    expect(await next(kept, 2)).toEqual([
      [9, 'put k=9'],
      [10, 'put k=10'],
    ]);
    expect(await failure(on(node!, (one) => one.compact(7)))).toMatchObject({ code: 'ERR_COMPACTED' });
    expect(await failure(on(node!, (one) => one.compact(99)))).toMatchObject({ code: 'ERR_FUTURE_REVISION' });
  });

  it('ends with ERR_CLOSED when its node closes, quietly when its caller aborts', async () => {
    cluster = await simCluster({ seed: 5, nodes: 1 });
    const [node] = cluster.nodes;
    const controller = new AbortController();
    const aborted = await on(node!, (one) => one.watch({ signal: controller.signal }));
    const pending = aborted.next();
    controller.abort();
    expect(await pending).toMatchObject({ done: true });
    const watch = await on(node!, (one) => one.watch());
    const ending = failure(watch.next());
    await cluster.run(node!.close());
    expect(await ending).toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('shares its batches with all who watch the same, and costs those nothing whom a revision does not concern', async () => {
    cluster = await simCluster({ seed: 6, nodes: 1 });
    const [node] = cluster.nodes;
    const same = await on(node!, (one) => Promise.all([one.watch({ prefix: 'a' }), one.watch({ prefix: 'a' })]));
    const other = await on(node!, (one) => one.watch({ key: 'b' }));
    let woken = 0;
    expect(other.poll()).toBeNull();
    other.changed(() => woken++);
    for (const watch of same) expect(watch.poll()).toBeNull();
    await on(node!, (one) => one.put('a1', 'x'));
    const [first, second] = same.map((watch) => watch.poll());
    expect(first).not.toBeNull();
    expect(first).toBe(second);
    expect(woken).toBe(0);
    await on(node!, (one) => one.put('b', 'x'));
    expect(woken).toBe(1);
    expect(other.poll()?.revision).toBe(2);
  });

  it('tells nobody twice who reads on as soon as it is woken', async () => {
    cluster = await simCluster({ seed: 9, nodes: 1 });
    const [node] = cluster.nodes;
    const watch = await on(node!, (one) => one.watch());
    const seen: number[] = [];
    let open = true;
    const read = (): void => {
      if (!open) return;
      for (let batch = watch.poll(); batch !== null; batch = watch.poll()) seen.push(batch.revision);
      watch.changed(read);
    };
    // Told of what comes, though it has not asked yet.
    watch.changed(read);
    await on(node!, (one) => Promise.all(Array.from({ length: 50 }, (_, i) => one.put('k', String(i)))));
    await on(node!, (one) => one.put('k', 'last'));
    expect(seen).toEqual(Array.from({ length: 51 }, (_, i) => i + 1));
    open = false;
    watch.close();
  });

  it('says how far it has come where much does not concern it', async () => {
    cluster = await simCluster({ seed: 7, nodes: 1 });
    const [node] = cluster.nodes;
    await on(node!, (one) => Promise.all(Array.from({ length: 2500 }, (_, i) => one.put('other', String(i)))));
    await on(node!, (one) => one.put('mine', 'x'));
    const watch = await on(node!, (one) => one.watch({ key: 'mine', from: 1 }));
    const marks: WatchBatch[] = [];
    for (let batch = watch.poll(); batch !== null; batch = watch.poll()) marks.push(batch);
    expect(marks.map(({ revision, events }) => [revision, events.length])).toEqual([
      [1000, 0],
      [2000, 0],
      [2501, 1],
    ]);
  });

  it.each([
    ['a key and a prefix', { key: 'a', prefix: 'b' }],
    ['a revision that is none', { from: 0 }],
    ['a filter that is none', { filter: 'nothing' as 'put' }],
  ])('is refused with %s', async (_, options) => {
    cluster = await simCluster({ seed: 8, nodes: 1 });
    const refused = await failure(on(cluster.nodes[0]!, (node) => node.watch(options)));
    expect(refused.code).toBe('ERR_INVALID_ARGUMENT');
  });
});
