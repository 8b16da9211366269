import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Once, Operation } from '../../src/machine/types.ts';
import { StateDigest } from '../../src/machine/digest.ts';
import { MAX_COUNTERS, MAX_QUEUE } from '../../src/machine/limits.ts';
import { encodeMeta, decodeMeta, metaKey } from '../../src/machine/meta.ts';
import { bytes, MemoryView, text } from '../kv/memory-view.ts';
import { anyOperation } from './arbitraries.ts';
import { ACQUIRE, Driver, command, entry, put, start } from './harness.ts';

const refused = (code: string) => expect.objectContaining({ ok: false, code });

function delayed(name: string, lease: string): Operation & { type: 'lockAcquire' } {
  return { ...ACQUIRE, name, lease, delayMs: 500 };
}

describe('a lease', () => {
  it('has the index of its entry for a name, and is renewed and checkpointed with a word to whoever counts', () => {
    const d = new Driver();
    expect(d.do({ type: 'leaseGrant', ttlMs: 5000, owner: '{"name":"a"}' })).toEqual({
      ok: true,
      type: 'lease',
      revision: 0,
      id: '1',
      ttlMs: 5000,
    });
    const lease = { id: '1', ttlMs: 5000, owner: '{"name":"a"}', counter: 0, remainingMs: 5000, ofLock: false };
    expect(d.effects).toEqual([{ type: 'leaseAlive', lease }]);
    d.do({ type: 'leaseCheckpoint', term: 1, leases: [{ lease: '1', counter: 0, remainingMs: 900 }] });
    expect(d.effects).toEqual([{ type: 'leaseAlive', lease: { ...lease, remainingMs: 900 } }]);
    d.restart();
    expect(d.leases.get('1')?.remainingMs).toBe(900);
    expect(d.do({ type: 'leaseRenew', leases: ['404', '1', '1'] })).toMatchObject({ ttlMs: [null, 5000, 5000] });
    expect(d.effects).toHaveLength(2);
    expect(d.leases.get('1')).toEqual({ ...lease, counter: 2 });
  });

  it('takes its keys with it, all at one revision, its locks, and its place in queues', () => {
    const d = new Driver();
    const [lease, other] = [d.grant(), d.grant()];
    for (const key of ['c', 'a', 'b']) d.do(put(key, 'v', lease));
    d.do(put('other', 'v', other));
    d.do(put('b', 'free'));
    const held = d.hold('held', { lease });
    d.hold('foreign', { lease: other });
    d.wait('foreign', { lease });
    d.wait('held', { lease: other });
    const revision = d.machine.revision;
    expect(d.do({ type: 'leaseRevoke', lease })).toEqual({
      ok: true,
      type: 'ended',
      revision: revision + 1,
      leases: 1,
      deleted: 2,
    });
    expect(d.machine.kv.changes(revision + 1).map(({ type, entry: { key } }) => [type, key])).toEqual([
      ['delete', 'a'],
      ['delete', 'c'],
    ]);
    expect(text(d.machine.kv.get('b')?.value)).toBe('free');
    expect(d.effects).toEqual([
      { type: 'leaseEnded', id: lease },
      { type: 'lock', effect: expect.objectContaining({ type: 'dropped', name: 'foreign', lease }) },
      { type: 'lock', effect: expect.objectContaining({ type: 'granted', name: 'held', lease: other }) },
      { type: 'lock', effect: { type: 'changed', name: 'foreign' } },
      { type: 'lock', effect: { type: 'changed', name: 'held' } },
    ]);
    expect(d.locks.token('held')).toBeGreaterThan(held.token);
    expect(d.do({ type: 'leaseRevoke', lease })).toEqual(refused('ERR_LEASE_NOT_FOUND'));
    expect(d.do(put('a', 'v', lease))).toEqual(refused('ERR_LEASE_NOT_FOUND'));
    expect(d.acquire('l', { lease })).toEqual(refused('ERR_LEASE_NOT_FOUND'));
  });

  it('ends with others by one entry, at one revision, and none of them is let in on the way', () => {
    const d = new Driver();
    const [a, b, c] = [d.grant(), d.grant(), d.grant()];
    d.do(put('a', 'v', a));
    d.do(put('b', 'v', b));
    d.hold('l', { lease: a });
    for (const lease of [b, c]) d.wait('l', { lease });
    expect(d.expire(a, '404', b, a)).toMatchObject({ leases: 2, deleted: 2, revision: 3 });
    expect(d.locks.get('l')?.holders.map(({ lease }) => lease)).toEqual([c]);
    expect(d.effects.filter(({ type }) => type === 'lock')).toEqual([
      { type: 'lock', effect: expect.objectContaining({ type: 'dropped', lease: b }) },
      { type: 'lock', effect: expect.objectContaining({ type: 'granted', lease: c }) },
      { type: 'lock', effect: { type: 'changed', name: 'l' } },
    ]);
  });

  it('does not end for a leader of another term, nor for one that missed a renewal', () => {
    const d = new Driver();
    const lease = d.grant();
    d.do(put('k', 'v', lease));
    const expire: Operation = { type: 'leaseExpire', term: 1, leases: [{ lease, counter: 0 }] };
    const checkpoint: Operation = {
      type: 'leaseCheckpoint',
      term: 1,
      leases: [{ lease, counter: 0, remainingMs: 1 }],
    };
    d.term = 2;
    expect(d.do(expire)).toMatchObject({ ok: true, leases: 0, deleted: 0 });
    expect(d.do(checkpoint)).toMatchObject({ ok: true, count: 0 });
    d.term = 3;
    d.do({ type: 'leaseRenew', leases: [lease] });
    expect(d.do({ ...expire, term: 3 })).toMatchObject({ leases: 0 });
    expect(d.do({ ...checkpoint, term: 3 })).toMatchObject({ count: 0 });
    expect(d.effects).toEqual([]);
    expect(d.leases.get(lease)).toMatchObject({ counter: 1, remainingMs: 10_000 });
    expect(d.expire(lease)).toMatchObject({ leases: 1, deleted: 1 });
  });

  it('that was lost makes its locks rest; one that was given back does not', () => {
    const d = new Driver();
    const [lost, revoked, next] = [d.grant(), d.grant(), d.grant()];
    d.do(delayed('lost', lost));
    d.do(delayed('revoked', revoked));
    for (const name of ['lost', 'revoked']) d.wait(name, { lease: next });
    d.expire(lost);
    expect(d.effects).toContainEqual({ type: 'lock', effect: { type: 'rests', name: 'lost', until: d.time + 500 } });
    d.do({ type: 'leaseRevoke', lease: revoked });
    expect(d.locks.get('lost')?.holders).toEqual([]);
    expect(d.locks.token('revoked')).toBeGreaterThan(0);
    d.restart();
    d.time += 499;
    d.do({ type: 'lockWake', names: ['lost'] });
    expect(d.locks.token('lost')).toBe(0);
    d.time += 1;
    d.do({ type: 'lockWake', names: ['lost', 'unknown'] });
    expect(d.locks.get('lost')?.holders).toMatchObject([{ lease: next }]);
  });
});

describe('a lease that is made with a lock', () => {
  it('ends when the lock is released, by lease or by token', () => {
    const d = new Driver();
    for (const by of ['lease', 'token'] as const) {
      const { lease, token } = d.hold('l');
      expect(d.leases.get(lease)).toMatchObject({ ofLock: true, ttlMs: 10_000 });
      d.do(put('k', 'v', lease));
      const holder = by === 'lease' ? { lease } : { token };
      expect(d.do({ type: 'lockRelease', name: 'l', kind: 'lock', holder })).toMatchObject({ count: 1 });
      expect(d.effects).toContainEqual({ type: 'leaseEnded', id: lease });
      expect(d.machine.kv.get('k')).toBeNull();
      expect(d.do({ type: 'lockRelease', name: 'l', kind: 'lock', holder })).toMatchObject({ count: 0 });
    }
    expect(d.machine.coordinator.leaseCount).toBe(0);
  });

  it('is not made for one who is not let in and does not wait', () => {
    const d = new Driver();
    d.hold('l', { owner: '{"name":"a"}' });
    expect(d.acquire('l', { wait: false })).toEqual({
      ok: false,
      code: 'ERR_LOCK_HELD',
      revision: 0,
      message: 'l is held',
      details: {
        holder: { token: 1, lease: '1', mode: 'write', owner: '{"name":"a"}', since: d.time },
      },
    });
    expect(d.acquire('l', { kind: 'semaphore', limit: 3 })).toEqual(refused('ERR_INVALID_ARGUMENT'));
    expect(d.machine.coordinator.leaseCount).toBe(1);
    expect(d.effects).toEqual([]);
  });

  it('ends with the wait, and has all of its time when the wait ends well', () => {
    const d = new Driver();
    const holder = d.hold('l');
    const [gone, next] = [d.wait('l'), d.wait('l')];
    const cancel = (waiter: { ticket: number; lease: string }): Operation => ({
      type: 'lockCancel',
      name: 'l',
      ...waiter,
    });
    expect(d.do(cancel(gone))).toMatchObject({ token: null, ticket: gone.ticket });
    expect(d.leases.has(gone.lease)).toBe(false);
    d.do({ type: 'leaseCheckpoint', term: 1, leases: [{ lease: next.lease, counter: 0, remainingMs: 1 }] });
    d.do({ type: 'lockRelease', name: 'l', kind: 'lock', holder });
    expect(d.leases.get(next.lease)).toMatchObject({ counter: 1, remainingMs: 10_000 });
    expect(d.effects.map((effect) => (effect.type === 'lock' ? effect.effect.type : effect.type))).toEqual([
      'leaseEnded',
      'granted',
      'leaseAlive',
      'changed',
    ]);
    // What comes too late tells the token instead.
    const token = d.locks.token('l');
    expect(d.do(cancel(next))).toMatchObject({ token, ttlMs: 10_000 });
    expect(d.do(cancel(gone))).toMatchObject({ token: null, ttlMs: 0 });
    expect(d.leases.has(next.lease)).toBe(true);
    // A checkpoint of before does nothing to it.
    d.expire(next.lease);
    expect(d.machine.coordinator.leaseCount).toBe(0);
  });

  it('ends when the lock is broken', () => {
    const d = new Driver();
    const readers = [d.hold('l', { mode: 'read' }), d.hold('l', { mode: 'read' })];
    const writer = d.wait('l', { delayMs: 100 });
    const kept = d.grant();
    expect(d.do({ type: 'lockBreak', name: 'nobody' })).toMatchObject({ count: 0 });
    expect(d.do({ type: 'lockBreak', name: 'l' })).toMatchObject({ count: 2 });
    for (const { lease } of readers) expect(d.leases.has(lease)).toBe(false);
    expect(d.leases.has(writer.lease)).toBe(true);
    expect(d.locks.token('l')).toBe(0);
    d.time += 100;
    d.do({ type: 'lockWake', names: ['l'] });
    expect(d.locks.get('l')?.holders).toMatchObject([{ lease: writer.lease }]);
    d.hold('m', { lease: kept });
    d.do({ type: 'lockBreak', name: 'm' });
    expect(d.leases.has(kept)).toBe(true);
  });

  it('ends when the barrier opens, for all who wait and for the last one', () => {
    const d = new Driver();
    const barrier = { kind: 'barrier', limit: 3 } as const;
    const kept = d.grant();
    const first = d.wait('b', barrier);
    d.wait('b', { ...barrier, lease: kept });
    expect(d.acquire('b', { ...barrier, wait: true, lease: kept })).toMatchObject({ token: null });
    const opened = d.acquire('b', { ...barrier, wait: false });
    expect(opened).toMatchObject({ ok: true, token: expect.any(Number) });
    expect(d.effects).toContainEqual({ type: 'leaseEnded', id: first.lease });
    expect([...d.leases.all()].map(({ id }) => id)).toEqual([kept]);
    expect(d.acquire('b', { ...barrier, wait: false })).toMatchObject({
      ok: false,
      code: 'ERR_LOCK_HELD',
      details: { entered: 0, holder: null },
    });
  });

  it('stays as long as its owner has more by it', () => {
    const d = new Driver();
    const { lease } = d.hold('a');
    d.hold('b', { lease });
    d.hold('c');
    const { ticket } = d.wait('c', { lease });
    d.do({ type: 'lockCancel', name: 'c', lease, ticket });
    d.do({ type: 'lockCancel', name: 'unknown', lease, ticket: 1 });
    expect(d.locks.namesOf(lease)).toEqual(['a', 'b']);
    d.do({ type: 'lockBreak', name: 'b' });
    expect(d.locks.namesOf(lease)).toEqual(['a']);
    d.acquire('gate', { kind: 'barrier', limit: 1, lease });
    expect(d.leases.has(lease)).toBe(true);
    d.do({ type: 'lockRelease', name: 'a', kind: 'lock', holder: { lease } });
    expect(d.leases.has(lease)).toBe(false);
  });
});

describe('a transaction guarded by a lock', () => {
  const guarded = (token: number, more: Partial<Operation & { type: 'txn' }> = {}): Operation => ({
    type: 'txn',
    compare: [{ target: 'token', lock: 'l', operator: '=', value: token }],
    // oxlint-disable-next-line unicorn/no-thenable
    then: [{ type: 'put', key: 'k', value: bytes('v'), contentType: null, lease: null, prev: false }],
    otherwise: [],
    ...more,
  });

  it('writes for the holder, and not for one who was', () => {
    const d = new Driver();
    const { token, lease } = d.hold('l');
    expect(d.do(guarded(token))).toMatchObject({ succeeded: true, revision: 1 });
    d.expire(lease);
    expect(d.do(guarded(token))).toMatchObject({ succeeded: false, revision: 1 });
    const next = d.hold('l');
    expect(d.do(guarded(token))).toMatchObject({ succeeded: false });
    expect(d.do(guarded(next.token))).toMatchObject({ succeeded: true, revision: 2 });
  });

  it('puts keys on leases that there are', () => {
    const d = new Driver();
    const { token, lease } = d.hold('l');
    const then = [{ type: 'put', key: 'k', value: bytes('v'), contentType: null, lease, prev: false }] as const;
    // oxlint-disable-next-line unicorn/no-thenable
    expect(d.do(guarded(token, { then }))).toMatchObject({ succeeded: true });
    expect(d.expire(lease)).toMatchObject({ leases: 1, deleted: 1 });
    // oxlint-disable-next-line unicorn/no-thenable
    expect(d.do(guarded(0, { then }))).toEqual(refused('ERR_LEASE_NOT_FOUND'));
  });

  it('is refused when what it writes and reads again would be too large an answer, and does nothing', () => {
    const d = new Driver();
    const big = new Uint8Array(1024 * 1024);
    const step = { type: 'put', key: 'k', value: big, contentType: null, lease: null, prev: false } as const;
    const get = { type: 'get', key: 'k' } as const;
    const reads = (count: number): Operation => ({
      type: 'txn',
      compare: [],
      // oxlint-disable-next-line unicorn/no-thenable
      then: [step, ...Array.from({ length: count }, () => get)],
      otherwise: [],
    });
    expect(d.do(reads(8))).toEqual(refused('ERR_TOO_LARGE'));
    expect(d.machine.revision).toBe(0);
    expect(d.do(reads(7))).toMatchObject({ ok: true, revision: 1 });
  });
});

describe('settings and space', () => {
  it('change what they name, on every replica alike', () => {
    const d = new Driver();
    const settings = (more: Partial<Operation & { type: 'settings' }>): Operation => ({
      type: 'settings',
      keepRevisions: null,
      keepMs: null,
      quotaBytes: null,
      ...more,
    });
    expect(d.do(settings({ keepRevisions: 5 }))).toEqual({ ok: true, type: 'settings', revision: 0 });
    d.do(settings({ quotaBytes: 200, keepMs: 77 }));
    expect(d.machine.kv.settings).toEqual({ keepRevisions: 5, keepMs: 77, quotaBytes: 200 });
    d.restart();
    expect(d.machine.kv.settings).toEqual({ keepRevisions: 5, keepMs: 77, quotaBytes: 200 });
    d.do(put('a', 'x'.repeat(100)));
    expect(d.do(put('b', 'x'.repeat(100)))).toEqual(refused('ERR_QUOTA'));
    d.do(settings({ quotaBytes: 0 }));
    expect(d.do(put('b', 'x'.repeat(100)))).toMatchObject({ ok: true });
    const most = Number.MAX_SAFE_INTEGER;
    d.do(settings({ keepRevisions: most, keepMs: most, quotaBytes: most }));
    d.do(put('c'));
    d.restart();
    expect(d.do({ type: 'compact', revision: 2 })).toMatchObject({ compactedRevision: 2 });
    expect(d.do({ type: 'compact', revision: most })).toEqual(refused('ERR_FUTURE_REVISION'));
  });
});

describe('what nobody should ask for', () => {
  const impossible: Record<string, Operation> = {
    'a lock without a name': { ...ACQUIRE, name: '' },
    'a name that is too long': { ...ACQUIRE, name: 'x'.repeat(513) },
    'a lock for two': { ...ACQUIRE, limit: 2 },
    'an election that is shared': { ...ACQUIRE, kind: 'election', mode: 'read' },
    'a semaphore that is read': { ...ACQUIRE, kind: 'semaphore', limit: 3, mode: 'read' },
    'a semaphore for nobody': { ...ACQUIRE, kind: 'semaphore', limit: 0 },
    'a barrier that nobody can open': { ...ACQUIRE, kind: 'barrier', limit: 10_001 },
    'a rest without end': { ...ACQUIRE, delayMs: Number.MAX_SAFE_INTEGER },
    'a lock for no time': { ...ACQUIRE, lease: { ttlMs: 0 } },
    'a lock for ever': { ...ACQUIRE, lease: { ttlMs: Number.MAX_SAFE_INTEGER } },
    'an owner that is too long': { ...ACQUIRE, owner: 'x'.repeat(4097) },
    'a value that is too long': { ...ACQUIRE, kind: 'election', value: 'x'.repeat(4097) },
    'a proclamation that is too long': { type: 'electionProclaim', name: 'e', token: 1, value: 'x'.repeat(4097) },
    'a lease for no time': { type: 'leaseGrant', ttlMs: 0, owner: null },
    'a lease for ever': { type: 'leaseGrant', ttlMs: 2 ** 31, owner: null },
    'a counter without a name': { type: 'counterAdd', name: '', delta: 1 },
  };

  it.each(Object.entries(impossible))('%s is refused, and leaves nothing behind', (_, operation) => {
    const d = new Driver();
    d.do({ type: 'settings', keepRevisions: null, keepMs: null, quotaBytes: null });
    const before = d.view.records();
    expect(d.do(operation)).toEqual(refused('ERR_INVALID_ARGUMENT'));
    expect(d.view.records()).toEqual(before);
    expect(d.effects).toEqual([]);
    d.restart();
  });

  it('nothing happens to what there is none of', () => {
    const d = new Driver();
    d.do({ type: 'settings', keepRevisions: null, keepMs: null, quotaBytes: null });
    const before = d.view.records();
    const harmless: Operation[] = [
      { type: 'lockRelease', name: '', kind: 'lock', holder: { token: 0 } },
      { type: 'lockRelease', name: 'x', kind: 'barrier', holder: { lease: '' } },
      { type: 'lockCancel', name: '', lease: '', ticket: 0 },
      { type: 'lockBreak', name: '' },
      { type: 'lockWake', names: ['', 'x'] },
      { type: 'electionProclaim', name: '', token: 0, value: null },
      { type: 'counterDelete', name: '' },
      { type: 'counterAdd', name: 'c', delta: 0 },
      { type: 'counterDelete', name: 'c' },
      { type: 'leaseRenew', leases: [''] },
      { type: 'leaseExpire', term: 1, leases: [{ lease: '', counter: 0 }] },
      { type: 'leaseExpire', term: 1, leases: [] },
      { type: 'deleteRange', start: 'b', end: 'a' },
      put('k', 'v', ''),
    ];
    for (const operation of harmless) d.do(operation);
    expect(d.view.records()).toEqual(before);
    expect(d.machine.revision).toBe(0);
  });

  it('whatever can be proposed is answered, and the state can be read again', () => {
    const once = fc.constantFrom<Once | null>(
      null,
      null,
      { key: '' },
      { key: '\ufeff:' },
      { key: 'x'.repeat(10_000) },
      { session: '1', sequence: Number.MAX_SAFE_INTEGER, lowestUnanswered: Number.MAX_SAFE_INTEGER },
      { session: '1', sequence: 1, lowestUnanswered: 0 },
      { session: '', sequence: 7, lowestUnanswered: 7 },
    );
    const time = fc.constantFrom(0, 1, 1e15, 8.64e15, Number.MAX_VALUE, -Number.MAX_VALUE);
    const steps = fc.array(fc.record({ operation: anyOperation, once, time, restart: fc.nat(9) }), {
      maxLength: 60,
      size: 'max',
    });
    fc.assert(
      fc.property(steps, (steps) => {
        const d = new Driver();
        // So that lease 1 is there, for most of what is asked for with it.
        d.grant(2 ** 31 - 1);
        for (const { operation, once, time, restart } of steps) {
          d.time = time;
          expect(d.do(operation, once).ok).toBeTypeOf('boolean');
          if (restart > 0) continue;
          const digest = d.machine.digest();
          d.restart();
          expect(d.machine.digest()).toBe(digest);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('an empty key is a key like any other', () => {
    const d = new Driver();
    d.do(put('', 'v'));
    d.restart();
    expect(text(d.machine.kv.get('')?.value)).toBe('v');
    expect(d.do({ type: 'delete', key: '', prev: false, condition: null })).toMatchObject({ deleted: 1 });
  });

  it('there is an end to waiters and to counters, but not for those who are there', () => {
    const d = new Driver();
    const { coordinator } = d.machine;
    d.hold('l');
    const lease = d.grant();
    const { ticket } = d.wait('l', { lease });
    for (let i = 1; i < MAX_QUEUE; i++) coordinator.acquire(ACQUIRE, { index: 100_000 + i, time: d.time });
    const leases = coordinator.leaseCount;
    expect(d.acquire('l')).toEqual(refused('ERR_OVERLOADED'));
    expect(d.acquire('l', { wait: false })).toEqual(refused('ERR_LOCK_HELD'));
    expect(d.acquire('l', { lease })).toMatchObject({ ok: true, token: null, ticket });
    expect(coordinator.leaseCount).toBe(leases);

    const add = (name: string) => coordinator.add({ type: 'counterAdd', name, delta: 1 });
    for (let i = 0; i < MAX_COUNTERS; i++) add(String(i));
    expect(add('new')).toEqual(refused('ERR_OVERLOADED'));
    expect(add('7')).toMatchObject({ value: 2 });
    coordinator.deleteCounter({ type: 'counterDelete', name: '7' });
    expect(add('new')).toMatchObject({ value: 1 });
  });

  it('a counter stays within the safe integers', () => {
    const d = new Driver();
    const add = (delta: number) => d.do({ type: 'counterAdd', name: 'c', delta });
    expect(add(Number.MAX_SAFE_INTEGER)).toMatchObject({ value: Number.MAX_SAFE_INTEGER });
    expect(add(1)).toEqual(refused('ERR_INVALID_ARGUMENT'));
    expect(add(-Number.MAX_SAFE_INTEGER)).toMatchObject({ value: 0 });
  });

  it('a leader may have any clock: whatever it showed, the state can be read again', () => {
    for (const time of [0.5, 1_700_000_000_000.25, 8.64e15, 8.65e15, 1e300, -5]) {
      const d = new Driver();
      d.time = time;
      const lease = d.grant();
      d.hold('lock', { lease, delayMs: 1000 });
      d.hold('semaphore', { kind: 'semaphore', limit: 2 });
      d.wait('lock');
      d.do(put('k'), { key: 'once' });
      d.expire(lease);
      const digest = d.machine.digest();
      d.restart();
      expect(d.machine.digest()).toBe(digest);
      expect(d.do(put('k'), { key: 'once' })).toMatchObject({ replayed: true });
    }
  });

  it('a command of a later feature level is refused, and the ones of this level go on', () => {
    const view = new MemoryView();
    const first = start(view);
    first.apply(entry(1, 'command', command(put('a'))));
    first.writeMeta();
    view.put(metaKey(), encodeMeta({ ...decodeMeta(view.get(metaKey())!), featureLevel: 1 }));
    const machine = start(view);
    expect(machine.apply(entry(2, 'command', command({ type: 'leaseGrant', ttlMs: 1000, owner: null })))).toEqual(
      refused('ERR_INVALID_ARGUMENT'),
    );
    expect(machine.apply(entry(3, 'command', command(put('b'))))).toMatchObject({ ok: true, revision: 2 });
    machine.writeMeta();
    view.put(metaKey(), encodeMeta({ ...decodeMeta(view.get(metaKey())!), featureLevel: 3 }));
    expect(() => start(view)).toThrow(expect.objectContaining({ code: 'ERR_DATA_VERSION' }));
  });
});

describe('names that look like others', () => {
  it('stay apart, in memory and on the disk', () => {
    const d = new Driver();
    const names = ['a', '\ufeffa', 'A', 'a\0', 'a\u0000b', 'á', 'a\u0301', `a\0${'1'.repeat(16)}`];
    const tokens = new Map<string, number>();
    for (const name of names) {
      tokens.set(name, d.hold(name).token);
      d.wait(name);
      d.do({ type: 'counterAdd', name, delta: tokens.size });
      d.do({ type: 'counterAdd', name, delta: 0 }, { key: name });
    }
    const digest = d.machine.digest();
    d.restart();
    expect(d.machine.digest()).toBe(digest);
    names.forEach((name, at) => {
      expect(d.locks.token(name)).toBe(tokens.get(name));
      expect(d.locks.waiting(name)).toBe(1);
      expect(d.machine.coordinator.counters.get(name)).toBe(at + 1);
      expect(d.do({ type: 'counterAdd', name, delta: 0 }, { key: name })).toMatchObject({ replayed: true });
    });
  });
});

describe('the records of a state', () => {
  it('are refused when one of a table is damaged or of a table that there is none of', () => {
    const d = new Driver();
    d.hold('l');
    d.wait('l');
    d.do({ type: 'counterAdd', name: 'c', delta: 1 }, { key: 'k' });
    d.machine.writeMeta();
    const tables = new Set<number>();
    for (const { key } of d.view.records()) {
      const view = d.view.copy();
      view.get(key)!.fill(0x55, 3);
      expect(() => start(view), `of table ${key[0]}`).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
      tables.add(key[0] as number);
    }
    expect(String.fromCharCode(...[...tables].toSorted((a, b) => a - b))).toBe('Lcklmos');
    const view = d.view.copy();
    view.put(bytes('x1'), bytes('?'));
    expect(() => start(view)).toThrow(expect.objectContaining({ code: 'ERR_DATA_VERSION' }));
  });

  it('count in the digest of the disk', () => {
    const d = new Driver();
    const digest = () => {
      const state = new StateDigest();
      for (const record of d.view.records()) state.add(record);
      return state.value();
    };
    const seen = new Set([digest(), d.machine.digest()]);
    for (const operation of [put('a'), { ...ACQUIRE }, { type: 'leaseGrant', ttlMs: 9, owner: null }] as Operation[]) {
      d.do(operation);
      seen.add(digest()).add(d.machine.digest());
    }
    expect(seen.size).toBe(8);
  });
});
