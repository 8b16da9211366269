/** Watches: every revision once and in order, whatever becomes of streams and nodes. */
import { describe, expect, test } from 'vitest';

import type { RawBatch, RawEntry, WatchRequest } from '../../src/client/api.ts';
import { json } from '../../src/client/codec.ts';
import type { ResyncBatch, WatchBatch } from '../../src/client/watch.ts';
import { KvorumError } from '../../src/errors.ts';
import { Random } from '../../src/testing/random.ts';
import { failure, settle } from './fake-time.ts';
import type { Asked, FakeTransport, Scene } from './fake-transport.ts';
import { fails, FakeStream, gives, scene } from './fake-transport.ts';

function entry(key: string, value: string, revision: number): RawEntry {
  return {
    key,
    value: new TextEncoder().encode(value),
    createRevision: revision,
    modRevision: revision,
    version: 1,
    lease: null,
    contentType: 'text/plain',
  };
}

function batch(revision: number, ...values: string[]): RawBatch {
  const events = (values.length === 0 ? [`v${revision}`] : values).map((value) => ({
    type: 'put' as const,
    entry: entry('a', value, revision),
  }));
  return { revision, events, position: `p${revision}` };
}

const progress = (revision: number): RawBatch => ({ revision, events: [], position: `p${revision}` });
const BROKEN = new KvorumError('ERR_UNAVAILABLE', 'broke off', { outcome: 'unknown' });

/** The streams that the nodes will open, in order; what each was asked for is in `of('watch')`. */
function streams(node: FakeTransport, ...list: FakeStream<RawBatch>[]): void {
  node.next('watch', ...list.map(gives));
}

const requests = ({ nodes }: Scene): WatchRequest[] =>
  nodes
    .flatMap((node) => node.of('watch'))
    .toSorted((a, b) => a.at - b.at)
    .map(({ request }: Asked) => request as WatchRequest);

async function collect<B>(watch: AsyncIterable<B>, into: B[]): Promise<void> {
  for await (const each of watch) into.push(each);
}

describe('one stream', () => {
  test('batches as they come, decoded', async () => {
    const made = scene();
    const stream = new FakeStream<RawBatch>().push(progress(4), batch(5, '{"n":1}'));
    stream.push({
      revision: 6,
      position: 'p6',
      events: [
        {
          type: 'delete',
          entry: { ...entry('a', '', 6), createRevision: 0, version: 0 },
          prev: entry('a', '{"n":1}', 5),
        },
        { type: 'put', entry: entry('\xc3\xa4', '{"n":2}', 6), prev: null },
      ],
    });
    streams(made.node, stream);
    const watch = made.client.with(json<{ n: number }>()).watch({ prefix: 'a', prev: true, filter: 'put' });
    const first = await watch.next();
    expect(first.value).toMatchObject({
      resync: false,
      revision: 5,
      events: [{ type: 'put', key: 'a', value: { n: 1 } }],
    });
    const second = await watch.next();
    expect(second.value).toMatchObject({
      revision: 6,
      events: [
        { type: 'delete', key: 'a', modRevision: 6, prev: { value: { n: 1 }, modRevision: 5 } },
        { type: 'put', key: 'ä', value: { n: 2 }, prev: null },
      ],
    });
    expect(requests(made)).toEqual([
      { span: { prefix: 'a' }, from: null, after: null, prev: true, filter: 'put', idleMs: 25_000 },
    ]);
    await watch.close();
    expect(stream.closed).toBe(true);
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    expect(made.time.pending).toBe(0);
  });

  test('nothing is read before it is asked for', async () => {
    const made = scene();
    const stream = new FakeStream<RawBatch>().push(batch(1), batch(2), batch(3));
    streams(made.node, stream);
    const watch = made.client.watch();
    await settle();
    expect(made.node.asked).toHaveLength(0);
    await watch.next();
    await settle();
    expect(stream.reads).toBe(1);
    await watch.close();
  });

  test('ready: stands, and from which revision on', async () => {
    const made = scene();
    const stream = new FakeStream<RawBatch>().push(progress(41));
    streams(made.node, stream);
    const watch = made.client.watch();
    await expect(watch.ready()).resolves.toBe(41);
    stream.push(batch(42));
    expect((await watch.next()).value).toMatchObject({ revision: 42 });
    await watch.close();
  });

  test('ready rejects as the watch fails, and when it is ended before', async () => {
    const made = scene();
    made.node.next('watch', fails('ERR_INVALID_ARGUMENT'));
    const watch = made.client.watch();
    expect(await failure(watch.ready())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(await failure(watch.next())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    streams(made.node, new FakeStream());
    const other = made.client.watch();
    const ready = other.ready();
    await settle();
    await other.close();
    expect(await failure(ready)).toMatchObject({ code: 'ERR_CLOSED' });
  });

  test('progress marks are given when asked for', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(progress(4), progress(4), progress(9)));
    const watch = made.client.watch({ progress: true });
    expect((await watch.next()).value).toEqual({ resync: false, revision: 4, events: [] });
    expect((await watch.next()).value).toEqual({ resync: false, revision: 9, events: [] });
    await watch.close();
  });

  test.each(['signal', 'client', 'break'] as const)('is ended by %s, without an error', async (how) => {
    const made = scene();
    const stream = new FakeStream<RawBatch>().push(batch(1));
    streams(made.node, stream);
    const stop = new AbortController();
    const seen: unknown[] = [];
    const over = (async () => {
      for await (const each of made.client.watch({ signal: stop.signal })) {
        seen.push(each);
        if (how === 'break') break;
      }
    })();
    await made.time.pass(1);
    if (how === 'signal') stop.abort();
    if (how === 'client') await made.time.until(made.client.close());
    await made.time.until(over);
    expect(seen).toHaveLength(1);
    expect(stream.closed).toBe(true);
  });

  test('a value that the codec cannot read ends it, and says where', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(batch(7, 'not json')));
    expect(await failure(made.client.with(json()).watch().next())).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { key: 'a', revision: 7 },
    });
  });

  test.each([{ key: 'a', prefix: 'b' }, { prefix: 'a', end: 'b' }, { from: 0 }, { from: 1.5 }])(
    '%j is refused',
    (options) => {
      expect(() => scene().client.watch(options)).toThrow(KvorumError);
    },
  );

  test('the first connection has as long as any call', async () => {
    const made = scene();
    made.node.always('watch', fails('ERR_UNAVAILABLE'));
    expect(await failure(made.time.until(made.client.watch().next()))).toMatchObject({ code: 'ERR_UNAVAILABLE' });
  });
});

describe('from stream to stream', () => {
  test('goes on where it was, at another node, and drops what it has told', async () => {
    const made = scene(2);
    streams(made.nodes[0]!, new FakeStream<RawBatch>().push(batch(5), batch(7), BROKEN));
    streams(made.nodes[1]!, new FakeStream<RawBatch>().push(progress(5), batch(7), batch(8), null));
    streams(made.nodes[0]!, new FakeStream<RawBatch>().push(batch(9)));
    const seen: WatchBatch[] = [];
    const watch = made.client.watch({ key: 'a', from: 5 });
    void collect(watch, seen);
    await made.time.pass(30_000);
    expect(seen.map(({ revision }) => revision)).toEqual([5, 7, 8, 9]);
    expect(requests(made).map(({ from, after }) => [from, after])).toEqual([
      [5, null],
      [8, 'p7'],
      [9, 'p8'],
    ]);
    await watch.close();
  });

  test('a stream that broke before it told anything begins where it began', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(progress(4), BROKEN));
    streams(made.node, new FakeStream<RawBatch>().push(progress(4), batch(5)));
    const watch = made.client.watch();
    const next = watch.next();
    expect((await made.time.until(next)).value).toMatchObject({ revision: 5 });
    expect(requests(made).map(({ from, after }) => [from, after])).toEqual([
      [null, null],
      [5, 'p4'],
    ]);
    await watch.close();
  });

  test('an outage of hours is waited for, at a measured pace', async () => {
    const made = scene(2);
    streams(made.nodes[0]!, new FakeStream<RawBatch>().push(batch(1), BROKEN));
    for (const node of made.nodes) node.always('watch', fails('ERR_UNAVAILABLE'));
    const watch = made.client.watch();
    await watch.next();
    const next = watch.next();
    await made.time.pass(3_600_000);
    const attempts = made.nodes.flatMap((node) => node.of('watch')).length;
    expect(attempts).toBeGreaterThan(1000);
    expect(attempts).toBeLessThan(20_000);
    for (const node of made.nodes) node.always('watch', gives(new FakeStream<RawBatch>().push(batch(2))));
    expect((await made.time.until(next)).value).toMatchObject({ revision: 2 });
    await watch.close();
  });

  test('streams that end as soon as they begin are not opened in a circle', async () => {
    const made = scene();
    made.node.always('watch', () => new FakeStream<RawBatch>().push(null));
    const watch = made.client.watch();
    void watch.next();
    await made.time.pass(60_000);
    expect(made.node.of('watch').length).toBeLessThan(200);
    await made.time.until(watch.close());
  });

  test('no gap and no duplicate over many streams that break anywhere and come from nodes that are behind', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const made = scene(3);
      const random = new Random(seed);
      // Revision n changes n % 4 keys of what is watched.
      const written = Array.from({ length: 60 }, (_, i) => i + 1).filter((revision) => revision % 4 !== 0);
      for (const node of made.nodes) {
        node.always('watch', ({ request }) => {
          const { from, after } = request as WatchRequest;
          // A node may tell again what it told, but leaves nothing out.
          const start = (after === null ? from! : Number(after.slice(1)) + 1) - random.between(0, 3);
          const stream = new FakeStream<RawBatch>().push(progress(Math.max(0, start - 1)));
          for (const revision of written) {
            if (revision < start) continue;
            if (random.chance(0.15)) return stream.push(random.chance(0.5) ? BROKEN : null);
            if (random.chance(0.2)) stream.push(progress(revision - 1));
            stream.push(batch(revision));
          }
          return stream;
        });
      }
      const seen: WatchBatch[] = [];
      const watch = made.client.watch({ from: 1 });
      void collect(watch, seen);
      await made.time.pass(120_000);
      expect(
        seen.map(({ revision }) => revision),
        `seed ${seed}`,
      ).toEqual(written);
      await watch.close();
    }
  });
});

describe('compacted', () => {
  const COMPACTED = new KvorumError('ERR_COMPACTED', 'compacted', { details: { compactRevision: 50 } });

  test('is thrown, in a stream or instead of one', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(COMPACTED));
    expect(await failure(made.client.watch().next())).toBe(COMPACTED);
    made.node.next('watch', fails('ERR_COMPACTED', 'none', { compactRevision: 50 }));
    expect(await failure(made.client.watch({ from: 3 }).next())).toMatchObject({
      code: 'ERR_COMPACTED',
      details: { compactRevision: 50 },
    });
  });

  test('with resync: everything there is, of one revision, then what comes after it', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(batch(3), COMPACTED));
    made.node.next(
      'list',
      gives({ revision: 60, entries: [entry('a', '1', 10)], count: 2, nextCursor: 'c1' }),
      gives({ revision: 60, entries: [entry('b', '2', 55)], count: 2, nextCursor: null }),
    );
    streams(made.node, new FakeStream<RawBatch>().push(batch(60), batch(61)));
    const seen: (WatchBatch | ResyncBatch)[] = [];
    const watch = made.client.watch({ key: 'a', resync: true });
    void collect(watch, seen);
    await made.time.pass(5000);
    expect(seen.map((each) => [each.resync, each.revision])).toEqual([
      [false, 3],
      [true, 60],
      [false, 61],
    ]);
    expect(seen[1]).toMatchObject({
      entries: [
        { key: 'a', value: '1' },
        { key: 'b', value: '2' },
      ],
    });
    expect(made.node.of('list').map(({ request }) => request)).toEqual([
      { start: 'a', end: 'a\0', limit: 1000, cursor: undefined },
      { start: 'a', end: 'a\0', limit: 1000, cursor: 'c1' },
    ]);
    expect(requests(made).at(-1)).toMatchObject({ from: 61, after: null });
    await watch.close();
  });

  test('a list whose revision is compacted before its last page is begun again, not for ever', async () => {
    const made = scene();
    streams(made.node, new FakeStream<RawBatch>().push(COMPACTED));
    made.node.next(
      'list',
      gives({ revision: 60, entries: [entry('a', '1', 10)], count: 2, nextCursor: 'c1' }),
      fails('ERR_COMPACTED'),
      gives({ revision: 90, entries: [entry('b', '2', 80)], count: 1, nextCursor: null }),
    );
    const watch = made.client.watch({ resync: true, prefix: 'x' });
    expect((await made.time.until(watch.next())).value).toMatchObject({ revision: 90, entries: [{ key: 'b' }] });
    await watch.close();
    streams(made.node, new FakeStream<RawBatch>().push(COMPACTED));
    made.node.always('list', fails('ERR_COMPACTED'));
    expect(await failure(made.time.until(made.client.watch({ resync: true }).next()))).toMatchObject({
      code: 'ERR_COMPACTED',
    });
  });
});
