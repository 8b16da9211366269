/** Codecs, schemas, typed transactions, keys and durations. */
import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';

import type { PutRequest, RawEntry, TxnRequest } from '../../src/client/api.ts';
import {
  base64,
  base64url,
  byteKeyOf,
  byteKeyOfText,
  bytesOfBase64,
  bytesOfByteKey,
  textOfByteKey,
} from '../../src/client/bytes.ts';
import { durationMs } from '../../src/client/duration.ts';
import {
  bytes,
  createRevision,
  del,
  delPrefix,
  exists,
  get,
  json,
  lease,
  missing,
  modRevision,
  put,
  range,
  text,
  token,
  value,
  version,
} from '../../src/client/index.ts';
import type {
  Client,
  Codec,
  DeleteResponse,
  Entry,
  GetResponse,
  KeyEntry,
  PutResponse,
  RangeResponse,
  StandardSchema,
} from '../../src/client/index.ts';
import { KvorumError } from '../../src/errors.ts';
import { failure } from './fake-time.ts';
import { fails, gives, scene } from './fake-transport.ts';

const utf8 = (written: string): Uint8Array => new TextEncoder().encode(written);

function raw(key: string, stored: string | Uint8Array): RawEntry {
  return {
    key,
    value: typeof stored === 'string' ? utf8(stored) : stored,
    createRevision: 3,
    modRevision: 5,
    version: 2,
    lease: null,
    contentType: 'text/plain',
  };
}

/** What a client put, given back by the next get. */
async function roundTrip<V, I>(client: Client<V, I>, made: ReturnType<typeof scene>, written: I): Promise<Entry<V>> {
  made.node.always('put', gives({ revision: 5, created: true }));
  await made.time.until(client.put('k', written));
  const { value: stored, contentType } = made.node.of('put').at(-1)!.request as PutRequest;
  made.node.always('get', gives({ entry: { ...raw('k', stored), contentType } }));
  return (await client.get('k'))!;
}

describe('codecs', () => {
  test('text, unless told otherwise', async () => {
    const made = scene();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (written) => {
        const entry = await roundTrip(made.client, made, written);
        expect(entry.value).toBe(written);
        expect(entry.contentType).toBe('text/plain; charset=utf-8');
      }),
      { numRuns: 50 },
    );
    expect((await roundTrip(made.client, made, '\ufeffmark')).value).toBe('\ufeffmark');
  });

  test('bytes', async () => {
    const made = scene();
    const client = made.client.with(bytes);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (written) => {
        expect((await roundTrip(client, made, written)).value).toEqual(written);
      }),
      { numRuns: 50 },
    );
  });

  test('JSON', async () => {
    const made = scene();
    const client = made.client.with(json<{ n: number[] }>());
    const entry = await roundTrip(client, made, { n: [1, 2] });
    expectTypeOf(entry).toEqualTypeOf<Entry<{ n: number[] }>>();
    expect(entry).toMatchObject({ value: { n: [1, 2] }, contentType: 'application/json', key: 'k', version: 2 });
  });

  test('one of your own, which may be asynchronous', async () => {
    const made = scene();
    const day: Codec<Date> = {
      contentType: 'text/plain',
      encode: async (date) => date.toISOString(),
      decode: async (stored) => new Date(new TextDecoder().decode(stored)),
    };
    const entry = await roundTrip(made.client.with(day), made, new Date(86_400_000));
    expect(entry.value).toEqual(new Date(86_400_000));
  });

  test('what cannot be written or read is ERR_INVALID_ARGUMENT', async () => {
    const made = scene();
    const refused = { code: 'ERR_INVALID_ARGUMENT', outcome: 'none' };
    expect(await failure(made.client.put('k', 7 as never))).toMatchObject(refused);
    expect(await failure(made.client.put('k', '\ud800'))).toMatchObject(refused);
    expect(await failure(made.client.with(bytes).put('k', 'x' as never))).toMatchObject(refused);
    expect(await failure(made.client.with(json()).put('k', undefined))).toMatchObject(refused);
    expect(made.node.asked).toHaveLength(0);
    made.node.always('get', gives({ entry: raw('k', new Uint8Array([255])) }));
    const error = await failure(made.client.get('k'));
    expect(error).toMatchObject({ ...refused, details: { key: 'k' } });
    expect((error as Error).message).toContain('client.with(bytes)');
    expect(await failure(made.client.with(json()).get('k'))).toMatchObject(refused);
    await expect(made.client.with(bytes).get('k')).resolves.toMatchObject({ value: new Uint8Array([255]) });
  });

  test('what cannot be read of the answer to a write was written all the same', async () => {
    const made = scene();
    made.node.always('put', gives({ revision: 5, created: false, prev: raw('k', new Uint8Array([255])) }));
    expect(await failure(made.time.until(made.client.put('k', 'x', { prev: true })))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      outcome: 'unknown',
    });
  });

  test('a condition that failed shows what is there, as the codec makes it', async () => {
    const made = scene();
    made.node.next('put', fails('ERR_CAS_FAILED', 'none', { current: raw('k', '{"n":1}'), requestId: 'r' }));
    const client = made.client.with(json());
    const error = await failure(made.time.until(client.put('k', {}, { condition: 4 })));
    expect(error).toMatchObject({
      code: 'ERR_CAS_FAILED',
      details: { current: { key: 'k', value: { n: 1 } }, requestId: 'r' },
    });
    expect(made.node.of('put')[0]!.request).toMatchObject({ condition: { type: 'modRevision', revision: 4 } });
    made.node.next('put', fails('ERR_CAS_FAILED', 'none', { current: null }));
    expect(await failure(made.time.until(client.put('k', {}, { condition: 'exists' })))).toMatchObject({
      details: { current: null },
    });
  });
});

describe('Standard Schema', () => {
  interface Order {
    readonly id: number;
    readonly state: string;
  }
  /** Takes an order whose state may be missing, and gives it one. */
  const schema: StandardSchema<{ id: number; state?: string }, Order> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (given) => {
        const { id, state = 'new' } = given as { id: unknown; state?: unknown };
        if (typeof id !== 'number') return { issues: [{ message: 'must be a number', path: ['id'] }] };
        if (typeof state !== 'string') return { issues: [{ message: 'must be text', path: [{ key: 'state' }] }] };
        return { value: { id, state } };
      },
    },
  };

  test('gives types, checks what is written and what is read', async () => {
    const made = scene();
    const orders = made.client.typed(schema);
    expectTypeOf(orders).toEqualTypeOf<Client<Order, { id: number; state?: string }>>();
    const entry = await roundTrip(orders, made, { id: 7 });
    expect(entry.value).toEqual({ id: 7, state: 'new' });
    // Stored is what was given.
    expect(new TextDecoder().decode((made.node.of('put')[0]!.request as PutRequest).value as Uint8Array)).toBe(
      '{"id":7}',
    );
    expect(await failure(orders.put('k', { id: 'x' } as never))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { issues: [{ message: 'must be a number', path: 'id' }] },
    });
    made.node.always('get', gives({ entry: raw('k', '{"id":1,"state":2}') }));
    expect(await failure(orders.get('k'))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { key: 'k', issues: [{ path: 'state' }] },
    });
  });

  test('what is checked is what a reader will see', async () => {
    const made = scene();
    const dates: StandardSchema<Date> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: async (given) =>
          given instanceof Date ? { value: given } : { issues: [{ message: 'must be a Date' }] },
      },
    };
    expect(await failure(made.client.typed(dates).put('k', new Date()))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    expect(made.node.asked).toHaveLength(0);
  });
});

describe('transactions', () => {
  test('as the protocol has them', async () => {
    const made = scene();
    made.node.always('txn', gives({ succeeded: true, revision: 9, responses: [] }));
    await made.time.until(
      made.client.txn({
        if: [
          value('a').is('1'),
          value('a').isNot('2'),
          value('a').lessThan('3'),
          value('a').greaterThan('0'),
          version('a').is(1),
          createRevision('a').lessThan(5),
          modRevision('a').greaterThan(2),
          lease('a').is(null),
          exists('b'),
          missing('c'),
          token('orders').is(41),
        ],
        else: [
          put('a', 'x', { lease: '7', prev: true }),
          del('b', { prev: true }),
          delPrefix('c/'),
          get('d'),
          range({ prefix: 'e/', limit: 5, keysOnly: true }),
          range({ start: 'f', end: null }),
        ],
      }),
    );
    const asked = made.node.of('txn')[0]!.request as TxnRequest;
    expect(asked.if).toEqual([
      { target: 'value', key: 'a', operator: '=', value: utf8('1') },
      { target: 'value', key: 'a', operator: '!=', value: utf8('2') },
      { target: 'value', key: 'a', operator: '<', value: utf8('3') },
      { target: 'value', key: 'a', operator: '>', value: utf8('0') },
      { target: 'version', key: 'a', operator: '=', value: 1 },
      { target: 'createRevision', key: 'a', operator: '<', value: 5 },
      { target: 'modRevision', key: 'a', operator: '>', value: 2 },
      { target: 'lease', key: 'a', operator: '=', value: null },
      { target: 'version', key: 'b', operator: '>', value: 0 },
      { target: 'version', key: 'c', operator: '=', value: 0 },
      { target: 'token', lock: 'orders', operator: '=', value: 41 },
    ]);
    expect(asked.then).toEqual([]);
    expect(asked.else).toEqual([
      { put: { key: 'a', value: utf8('x'), contentType: 'text/plain; charset=utf-8', lease: '7', prev: true } },
      { delete: { key: 'b', prev: true } },
      { delete: { prefix: 'c/' } },
      { get: { key: 'd' } },
      { range: { prefix: 'e/', limit: 5, keysOnly: true } },
      { range: { start: 'f', end: null, limit: undefined, keysOnly: false } },
    ]);
    expect(() => delPrefix('')).not.toThrow();
    expect(await failure(made.client.txn({ then: [delPrefix('')] }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test('responses are typed by the operations', async () => {
    const made = scene();
    const entries = [raw('e/1', '1')];
    made.node.next(
      'txn',
      gives({
        succeeded: true,
        revision: 9,
        responses: [
          { put: { prev: raw('a', '0') } },
          { get: raw('d', '4') },
          { range: { entries: [{ ...raw('e/1', ''), value: undefined }], count: 2 } },
        ],
      }),
      gives({
        succeeded: false,
        revision: 9,
        responses: [{ delete: { deleted: 3 } }, { range: { entries, count: 1 } }],
      }),
    );
    const ask = () =>
      made.client.txn({
        if: [value('a').is('0')],
        then: [put('a', '1', { prev: true }), get('d'), range({ prefix: 'e/', keysOnly: true })],
        else: [delPrefix('x/'), range({ prefix: 'e/' })],
      });
    const won = await made.time.until(ask());
    if (won.succeeded) {
      expectTypeOf(won.responses).toEqualTypeOf<readonly [PutResponse, GetResponse, RangeResponse<KeyEntry>]>();
      expect(won.responses[0].prev?.value).toBe('0');
      expect(won.responses[1].entry?.value).toBe('4');
      expect(won.responses[2].entries.map(({ key }) => key)).toEqual(['e/1']);
    } else {
      expectTypeOf(won.responses).toEqualTypeOf<readonly [DeleteResponse, RangeResponse]>();
    }
    expect(won.succeeded).toBe(true);

    const { succeeded, responses } = await made.time.until(ask());
    if (succeeded) throw new Error('the other branch');
    expectTypeOf(responses[0].deleted).toEqualTypeOf<number>();
    expect(responses).toMatchObject([
      { type: 'delete', deleted: 3 },
      { type: 'range', entries: [{ key: 'e/1', value: '1' }], count: 1 },
    ]);
  });

  test('the example: one branch and no condition have types too', async () => {
    const made = scene();
    made.node.always('txn', gives({ succeeded: true, revision: 1, responses: [{ get: null }] }));
    const { responses } = await made.time.until(made.client.txn({ then: [get('a')] }));
    expectTypeOf(responses).toEqualTypeOf<readonly [GetResponse] | readonly []>();
    const numbers = made.client.with(json<number>());
    const typed = await made.time.until(numbers.txn({ if: [value('a').is(3)], then: [get('a')] }));
    if (typed.succeeded) expectTypeOf(typed.responses).toEqualTypeOf<readonly [GetResponse<number>]>();
    // @ts-expect-error A client of numbers writes no text.
    await made.time.until(numbers.txn({ then: [put('a', 'text')] }));
  });

  test('an answer that does not fit is not believed', async () => {
    const made = scene();
    made.node.always('txn', gives({ succeeded: true, revision: 1, responses: [] }));
    expect(await failure(made.time.until(made.client.txn({ then: [get('a')] })))).toMatchObject({
      code: 'ERR_INTERNAL',
      outcome: 'unknown',
    });
  });
});

describe('lists', () => {
  test('pages, keys, counts, and all of them at one revision', async () => {
    const made = scene();
    made.node.next(
      'list',
      gives({ revision: 9, entries: [raw('a', '1')], count: 2, nextCursor: 'c' }),
      gives({ revision: 9, entries: [raw('a', '')], count: 2, nextCursor: null }),
      gives({ revision: 9, entries: [], count: 2, nextCursor: null }),
      gives({ revision: 9, entries: [raw('a', '1')], count: 2, nextCursor: 'c' }),
      gives({ revision: 9, entries: [raw('b', '2')], count: 2, nextCursor: null }),
    );
    expect(await made.client.list({ prefix: 'x', limit: 1 })).toMatchObject({
      revision: 9,
      entries: [{ key: 'a', value: '1' }],
      count: 2,
      nextCursor: 'c',
    });
    const { entries } = await made.client.keys({ prefix: '' });
    expect(entries).toEqual([{ key: 'a', createRevision: 3, modRevision: 5, version: 2, lease: null }]);
    expect(entries[0]!.keyBytes).toEqual(utf8('a'));
    await expect(made.client.count()).resolves.toBe(2);
    const all: string[] = [];
    for await (const { key } of made.client.entries({ prefix: 'x', revision: 9 })) all.push(key);
    expect(all).toEqual(['a', 'b']);
    expect(made.node.of('list').map(({ request }) => request)).toMatchObject([
      { prefix: 'x', limit: 1 },
      { keysOnly: true, prefix: undefined },
      { countOnly: true },
      { prefix: 'x', limit: 1000, revision: 9, cursor: undefined },
      { prefix: 'x', limit: 1000, revision: undefined, cursor: 'c' },
    ]);
  });
});

describe('bytes', () => {
  test('keys of any bytes there and back; what is not UTF-8 has no text', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (key) => {
        expect(bytesOfByteKey(byteKeyOf(key))).toEqual(key);
        expect(bytesOfBase64(base64(key))).toEqual(key);
        expect(bytesOfBase64(base64url(key))).toEqual(key);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (key) => {
        expect(textOfByteKey(byteKeyOfText(key))).toBe(key);
      }),
    );
    expect(textOfByteKey('\xff')).toBeNull();
    const large = new Uint8Array(300_000).fill(200);
    expect(bytesOfBase64(base64(large))).toEqual(large);
  });

  test('an entry whose key is not UTF-8 has an empty text, which is refused wherever it is used', async () => {
    const made = scene();
    made.node.always('get', gives({ entry: raw('\xff', '1') }));
    expect(await made.client.get(new Uint8Array([255]))).toMatchObject({ key: '', keyBytes: new Uint8Array([255]) });
  });
});

describe('durations', () => {
  test.each([
    [250, 250],
    [0, 0],
    ['250ms', 250],
    ['15s', 15_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
  ])('%j', (written, ms) => expect(durationMs('ttl', written)).toBe(ms));

  test.each([-1, Number.NaN, Infinity, '', '15', '1.5s', 's', '15 s', '1d', '99999999999999999h'])(
    '%j is none',
    (written) => {
      expect(() => durationMs('ttl', written)).toThrow(KvorumError);
    },
  );

  test('endless where it may be', () => expect(durationMs('wait', Infinity, { endless: true })).toBe(Infinity));
});

test('the codecs are what they say', () => {
  expectTypeOf(text).toEqualTypeOf<Codec<string>>();
  expectTypeOf(bytes).toEqualTypeOf<Codec<Uint8Array>>();
});
