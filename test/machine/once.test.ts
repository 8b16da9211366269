import { describe, expect, it } from 'vitest';
import { KEEP_KEYS_MS } from '../../src/kv/once.ts';
import type { Once, Operation } from '../../src/machine/types.ts';
import { text } from '../kv/memory-view.ts';
import { ACQUIRE, Driver, put } from './harness.ts';

const refused = (code: string) => expect.objectContaining({ ok: false, code });

describe('a write that happens once', () => {
  const key = (name: string): Once => ({ key: name });
  const number = (session: string, sequence: number, lowestUnanswered = 0): Once => ({
    session,
    sequence,
    lowestUnanswered,
  });

  it('is answered as it was then, with whatever was asked for', () => {
    const d = new Driver();
    const session = d.grant();
    d.do(put('k', 'old'));
    const writes: [Operation, Once][] = [
      [{ ...put('k', 'new'), prev: true }, key('1')],
      [{ ...put('k', 'x'), condition: { type: 'absent' } }, key('2')],
      [{ type: 'counterAdd', name: 'c', delta: 5 }, number(session, 1)],
      [{ ...put('k', 'x'), condition: { type: 'modRevision', revision: 1 } }, number(session, 2)],
      [{ type: 'leaseGrant', ttlMs: 1000, owner: null }, number(session, 3)],
      [{ ...ACQUIRE, name: 'l' }, key('3')],
    ];
    const answers = writes.map(([operation, once]) => d.do(operation, once));
    expect(answers).toMatchObject([
      { ok: true, created: false },
      { ok: false, code: 'ERR_CAS_FAILED', current: { modRevision: 2 } },
      { value: 5 },
      { ok: false, code: 'ERR_CAS_FAILED' },
      { type: 'lease' },
      { type: 'lock' },
    ]);
    d.do({ type: 'deleteRange', start: '', end: null });
    for (let i = 0; i < 2; i++) {
      const { revision } = d.machine;
      writes.forEach(([operation, once], at) => {
        const { prev, current, ...rest } = answers[at] as unknown as Record<string, unknown>;
        expect(d.do(operation, once)).toMatchObject({ ...rest, replayed: true });
        expect(d.effects).toEqual([]);
        expect([prev, current].filter((entry) => entry !== undefined).length).toBeLessThan(2);
      });
      expect(d.machine.revision).toBe(revision);
      d.restart();
    }
    expect(d.do({ ...put('k', 'new'), prev: true }, key('1'))).toMatchObject({
      prev: { value: expect.anything(), modRevision: 1 },
    });
    expect(d.machine.coordinator.counters.get('c')).toBe(5);
  });

  it('is answered after the lease that it used is gone', () => {
    const d = new Driver();
    const lease = d.grant();
    const write = put('k', 'v', lease);
    d.do(write, key('a'));
    d.expire(lease);
    expect(d.do(write, key('a'))).toEqual({ ok: true, revision: 1, created: true, replayed: true });
    expect(d.do(write, key('b'))).toEqual(refused('ERR_LEASE_NOT_FOUND'));
    // A refusal is an answer, too.
    expect(d.do(write, key('b'))).toMatchObject({ ok: false, code: 'ERR_LEASE_NOT_FOUND', replayed: true });
    expect(d.machine.kv.get('k')).toBeNull();
  });

  it('is refused for another request, whether that differs in what is done or in what with', () => {
    const d = new Driver();
    const session = d.grant();
    for (const once of [key('a'), number(session, 1)]) {
      d.do({ type: 'counterDelete', name: 'c' }, once);
      expect(d.do({ type: 'counterDelete', name: 'd' }, once)).toEqual(refused('ERR_IDEMPOTENCY_MISMATCH'));
      // The same body, of another kind.
      expect(d.do({ type: 'lockBreak', name: 'c' }, once)).toEqual(refused('ERR_IDEMPOTENCY_MISMATCH'));
      expect(d.do({ type: 'counterDelete', name: 'c' }, once)).toMatchObject({ ok: true, replayed: true });
    }
  });

  it('is not done for a session that is gone, nor when the session has acknowledged it', () => {
    const d = new Driver();
    const session = d.grant();
    expect(d.do(put('k'), number('404', 1))).toEqual(refused('ERR_SESSION_EXPIRED'));
    d.do(put('k', '1'), number(session, 1, 1));
    d.do(put('k', '2'), number(session, 2, 2));
    d.restart();
    expect(d.do(put('k', '1'), number(session, 1, 1))).toEqual(refused('ERR_SESSION_EXPIRED'));
    expect(d.do(put('k', '2'), number(session, 2, 2))).toMatchObject({ replayed: true });
    d.expire(session);
    expect(d.machine.coordinator.once.bytes).toBe(0);
    expect(d.do(put('k', '3'), number(session, 3, 3))).toEqual(refused('ERR_SESSION_EXPIRED'));
    expect(text(d.machine.kv.get('k')?.value)).toBe('2');
  });

  it('of a session that ends itself by it, is not kept: a repetition hears that the session is gone', () => {
    const d = new Driver();
    const session = d.grant();
    const revoke: Operation = { type: 'leaseRevoke', lease: session };
    expect(d.do(revoke, number(session, 1))).toMatchObject({ ok: true, leases: 1 });
    expect(d.do(revoke, number(session, 1))).toEqual(refused('ERR_SESSION_EXPIRED'));
    expect(d.machine.coordinator.once.sessionCount).toBe(0);
    expect(d.view.records().filter(({ key }) => key[0] === 0x6f)).toEqual([]);
  });

  it('is remembered for an hour of the time of the machine', () => {
    const d = new Driver();
    d.do({ type: 'counterAdd', name: 'c', delta: 1 }, key('a'));
    d.time += KEEP_KEYS_MS - 1;
    d.restart();
    expect(d.do({ type: 'counterAdd', name: 'c', delta: 1 }, key('a'))).toMatchObject({ replayed: true });
    d.time += 1;
    expect(d.do({ type: 'counterAdd', name: 'c', delta: 1 }, key('a'))).toMatchObject({ value: 2 });
  });

  it('counts towards a window; a key that is too long is refused', () => {
    const d = new Driver();
    const session = d.grant();
    const add: Operation = { type: 'counterAdd', name: 'c', delta: 1 };
    for (let sequence = 1; sequence <= 1024; sequence++) d.do(add, number(session, sequence, 1));
    expect(d.do(add, number(session, 1025, 1))).toEqual(refused('ERR_OVERLOADED'));
    expect(d.do(add, number(session, 1025, 2))).toMatchObject({ value: 1025 });
    expect(d.do(add, key('x'.repeat(513)))).toEqual(refused('ERR_INVALID_ARGUMENT'));
  });
});
