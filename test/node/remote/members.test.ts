/** Members are changed from elsewhere as in the node's own process, and nothing gets through that is not of its type. */
import { beforeEach, describe, expect, test } from 'vitest';

import { KvorumError } from '../../../src/errors.ts';
import { METHOD } from '../../../src/node/remote/protocol.ts';
import type { NewMember } from '../../../src/node/types.ts';
import { FakeNode } from '../../http/fake-node.ts';
import { wireTo } from './wire.ts';
import type { Wire } from './wire.ts';

const N2: NewMember = { name: 'n2', peerId: '12D3KooWTwo', address: '10.0.0.2:7201' };

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
  const { members } = wire.remote;
  expect(await members.add(N2, { timeoutMs: 900 })).toEqual({ id: '102', name: 'n2', role: 'learner' });
  expect(told()).toEqual(['members.add', N2, { timeoutMs: 900 }]);
  expect(await members.promote('n2', { timeoutMs: 800 })).toEqual({ id: '102', name: 'n2', role: 'voter' });
  expect(told()).toEqual(['members.promote', 'n2', { timeoutMs: 800 }]);
  expect(await members.demote('101', { timeoutMs: 700 })).toEqual({ id: '101', name: 'n1', role: 'learner' });
  expect(told()).toEqual(['members.demote', '101', { timeoutMs: 700 }]);
  expect(await members.replace('n2', 'n1', { timeoutMs: 600 })).toEqual({ id: '101', name: 'n1', role: 'voter' });
  expect(told()).toEqual(['members.replace', 'n2', 'n1', { timeoutMs: 600 }]);
  expect(await members.remove('n2', { timeoutMs: 500 })).toEqual({ removed: false });
  expect(told()).toEqual(['members.remove', 'n2', { timeoutMs: 500 }]);
  const token = { ttlMs: 60_000, role: 'agent', timeoutMs: 400 } as const;
  expect(await members.createToken(token)).toEqual({ token: 'kvt-agent', expiresMs: 1_800_000_060_000 });
  expect(told()).toEqual(['members.createToken', token]);
});

test('what may be left out may be left out', async () => {
  const { members } = wire.remote;
  const whole: NewMember = { ...N2, role: 'voter', replaces: 'n9' };
  await expect(members.add(whole)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  expect(told()).toEqual(['members.add', whole, {}]);
  await members.add(N2);
  expect(told()).toEqual(['members.add', N2, {}]);
  await members.promote('n2');
  expect(told()).toEqual(['members.promote', 'n2', {}]);
  await members.createToken();
  expect(told()).toEqual(['members.createToken', {}]);
});

test('what the node refuses is refused with its code, its outcome and what it tells', async () => {
  node.error = new KvorumError('ERR_NOT_CAUGHT_UP', 'it lags', { details: { behind: 41 } });
  await expect(wire.remote.members.promote('n2')).rejects.toMatchObject({
    ...{ code: 'ERR_NOT_CAUGHT_UP', outcome: 'none', message: 'it lags' },
    details: { behind: 41 },
  });
  node.error = new KvorumError('ERR_TIMEOUT', 'no answer in time', { outcome: 'unknown' });
  await expect(wire.remote.members.remove('n2')).rejects.toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
});

describe('an abort is told to the node, which waits no longer', () => {
  test.each([
    ['add', (signal: AbortSignal) => wire.remote.members.add(N2, { signal })],
    ['promote', (signal: AbortSignal) => wire.remote.members.promote('n1', { signal })],
    ['demote', (signal: AbortSignal) => wire.remote.members.demote('n1', { signal })],
    ['replace', (signal: AbortSignal) => wire.remote.members.replace('n1', 'n2', { signal })],
    ['remove', (signal: AbortSignal) => wire.remote.members.remove('n1', { signal })],
  ] as const)('%s', async (_, call) => {
    node.hold();
    const controller = new AbortController();
    const waiting = call(controller.signal);
    await expect.poll(() => node.calls.length).toBe(1);
    const { signal } = node.calls[0]!.options;
    expect(signal?.aborted).toBe(false);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => wire.session.inflight).toBe(0);
  });
});

describe('arguments of another type do not reach the node', () => {
  test.each<[number, unknown[], RegExp]>([
    [METHOD.memberAdd, [], /^member /],
    [METHOD.memberAdd, ['n2'], /^member /],
    [METHOD.memberAdd, [{}], /^name /],
    [METHOD.memberAdd, [{ ...N2, name: 7 }], /^name /],
    [METHOD.memberAdd, [{ ...N2, peerId: null }], /^peerId /],
    [METHOD.memberAdd, [{ ...N2, address: ['10.0.0.2:7201'] }], /^address /],
    [METHOD.memberAdd, [{ ...N2, role: 'agent' }], /^role must be one of voter, learner$/],
    [METHOD.memberAdd, [{ ...N2, replaces: 1 }], /^replaces /],
    [METHOD.memberAdd, [N2, { timeoutMs: '1s' }], /^timeoutMs /],
    [METHOD.memberPromote, [], /^member /],
    [METHOD.memberPromote, [102], /^member /],
    [METHOD.memberDemote, [{ name: 'n1' }], /^member /],
    [METHOD.memberReplace, ['n1'], /^by /],
    [METHOD.memberReplace, ['n1', 102], /^by /],
    [METHOD.memberRemove, [true], /^member /],
    [METHOD.createToken, ['1h'], /^options /],
    [METHOD.createToken, [{ ttlMs: '1h' }], /^ttlMs /],
    [METHOD.createToken, [{ role: 'leader' }], /^role must be one of voter, learner, agent$/],
  ])('%d %j', async (method, positional, message) => {
    const asked = wire.requester.call([0, method, ...positional], 64, (answer) => answer);
    await expect(asked).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message) as string,
    });
    expect(node.calls).toEqual([]);
    expect(wire.thrown).toEqual([]);
  });

  test('what a newer caller says beside them is passed over', async () => {
    const given = { ...N2, zone: 'eu', role: undefined, replaces: undefined };
    await wire.requester.call([0, METHOD.memberAdd, given, { urgent: true }], 64, (answer) => answer);
    expect(told()).toEqual(['members.add', N2, {}]);
  });

  test('text that has no UTF-8 form is not sent', async () => {
    await expect(wire.remote.members.promote('\ud800')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(wire.remote.members.replace('n1', '\ud800')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(wire.sent.requests).toBe(0);
  });
});

test('who is there, at once and as it changes', async () => {
  const { members } = wire.remote;
  expect((await members.list({ timeoutMs: 300 })).map(({ name }) => name)).toEqual(['n1']);
  expect(told()).toEqual(['members.list', { timeoutMs: 300 }]);
  node.members.show('n1', { metadata: { zone: 'b' }, incarnation: 2 ** 40 });
  const watch = members.watch();
  const first = await watch.next();
  expect(first.value).toMatchObject([{ name: 'n1', health: 'alive', metadata: { zone: 'b' }, incarnation: 2 ** 40 }]);
  const second = watch.next();
  node.members.show('n1', { health: 'suspect' });
  expect((await second).value).toMatchObject([{ health: 'suspect' }]);
  // A node that closes ends it.
  const third = watch.next();
  node.members.closed.abort();
  expect(await third).toEqual({ done: true, value: undefined });
  const controller = new AbortController();
  const other = members.watch({ signal: controller.signal });
  controller.abort();
  expect(await other.next()).toEqual({ done: true, value: undefined });
});
