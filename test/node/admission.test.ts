import { describe, expect, test } from 'vitest';
import { judgeClient, judgeHello } from '../../src/node/admission.ts';
import type { AdmissionContext } from '../../src/node/admission.ts';
import type { PeerRecord } from '../../src/node/peer-memory.ts';
import type { Hello } from '../../src/transport/types.ts';

const MEMBERS = ['a', 'b', 'c'].map((name) => ({
  id: `1${name.charCodeAt(0)}`,
  name,
  peerId: `p-${name}`,
  address: `${name}:1`,
}));

function context(remembered?: PeerRecord): AdmissionContext {
  return { clusterId: '42', members: MEMBERS, removed: [{ id: '77', name: 'z' }], remembered: () => remembered };
}

function hello(given: Partial<Hello> = {}): Hello {
  return {
    clusterId: '42',
    id: MEMBERS[1]!.id,
    name: 'b',
    peerId: 'p-b',
    bootEpoch: 5,
    address: 'b:1',
    http: '',
    pid: 1,
    protocol: 1,
    extra: { lastIndex: { 1: 100 } },
    ...given,
  };
}

describe('a member of a formed cluster', () => {
  test('lets the other members in, those too that have yet to adopt the map', () => {
    expect(judgeHello(context(), hello())).toEqual({ ok: true });
    expect(judgeHello(context(), hello({ clusterId: null }))).toEqual({ ok: true });
    expect(judgeHello(context({ bootEpoch: 5, indexes: { 1: 100 } }), hello())).toEqual({ ok: true });
    expect(judgeHello(context({ bootEpoch: 1, indexes: { 1: 7 } }), hello())).toEqual({ ok: true });
  });

  test('lets in who belongs to the cluster and is not known yet: it was added, and this node has not heard of it', () => {
    expect(judgeHello(context(), hello({ id: '99', name: 'd', peerId: 'p-d' }))).toEqual({ ok: true });
    // With the name of a member that it replaces.
    expect(judgeHello(context(), hello({ id: '99', peerId: 'p-b2' }))).toEqual({ ok: true });
  });

  test('lets in who would join, whatever its name: that is decided where it asks', () => {
    const joiner = { clusterId: null, id: '99', peerId: 'p-b2', extra: { join: 'voter', role: 'voter' } };
    expect(judgeHello(context(), hello(joiner))).toEqual({ ok: true });
    expect(judgeHello(context(), hello({ ...joiner, extra: { join: 'voter', role: 'learner' } }))).toMatchObject({
      ok: false,
    });
  });

  const refused: [string, PeerRecord | undefined, Partial<Hello>, string, RegExp][] = [
    ['an older protocol', undefined, { protocol: 0 }, 'ERR_WRONG_PROTOCOL', /upgrade b to the version of this node/],
    ['a newer protocol', undefined, { protocol: 2 }, 'ERR_WRONG_PROTOCOL', /upgrade this node to the version of b/],
    [
      'another cluster',
      undefined,
      { clusterId: '43' },
      'ERR_WRONG_CLUSTER',
      /b belongs to cluster 43, this is cluster 42/,
    ],
    [
      'a member of another cluster with the name of ours',
      undefined,
      { clusterId: '43', peerId: 'x' },
      'ERR_WRONG_CLUSTER',
      /43/,
    ],
    ['a wiped member', undefined, { clusterId: null, peerId: 'p-b2' }, 'ERR_MEMBER_REPLACED', /wiped.*--replace b/s],
    [
      'a fresh node nobody knows',
      undefined,
      { clusterId: null, name: 'd', peerId: 'p-d' },
      'ERR_BOOTSTRAP_CONFLICT',
      /formed already/,
    ],
    ['a removed member', undefined, { id: '77', name: 'z', peerId: 'p-z' }, 'ERR_MEMBER_REMOVED', /was the member z/],
    [
      'a removed member that would join again',
      undefined,
      { clusterId: null, id: '77', name: 'y', peerId: 'p-z', extra: { join: 'voter' } },
      'ERR_MEMBER_REMOVED',
      /empty data directory/,
    ],
    ['a member under another name', undefined, { name: 'd' }, 'ERR_MEMBER_REPLACED', /belongs to the member b/],
    ['an old boot epoch', { bootEpoch: 6, indexes: {} }, {}, 'ERR_MEMBER_REPLACED', /old copy.*boot 5.*boot 6/s],
    [
      'a log that ends before what it acknowledged',
      { bootEpoch: 5, indexes: { 1: 101 } },
      {},
      'ERR_MEMBER_REPLACED',
      /entry 100 of group 1.*entry 101/s,
    ],
    [
      'a log that lacks a group',
      { bootEpoch: 5, indexes: { 1: 7, 9: 3 } },
      {},
      'ERR_MEMBER_REPLACED',
      /entry 0 of group 9/,
    ],
  ];
  test.each(refused)('refuses %s', (_what, remembered, given, code, message) => {
    expect(judgeHello(context(remembered), hello(given))).toEqual({
      ok: false,
      code,
      message: expect.stringMatching(message) as unknown,
    });
  });

  test('judges by the boot epoch alone who does not say where its log ends', () => {
    expect(judgeHello(context({ bootEpoch: 5, indexes: { 1: 101 } }), hello({ extra: {} }))).toEqual({ ok: true });
  });
});

describe('a client', () => {
  const client = (given: Partial<Hello> = {}): Hello =>
    hello({ clusterId: null, name: 'web', peerId: 'p-web', id: '9', address: '', extra: { client: true }, ...given });

  test('is let in when it speaks our protocol and is nobody else', () => {
    expect(judgeClient({ clusterId: '42', members: MEMBERS }, client())).toBeNull();
    expect(judgeClient({ clusterId: '42', members: MEMBERS }, client({ clusterId: '42' }))).toBeNull();
    expect(judgeClient({ clusterId: null, members: [] }, client())).toBeNull();
  });

  test.each([
    [{ protocol: 2 }, 'ERR_WRONG_PROTOCOL'],
    [{ clusterId: '43' }, 'ERR_WRONG_CLUSTER'],
    [{ name: 'b' }, 'ERR_FORBIDDEN'],
    [{ peerId: 'p-b' }, 'ERR_FORBIDDEN'],
  ])('is refused with %j', (given, code) => {
    expect(judgeClient({ clusterId: '42', members: MEMBERS }, client(given))).toMatchObject({ ok: false, code });
  });
});
