/** Members and join tokens over HTTP. */
import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { eventually, serve, Wire } from './wire.ts';

const N2 = { name: 'n2', peerId: '12D3KooWTwo', address: '10.0.0.2:7201' };
const N3 = { name: 'n3', peerId: '12D3KooWThree', address: '10.0.0.3:7201' };

test('a member, from its coming to its going', async () => {
  const { node, post, send } = await serve();
  const added = await post('/v1/cluster/members', N2);
  expect([added.status, added.json]).toEqual([201, { id: '102', name: 'n2', role: 'learner' }]);
  const again = await post('/v1/cluster/members', { ...N2, role: 'voter' });
  expect([again.status, again.json]).toEqual([201, { id: '102', name: 'n2', role: 'learner' }]);
  expect((await send('/v1/cluster')).json['members']).toMatchObject([
    { name: 'n1', role: 'voter', health: 'alive' },
    { ...{ name: 'n2', peerId: N2.peerId, addresses: [N2.address] }, role: 'learner', health: 'suspect' },
  ]);

  node.members.behind.add('n2');
  const early = await send('/v1/cluster/members/n2/promote', { method: 'POST' });
  expect([early.status, early.json]).toEqual([
    409,
    expect.objectContaining({ code: 'ERR_NOT_CAUGHT_UP', retryable: true, outcome: 'none' }),
  ]);
  node.members.behind.clear();
  const voter = { id: '102', name: 'n2', role: 'voter' };
  for (const target of ['n2', '102', '%6e2']) {
    const promoted = await send(`/v1/cluster/members/${target}/promote`, { method: 'POST' });
    expect([promoted.status, promoted.json]).toEqual([200, voter]);
  }

  expect((await post('/v1/cluster/members/n1/demote', {})).json).toEqual({ id: '101', name: 'n1', role: 'learner' });
  const last = await post('/v1/cluster/members/n2/demote', {});
  expect([last.status, last.json['code'], last.json['retryable']]).toEqual([409, 'ERR_LAST_VOTER', false]);

  await post('/v1/cluster/members', { ...N3, role: 'learner' });
  const replaced = await post('/v1/cluster/members/n2/replace', { by: 'n3' });
  expect([replaced.status, replaced.json]).toEqual([200, { id: '103', name: 'n3', role: 'voter' }]);
  const gone = await post('/v1/cluster/members', N2);
  expect([gone.status, gone.json['code']]).toEqual([410, 'ERR_MEMBER_REMOVED']);

  const remove = async (id: string): Promise<unknown[]> => {
    const answer = await send(`/v1/cluster/members/${id}`, { method: 'DELETE' });
    return [answer.status, answer.json];
  };
  expect(await remove('101')).toEqual([200, { removed: true }]);
  expect(await remove('101')).toEqual([200, { removed: false }]);
  expect(await remove('n3')).toEqual([409, expect.objectContaining({ code: 'ERR_LAST_VOTER' })]);
});

test('a new member takes the place, and the name, of one whose disk is lost', async () => {
  const { post } = await serve();
  await post('/v1/cluster/members', N2);
  const wiped = { ...N2, peerId: '12D3KooWNew' };
  const taken = await post('/v1/cluster/members', wiped);
  expect([taken.status, taken.json['code']]).toEqual([409, 'ERR_MEMBER_EXISTS']);
  const added = await post('/v1/cluster/members', { ...wiped, replaces: 'n2' });
  expect([added.status, added.json]).toEqual([201, { id: '103', name: 'n2', role: 'learner' }]);
  expect((await post('/v1/cluster/members', { ...N3, replaces: 'n9' })).status).toBe(404);
});

test('what can be said is what the node is told, with the time that it has', async () => {
  const { node, post, send } = await serve();
  const told = async (call: Promise<unknown>): Promise<unknown> => {
    await call;
    const { method, args, options } = node.calls.at(-1)!;
    const { signal, ...rest } = options;
    expect(signal).toBeInstanceOf(AbortSignal);
    return [method, ...args, rest];
  };
  const whole = { ...N2, role: 'learner', replaces: 'n1' };
  expect(await told(post('/v1/cluster/members?timeout=9s', whole))).toEqual([
    'members.add',
    whole,
    { timeoutMs: 9000 },
  ]);
  expect(await told(post('/v1/cluster/members', N3))).toEqual(['members.add', N3, { timeoutMs: 4000 }]);
  const path = '/v1/cluster/members/n1';
  expect(await told(post(`${path}/promote?timeout=60s`, {}))).toEqual(['members.promote', 'n1', { timeoutMs: 60_000 }]);
  expect(await told(post(`${path}/demote?timeout=1`, {}))).toEqual(['members.demote', 'n1', { timeoutMs: 1 }]);
  expect(await told(post(`${path}/replace?timeout=1s`, { by: '7' }))).toEqual([
    ...['members.replace', 'n1', '7'],
    { timeoutMs: 1000 },
  ]);
  expect(await told(send(`${path}?timeout=2s`, { method: 'DELETE' }))).toEqual([
    ...['members.remove', 'n1'],
    { timeoutMs: 2000 },
  ]);
  const token = { ttl: '30m', role: 'agent' };
  expect(await told(post('/v1/cluster/tokens?timeout=3s', token))).toEqual([
    'members.createToken',
    { timeoutMs: 3000, ttlMs: 1_800_000, role: 'agent' },
  ]);
});

test('join tokens', async () => {
  const { post } = await serve();
  const made = await post('/v1/cluster/tokens', {});
  expect([made.status, made.json]).toEqual([201, { token: 'kvt-any', expiresMs: 1_800_003_600_000 }]);
  const agent = await post('/v1/cluster/tokens', { ttl: '720h', role: 'agent' });
  expect([agent.status, agent.json]).toEqual([201, { token: 'kvt-agent', expiresMs: 1_802_592_000_000 }]);
  for (const ttl of [999, '721h', -1, 'soon', null]) {
    const refused = await post('/v1/cluster/tokens', { ttl });
    expect([refused.status, refused.json['field']]).toEqual([400, 'ttl']);
  }
});

test.each([
  ['/v1/cluster/members', {}, 'name'],
  ['/v1/cluster/members', { ...N2, name: '' }, 'name'],
  ['/v1/cluster/members', { ...N2, name: 'x'.repeat(64) }, 'name'],
  ['/v1/cluster/members', { ...N2, peerId: 7 }, 'peerId'],
  ['/v1/cluster/members', { ...N2, peerId: 'x'.repeat(129) }, 'peerId'],
  ['/v1/cluster/members', { name: 'n2', peerId: 'p' }, 'address'],
  ['/v1/cluster/members', { ...N2, address: 'x'.repeat(262) }, 'address'],
  ['/v1/cluster/members', { ...N2, role: 'agent' }, 'role'],
  ['/v1/cluster/members', { ...N2, replaces: '' }, 'replaces'],
  ['/v1/cluster/members', { ...N2, roll: 'voter' }, 'roll'],
  ['/v1/cluster/members/n1/replace', {}, 'by'],
  ['/v1/cluster/members/n1/replace', { by: 'n2', force: true }, 'force'],
  ['/v1/cluster/members/n1/promote', { by: 'n2' }, 'by'],
  ['/v1/cluster/members/n1/demote', { to: 'n2' }, 'to'],
  ['/v1/cluster/tokens', { role: 'leader' }, 'role'],
])('%s %j is refused by its field, and the node hears nothing of it', async (target, body, field) => {
  const { node, post } = await serve();
  const answer = await post(target, body);
  expect([answer.status, answer.json]).toEqual([
    400,
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', field, outcome: 'none' }),
  ]);
  expect(node.calls).toEqual([]);
});

test.each([
  ['POST', '/v1/cluster/members/%2e%2e/promote'],
  ['POST', '/v1/cluster/members/%FF/demote'],
  ['DELETE', `/v1/cluster/members/${'x'.repeat(513)}`],
  ['DELETE', '/v1/cluster/members/n1?force=true'],
  ['POST', '/v1/cluster/members/n1/promote?timeout=61s'],
])('%s %s is refused', async (method, target) => {
  const { node, send } = await serve();
  const answer = await send(target, { method });
  expect([answer.status, answer.json['code']]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  expect(node.calls).toEqual([]);
});

test.each<[ErrorCode, number, boolean]>([
  ['ERR_MEMBER_EXISTS', 409, false],
  ['ERR_MEMBERSHIP_BUSY', 409, true],
  ['ERR_NOT_CAUGHT_UP', 409, true],
  ['ERR_LAST_VOTER', 409, false],
  ['ERR_MEMBER_REMOVED', 410, false],
  ['ERR_NO_LEADER', 503, true],
])('%s comes as %d, retryable: %s, with its outcome and what it tells', async (code, status, retryable) => {
  const { node, post } = await serve();
  node.error = new KvorumError(code, 'because', { outcome: 'unknown', details: { member: 'n2' } });
  for (const [target, body] of [
    ['/v1/cluster/members', N2],
    ['/v1/cluster/members/n2/promote', {}],
    ['/v1/cluster/members/n2/replace', { by: 'n3' }],
  ] as const) {
    const answer = await post(target, body);
    expect([answer.status, answer.json]).toEqual([
      status,
      expect.objectContaining({ code, retryable, outcome: 'unknown', member: 'n2' }),
    ]);
  }
});

test('what breaks in a change leaves its outcome unknown', async () => {
  const { node, send } = await serve();
  node.error = new TypeError('a bug');
  const answer = await send('/v1/cluster/members/n1', { method: 'DELETE' });
  expect(answer.json).toMatchObject({ status: 500, code: 'ERR_INTERNAL', outcome: 'unknown' });
});

test('a client that hangs up ends the waiting for a learner', async () => {
  const { node, port } = await serve();
  node.hold();
  const wire = new Wire(port);
  wire.write('POST /v1/cluster/members/n1/promote?timeout=60s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
  await eventually(() => node.calls.length === 1);
  const { signal } = node.calls[0]!.options;
  expect(signal!.aborted).toBe(false);
  wire.socket.destroy();
  await eventually(() => signal!.aborted);
});

test('who is there, with what they say of themselves', async () => {
  const { node, send } = await serve();
  node.members.show('n1', { metadata: { zone: 'b' }, incarnation: 2 ** 20 });
  const { status, json } = await send('/v1/cluster/members');
  expect([status, json]).toEqual([
    200,
    {
      members: [
        expect.objectContaining({ name: 'n1', health: 'alive', metadata: { zone: 'b' }, incarnation: 2 ** 20 }),
      ],
    },
  ]);
  node.script.set('members.list', () => {
    throw new KvorumError('ERR_NO_LEADER', 'not joined yet');
  });
  expect((await send('/v1/cluster/members')).status).toBe(503);
});

test('a watch of the members: the list, then each that is another, under ids that every node would give', async () => {
  const { node, listen } = await serve();
  const stream = await listen('/v1/cluster/watch');
  await stream.until(({ events }) => events.length === 1);
  // How far it is in the log is no change.
  node.members.show('n1', { matchIndex: 10, appliedIndex: 10 });
  node.members.show('n1', { health: 'suspect' });
  await stream.until(({ events }) => events.length === 2);
  node.members.show('n1', { health: 'alive' });
  await stream.until(({ events }) => events.length === 3);
  const health = stream.data.map((data) => (data as { members: { health: string }[] }).members[0]!.health);
  expect(health).toEqual(['alive', 'suspect', 'alive']);
  const ids = stream.events.map(({ id }) => id);
  expect(new Set(ids).size).toBe(2);
  expect(ids[2]).toBe(ids[0]);

  // Who comes back is told what is new to it only, by this node or another.
  const other = await serve();
  const again = await other.listen('/v1/cluster/watch', { 'last-event-id': ids[2]! });
  other.node.members.show('n1', { health: 'unreachable' });
  await again.until(({ events }) => events.length === 1);
  expect(again.data).toMatchObject([{ members: [{ health: 'unreachable' }] }]);
  const unknown = await other.listen('/v1/cluster/watch', { 'last-event-id': 'of somewhere else' });
  await unknown.until(({ events }) => events.length === 1);

  // A node that closes ends it, and says so.
  other.node.members.closed.abort();
  await again.until(({ ended }) => ended);
  expect(again.events.at(-1)).toMatchObject({ event: 'error' });
});

test('a watch of the members that cannot begin is a problem, not a stream', async () => {
  const { node, send } = await serve();
  node.script.set('members.list', () => {
    throw new KvorumError('ERR_NO_LEADER', 'not joined yet');
  });
  const { status, json } = await send('/v1/cluster/watch');
  expect([status, json['code']]).toEqual([503, 'ERR_NO_LEADER']);
});
