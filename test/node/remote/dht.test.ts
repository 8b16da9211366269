/** The DHT of a node from elsewhere, as in the node's own process, and nothing gets through that is not of its type. */
import { beforeEach, expect, test } from 'vitest';

import { KvorumError } from '../../../src/errors.ts';
import { METHOD } from '../../../src/node/remote/protocol.ts';
import { FakeNode } from '../../http/fake-node.ts';
import { wireTo } from './wire.ts';
import type { Wire } from './wire.ts';

let node: FakeNode;
let wire: Wire;
beforeEach(() => {
  node = new FakeNode();
  wire = wireTo(node);
});

/** What the node was told last: method, arguments, options without the signal. */
function told(): unknown[] {
  const { method, args, options } = node.calls.at(-1)!;
  const { signal: _, ...rest } = options;
  return [method, ...args, rest];
}

test('every call, with its arguments there and its answer back', async () => {
  const { dht } = wire.remote;
  const options = { timeoutMs: 900, paths: 4, trace: true };
  expect(await dht.put('k', 'v', { ...options, ttlMs: 5000 })).toEqual(
    await node.dht.put('k', 'v', options).then((answer) => ({ ...answer, seq: answer.seq - 1 })),
  );
  const { record, steps, ...report } = await dht.get('k', options);
  expect(told()).toEqual(['dht.get', 'k', options]);
  expect(record?.value).toEqual(new Uint8Array(Buffer.from('v')));
  const own = await node.dht.get('k', options);
  expect({ record, steps, ...report }).toEqual(own);
  for (const target of ['k', { node: '102' }]) {
    expect(await dht.lookup(target, options)).toEqual(await node.dht.lookup(target, options));
    expect(told()).toEqual(['dht.lookup', target, options]);
  }
  expect(await dht.providers('group/1')).toEqual(await node.dht.providers('group/1'));
  expect(told()).toEqual(['dht.providers', 'group/1', {}]);
  expect((await dht.get('nothing')).record).toBeNull();
});

test('what the node refuses is refused with its code and what it tells', async () => {
  node.error = new KvorumError('ERR_TOO_LARGE', 'too large', { details: { limit: 4096 } });
  await expect(wire.remote.dht.put('k', 'v')).rejects.toMatchObject({
    code: 'ERR_TOO_LARGE',
    details: { limit: 4096 },
  });
});

test('a caller that goes ends the search', async () => {
  node.hold();
  const controller = new AbortController();
  const asked = wire.remote.dht.get('k', { signal: controller.signal });
  await expect.poll(() => node.calls.length).toBe(1);
  controller.abort(new Error('enough'));
  await expect(asked).rejects.toThrow('enough');
  await expect.poll(() => node.calls[0]!.options.signal?.aborted).toBe(true);
});

test.each([
  ['a key of another type', METHOD.dhtGet, [7]],
  ['paths that are a word', METHOD.dhtGet, ['k', { paths: 'many' }]],
  ['a value of another type', METHOD.dhtPut, ['k', 7]],
  ['a life of another type', METHOD.dhtPut, ['k', 'v', { ttlMs: '1s' }]],
  ['a name of another type', METHOD.dhtProviders, [null]],
  ['a target of another type', METHOD.dhtLookup, [{ node: '7' }]],
  ['an id of another type', METHOD.dhtLookup, [[7]]],
])('%s does not reach the node', async (_, method, args) => {
  await expect(wire.remote.ask(method, args)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  expect(node.calls).toEqual([]);
});
