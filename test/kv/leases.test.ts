import { describe, expect, it } from 'vitest';
import { LeaseTable, type LeaseRecord } from '../../src/kv/leases.ts';

/** Records as a disk keeps them: what is read is not what was written, but the same. */
function tableOf() {
  const records = new Map<string, string>();
  const table = new LeaseTable({
    get: (name) => {
      const text = records.get(name);
      return text === undefined ? undefined : (JSON.parse(text) as LeaseRecord);
    },
    set: (name, record) => void records.set(name, JSON.stringify(record)),
    delete: (name) => void records.delete(name),
    entries: () => [...records].map(([name, text]) => [name, JSON.parse(text) as LeaseRecord] as const),
  });
  return { table, records };
}

const TERMS = { ttlMs: 10_000, owner: '{"name":"a"}', ofLock: false };

describe('LeaseTable', () => {
  it('gives a lease its whole TTL and nothing more', () => {
    const { table } = tableOf();
    const lease = table.grant('7', TERMS);
    expect(lease).toEqual({ id: '7', ...TERMS, counter: 0, remainingMs: 10_000 });
    expect(table.get('7')).toEqual(lease);
    expect(table.has('7')).toBe(true);
    expect(table.has('07')).toBe(false);
    expect(table.get('8')).toBeNull();
    table.grant('8', { ...TERMS, ofLock: true });
    expect([...table.all()].map(({ id, ofLock }) => [id, ofLock])).toEqual([
      ['7', false],
      ['8', true],
    ]);
  });

  it('counts renewals, and a renewal makes up for what was checkpointed', () => {
    const { table } = tableOf();
    table.grant('7', TERMS);
    expect(table.checkpoint('7', 0, 4000)).toMatchObject({ counter: 0, remainingMs: 4000 });
    expect(table.renew('7')).toMatchObject({ counter: 1, remainingMs: 10_000 });
    expect(table.renew('7')).toMatchObject({ counter: 2, remainingMs: 10_000 });
    expect(table.renew('8')).toBeNull();
  });

  it('takes from a checkpoint only what shortens it, and only of the renewal that it knows', () => {
    const { table, records } = tableOf();
    table.grant('7', TERMS);
    table.renew('7');
    const before = records.get('7');
    expect(table.checkpoint('7', 0, 1)).toBeNull();
    expect(table.checkpoint('7', 2, 1)).toBeNull();
    expect(table.checkpoint('7', 1, 10_000)).toBeNull();
    expect(table.checkpoint('7', 1, Number.MAX_SAFE_INTEGER)).toBeNull();
    expect(table.checkpoint('8', 0, 1)).toBeNull();
    expect(records.get('7')).toBe(before);
    expect(table.checkpoint('7', 1, 9999)).toMatchObject({ remainingMs: 9999 });
    expect(table.checkpoint('7', 1, 9999)).toBeNull();
    expect(table.checkpoint('7', 1, 0)).toMatchObject({ remainingMs: 0 });
  });

  it('expires only as it was last renewed', () => {
    const { table, records } = tableOf();
    table.grant('7', TERMS);
    expect(table.expires('7', 0)).toBe(true);
    table.renew('7');
    expect(table.expires('7', 0)).toBe(false);
    expect(table.expires('7', 1)).toBe(true);
    table.end('7');
    expect(table.expires('7', 1)).toBe(false);
    expect(table.renew('7')).toBeNull();
    expect(records.size).toBe(0);
  });
});
