import { beforeEach, describe, expect, it } from 'vitest';
import { Harness } from './harness.ts';

const READ = { mode: 'read' } as const;
const pool = (limit: number) => ({ kind: 'semaphore', limit }) as const;
const gate = (limit: number) => ({ kind: 'barrier', limit }) as const;

let harness: Harness;

beforeEach(() => {
  harness = new Harness();
});

describe('A lock', () => {
  it('is granted to the first who asks, with the index of the entry as its token', () => {
    expect(harness.acquire('a', '1', { owner: '"me"' })).toEqual({ status: 'granted', token: 101, ticket: 101 });
    expect(harness.table.get('a')).toEqual({
      kind: 'lock',
      limit: 1,
      floor: 101,
      delayMs: 0,
      restUntil: 0,
      holders: [{ token: 101, lease: '1', mode: 'write', owner: '"me"', since: 1_000_000, ticket: 101 }],
      value: null,
    });
    expect(harness.table.token('a')).toBe(101);
    expect(harness.table.token('b')).toBe(0);
  });

  it('tells who does not wait who holds it, and keeps nothing of that', () => {
    harness.hold('a', '1');
    expect(harness.acquire('a', '2', { wait: false })).toMatchObject({ status: 'held', holder: { lease: '1' } });
    expect(harness.table.namesOf('2')).toEqual([]);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual([]);
  });

  it('goes to those who wait in the order in which they came, by the entry that made room', () => {
    harness.hold('a', '1');
    const ticket = harness.wait('a', '2');
    expect(harness.acquire('a', '3')).toEqual({ status: 'queued', ticket: 103, position: 1 });
    harness.table.takeEffects();
    expect(harness.release('a', '1')).toBe(1);
    expect(harness.table.takeEffects()).toEqual([
      { type: 'granted', name: 'a', lease: '2', token: 104, ticket },
      { type: 'changed', name: 'a' },
    ]);
    expect(harness.queue('a')).toEqual(['3']);
    expect(harness.table.takeEffects()).toEqual([]);
  });

  it('gives the holder who asks again the same token and ticket', () => {
    const token = harness.hold('a', '1');
    expect(harness.acquire('a', '1')).toEqual({ status: 'granted', token, ticket: token });
    expect(harness.holders('a')).toEqual(['1']);
  });

  it('gives a waiter who asks again the same ticket, and its place now', () => {
    harness.hold('a', '1');
    harness.wait('a', '2');
    const ticket = harness.wait('a', '3');
    harness.end('2');
    expect(harness.acquire('a', '3')).toEqual({ status: 'queued', ticket, position: 0 });
    expect(harness.acquire('a', '3', { wait: false })).toMatchObject({ status: 'held' });
    expect(harness.queue('a')).toEqual(['3']);
  });

  it('is released by lease or by token, once, and by its own kind only', () => {
    const token = harness.hold('a', '1');
    expect(harness.table.release('a', 'lock', { token: token + 1 }, harness.next())).toBe(0);
    expect(harness.table.release('a', 'election', { token }, harness.next())).toBe(0);
    expect(harness.release('a', '2')).toBe(0);
    expect(harness.table.release('a', 'lock', { token }, harness.next())).toBe(1);
    expect(harness.release('a', '1')).toBe(0);
    expect(harness.table.get('a')).toBeUndefined();
    expect(harness.records.size).toBe(0);
  });

  it('is not released by one who waits', () => {
    harness.hold('a', '1');
    harness.wait('a', '2');
    expect(harness.release('a', '2')).toBe(0);
    expect(harness.queue('a')).toEqual(['2']);
  });
});

describe('The queue', () => {
  it('is left by cancelling, and who waits behind moves up', () => {
    harness.hold('a', '1');
    const ticket = harness.wait('a', '2');
    harness.wait('a', '3');
    harness.table.takeEffects();
    expect(harness.table.cancel('a', '2', ticket, harness.next())).toBeNull();
    expect(harness.table.takeEffects()).toEqual([
      { type: 'dropped', name: 'a', lease: '2', ticket },
      { type: 'changed', name: 'a' },
    ]);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual(['3']);
    expect(harness.table.namesOf('2')).toEqual([]);
  });

  it('is not left by cancelling another ticket', () => {
    harness.hold('a', '1');
    const ticket = harness.wait('a', '2');
    expect(harness.table.cancel('a', '2', ticket - 1, harness.next())).toBeNull();
    expect(harness.table.cancel('a', '3', ticket, harness.next())).toBeNull();
    expect(harness.queue('a')).toEqual(['2']);
  });

  it('tells who cancels too late the token, but not that of another wait', () => {
    harness.hold('a', '1');
    const ticket = harness.wait('a', '2');
    harness.release('a', '1');
    const token = harness.table.token('a');
    expect(harness.table.cancel('a', '2', ticket, harness.next())).toBe(token);
    expect(harness.table.cancel('a', '2', ticket + 1, harness.next())).toBeNull();
    expect(harness.holders('a')).toEqual(['2']);
  });

  it('lets readers in when the writer before them gives up', () => {
    harness.hold('a', '1', READ);
    const ticket = harness.wait('a', '2');
    harness.wait('a', '3', READ);
    harness.table.cancel('a', '2', ticket, harness.next());
    expect(harness.holders('a')).toEqual(['1', '3']);
  });

  it('skips the dead', () => {
    harness.hold('a', '1');
    harness.wait('a', '2');
    harness.wait('a', '3');
    harness.end('2');
    expect(harness.effects('dropped')).toMatchObject([{ lease: '2' }]);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual(['3']);
  });

  it('lets in none of the leases that end by the same entry', () => {
    harness.hold('a', '1');
    harness.wait('a', '2');
    harness.wait('a', '3');
    harness.table.leasesEnded(['1', '2'], true, harness.next());
    expect(harness.effects('granted')).toMatchObject([{ lease: '3' }]);
  });
});

describe('Readers and writers', () => {
  it('share among readers, each with a token of its own', () => {
    const tokens = ['1', '2', '3'].map((lease) => harness.hold('a', lease, READ));
    expect(tokens).toEqual([101, 102, 103]);
    expect(harness.acquire('a', '4', { wait: false })).toMatchObject({ status: 'held', holder: { lease: '1' } });
    expect(harness.table.token('a')).toBe(103);
  });

  it('do not let a reader overtake a waiting writer', () => {
    harness.hold('a', '1', READ);
    harness.wait('a', '2');
    expect(harness.acquire('a', '3', { ...READ, wait: false })).toMatchObject({ status: 'held' });
    harness.wait('a', '3', READ);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual(['2']);
  });

  it('let in together the readers who stand together at the head', () => {
    harness.hold('a', '1');
    for (const lease of ['2', '3']) harness.wait('a', lease, READ);
    harness.wait('a', '4');
    harness.wait('a', '5', READ);
    harness.release('a', '1');
    expect(harness.effects('granted').map(({ lease, token }) => [lease, token])).toEqual([
      ['2', 106],
      ['3', 107],
    ]);
    harness.release('a', '2');
    expect(harness.holders('a')).toEqual(['3']);
    harness.release('a', '3');
    expect(harness.holders('a')).toEqual(['4']);
    expect(harness.queue('a')).toEqual(['5']);
  });

  it('do not let a lease write that reads, or waits to read', () => {
    harness.hold('a', '1', READ);
    expect(harness.acquire('a', '1')).toMatchObject({ status: 'held', holder: { lease: '1', mode: 'read' } });
    harness.wait('a', '2');
    harness.wait('a', '3', READ);
    expect(harness.acquire('a', '3')).toMatchObject({ status: 'held', holder: { lease: '1' } });
    harness.release('a', '1');
    expect(harness.acquire('a', '2', READ)).toMatchObject({ status: 'granted' });
  });
});

describe('A semaphore', () => {
  it('lets in as many as it has permits, each with a larger token', () => {
    expect(['1', '2'].map((lease) => harness.hold('a', lease, pool(2)))).toEqual([101, 102]);
    harness.wait('a', '3', pool(2));
    harness.release('a', '1', 'semaphore');
    expect(harness.holders('a')).toEqual(['2', '3']);
    expect(harness.table.token('a')).toBe(104);
  });

  it('gives tokens that differ to those let in by one entry', () => {
    for (const lease of ['1', '2', '3']) harness.hold('a', lease, pool(3));
    for (const lease of ['4', '5', '6', '7']) harness.wait('a', lease, pool(3));
    expect(harness.table.break('a', 'semaphore', harness.next())).toBe(3);
    expect(harness.effects('granted').map(({ token }) => token)).toEqual([108, 109, 110]);
    expect(harness.queue('a')).toEqual(['7']);
  });

  it('is no lock and has no other number of permits while it is in use', () => {
    harness.hold('a', '1', pool(2));
    const mismatch = { status: 'mismatch', kind: 'semaphore', limit: 2 };
    expect(harness.acquire('a', '2', pool(3))).toEqual(mismatch);
    expect(harness.acquire('a', '2')).toEqual(mismatch);
    expect(harness.acquire('a', '1', pool(3))).toEqual(mismatch);
    harness.release('a', '1', 'semaphore');
    expect(harness.acquire('a', '2', pool(3))).toMatchObject({ status: 'granted' });
  });
});

describe('An election', () => {
  it('shows the value of its leader, which the leader may change', () => {
    const token = harness.hold('a', '1', { kind: 'election', value: 'one' });
    harness.wait('a', '2', { kind: 'election', value: 'two' });
    expect(harness.table.get('a')?.value).toBe('one');
    harness.table.takeEffects();
    expect(harness.table.proclaim('a', token, 'uno')).toBe(true);
    expect(harness.table.takeEffects()).toEqual([{ type: 'changed', name: 'a' }]);
    expect(harness.table.get('a')?.value).toBe('uno');
    harness.release('a', '1', 'election');
    expect(harness.table.get('a')?.value).toBe('two');
    expect(harness.table.proclaim('a', token, 'late')).toBe(false);
    expect(harness.table.get('a')?.value).toBe('two');
  });

  it('has no value while nobody leads', () => {
    harness.hold('a', '1', { kind: 'election', value: 'one', delayMs: 10 });
    harness.end('1');
    expect(harness.table.get('a')).toMatchObject({ value: null, holders: [] });
  });

  it('is what can be proclaimed to, not a lock', () => {
    const token = harness.hold('a', '1', { value: 'x' });
    expect(harness.table.get('a')?.value).toBeNull();
    expect(harness.table.proclaim('a', token, 'x')).toBe(false);
    expect(harness.table.proclaim('b', 1, 'x')).toBe(false);
  });
});

describe('A barrier', () => {
  it('lets all of them through with one token when the last has come, and is closed again', () => {
    const tickets = ['1', '2'].map((lease) => harness.wait('a', lease, gate(3)));
    harness.table.takeEffects();
    expect(harness.acquire('a', '3', { ...gate(3), wait: false })).toEqual({
      status: 'granted',
      token: 103,
      ticket: 103,
    });
    expect(harness.table.takeEffects()).toEqual([
      { type: 'granted', name: 'a', lease: '1', token: 103, ticket: tickets[0] },
      { type: 'granted', name: 'a', lease: '2', token: 103, ticket: tickets[1] },
      { type: 'changed', name: 'a' },
    ]);
    expect(harness.table.get('a')).toBeUndefined();
    expect(harness.seats.size).toBe(0);
    expect(harness.table.namesOf('1')).toEqual([]);
    harness.wait('a', '1', gate(2));
    expect(harness.acquire('a', '2', gate(2))).toMatchObject({ status: 'granted', token: 105 });
  });

  it('counts each lease once, and not those who left', () => {
    harness.wait('a', '1', gate(2));
    harness.wait('a', '1', gate(2));
    harness.end('1');
    harness.wait('a', '2', gate(2));
    expect(harness.table.waiting('a')).toBe(1);
    expect(harness.acquire('a', '3', gate(2))).toMatchObject({ status: 'granted' });
  });

  it('does not count those who do not wait', () => {
    expect(harness.acquire('a', '1', { ...gate(2), wait: false })).toEqual({ status: 'held', holder: null });
    expect(harness.table.get('a')).toBeUndefined();
    expect(harness.acquire('a', '1', { ...gate(1), wait: false })).toMatchObject({ status: 'granted' });
  });
});

describe('Lock delay', () => {
  const delayed = { delayMs: 50 };

  it('lets nobody in for that long after the holder was lost, not even those who do not wait', () => {
    harness.hold('a', '1', delayed);
    harness.wait('a', '2');
    harness.end('1');
    expect(harness.effects('rests')).toEqual([{ type: 'rests', name: 'a', until: harness.time + 50 }]);
    harness.pass(49);
    expect(harness.acquire('a', '3', { wait: false })).toEqual({ status: 'held', holder: null });
    expect(harness.table.resting()).toEqual([{ name: 'a', until: harness.time + 1 }]);
    harness.pass(1);
    harness.table.wake('a', harness.next());
    expect(harness.effects('granted')).toMatchObject([{ lease: '2' }]);
    expect(harness.table.resting()).toEqual([]);
  });

  it('follows a break too', () => {
    harness.hold('a', '1', delayed);
    expect(harness.table.break('a', 'election', harness.next())).toBe(0);
    expect(harness.table.break('a', 'lock', harness.next())).toBe(1);
    expect(harness.acquire('a', '1', { wait: false })).toEqual({ status: 'held', holder: null });
    expect(harness.table.break('a', 'lock', harness.next())).toBe(0);
  });

  it('does not follow a release, or the end of a lease that was given up', () => {
    harness.hold('a', '1', delayed);
    harness.wait('a', '2', delayed);
    harness.wait('a', '3', delayed);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual(['2']);
    harness.end('2', 'revoked');
    expect(harness.holders('a')).toEqual(['3']);
    expect(harness.effects('rests')).toEqual([]);
  });

  it('does not follow the loss of one who only waited', () => {
    harness.hold('a', '1', delayed);
    harness.wait('a', '2', delayed);
    harness.end('2');
    harness.release('a', '1');
    expect(harness.table.get('a')).toBeUndefined();
  });

  it('is over when its time has come, also before anybody wakes it', () => {
    harness.hold('a', '1', delayed);
    harness.wait('a', '2');
    harness.end('1');
    harness.pass(50);
    expect(harness.acquire('a', '3', { wait: false })).toMatchObject({ status: 'held', holder: { lease: '2' } });
    harness.end('2');
    harness.pass(50);
    expect(harness.acquire('a', '4', { ...pool(2), wait: false })).toMatchObject({ status: 'granted' });
  });

  it('is put off by another loss, and whoever wakes it early is told until when', () => {
    harness.hold('a', '1', { ...delayed, ...pool(2) });
    harness.hold('a', '2', pool(2));
    harness.end('1');
    harness.pass(30);
    harness.end('2');
    harness.table.takeEffects();
    harness.pass(20);
    harness.table.wake('a', harness.next());
    expect(harness.table.takeEffects()).toEqual([{ type: 'rests', name: 'a', until: harness.time + 30 }]);
    harness.pass(30);
    harness.table.wake('a', harness.next());
    expect(harness.table.takeEffects()).toEqual([{ type: 'changed', name: 'a' }]);
    expect(harness.table.get('a')).toBeUndefined();
  });

  it('is told once when several are lost at once', () => {
    for (const lease of ['1', '2']) harness.hold('a', lease, { ...delayed, ...pool(2) });
    harness.table.leasesEnded(['1', '2'], true, harness.next());
    expect(harness.effects('rests')).toHaveLength(1);
  });

  it('is the longest that anybody asked for while the name was in use', () => {
    harness.hold('a', '1');
    harness.acquire('a', '2', { ...delayed, wait: false });
    expect(harness.table.get('a')?.delayMs).toBe(0);
    harness.wait('a', '3', delayed);
    harness.wait('a', '4', { delayMs: 10 });
    expect(harness.table.get('a')?.delayMs).toBe(50);
  });
});

describe('Fencing tokens', () => {
  it('grow after a name was forgotten by the very entry that gave many', () => {
    for (const lease of ['1', '2', '3']) harness.hold('a', lease, pool(3));
    for (const lease of ['4', '5', '6']) harness.wait('a', lease, pool(3));
    harness.table.break('a', 'semaphore', harness.next());
    const given = harness.table.token('a');
    harness.table.leasesEnded(['4', '5', '6'], false, harness.next());
    expect(harness.table.get('a')).toBeUndefined();
    harness.restart();
    expect(given).toBeGreaterThan(harness.index);
    expect(harness.hold('a', '7')).toBe(given + 1);
  });

  it('grow in a log that is younger than the state, also for names in use', () => {
    harness.hold('a', '1', READ);
    const ticket = harness.wait('a', '2');
    const forgotten = harness.hold('b', '1');
    harness.release('b', '1');
    harness.restart();
    harness.table.raiseFloor(harness.index);
    const floor = harness.index;
    harness.index = 3;
    harness.restart();
    expect(harness.hold('b', '1')).toBeGreaterThan(forgotten);
    expect(harness.wait('a', '3')).toBeGreaterThan(ticket);
    harness.release('a', '1');
    expect(harness.holders('a')).toEqual(['2']);
    expect(harness.table.token('a')).toBeGreaterThan(floor);
    expect(harness.queue('a')).toEqual(['3']);
  });

  it('give whoever waits in a younger log a ticket of its own', () => {
    harness.hold('a', '1', READ);
    harness.index = 3;
    const ticket = harness.wait('a', '2');
    expect(ticket).toBeGreaterThan(101);
    harness.release('a', '1');
    expect(harness.table.token('a')).toBe(102);
    expect(harness.table.cancel('a', '2', ticket, harness.next())).toBe(102);
  });

  it('and tickets of those who were let in are below whatever comes later', () => {
    harness.hold('a', '1', READ);
    harness.index = 3;
    const first = harness.wait('a', '2');
    const second = harness.wait('a', '3', READ);
    harness.table.cancel('a', '2', first, harness.next());
    expect(harness.table.token('a')).toBeLessThan(second);
    harness.index = second - 1;
    expect(harness.wait('a', '4')).toBeGreaterThan(second);
    harness.restart();
    expect(harness.holders('a')).toEqual(['1', '3']);
    expect(harness.queue('a')).toEqual(['4']);
  });

  it('leave no record of the floor when nothing has to be remembered', () => {
    harness.hold('a', '1');
    harness.release('a', '1');
    expect(harness.records.size).toBe(0);
  });
});

describe('Names', () => {
  it('of a lease are what it holds and what it waits for, in order', () => {
    harness.hold('b', '1');
    harness.hold('a', '2');
    harness.wait('a', '1');
    harness.hold('c', '1', pool(2));
    expect(harness.table.namesOf('1')).toEqual(['a', 'b', 'c']);
    harness.end('1');
    expect(harness.table.namesOf('1')).toEqual([]);
    expect(harness.holders('a')).toEqual(['2']);
  });

  it('in use are listed by prefix, in order, page by page', () => {
    for (const name of ['b/2', 'a', 'b/10', 'b', 'c', 'b/1']) harness.hold(name, '1');
    expect(harness.table.names('', null, 10)).toEqual(['a', 'b', 'b/1', 'b/10', 'b/2', 'c']);
    expect(harness.table.names('b/', null, 10)).toEqual(['b/1', 'b/10', 'b/2']);
    expect(harness.table.names('b/', 'b/1', 1)).toEqual(['b/10']);
    expect(harness.table.names('b/', 'b/11', 10)).toEqual(['b/2']);
    expect(harness.table.names('b/', 'a', 10)).toEqual(['b/1', 'b/10', 'b/2']);
    expect(harness.table.names('b/', 'c', 10)).toEqual([]);
    expect(harness.table.names('', null, 0)).toEqual([]);
    harness.release('b/1', '1');
    expect(harness.table.names('b/', null, 10)).toEqual(['b/10', 'b/2']);
  });

  it('may hold any character', () => {
    harness.hold('a\0', '1', READ);
    harness.hold('a', '1', READ);
    harness.wait('a\0', '2');
    harness.restart();
    expect([harness.holders('a'), harness.queue('a')]).toEqual([['1'], []]);
    expect([harness.holders('a\0'), harness.queue('a\0')]).toEqual([['1'], ['2']]);
  });

  it('are never empty', () => {
    expect(() => harness.acquire('', '1')).toThrow('a lock has a name');
  });
});

describe('A queue of 1,000', () => {
  it('is handed over in order, one entry and a few small writes each, also after a restart', () => {
    harness.hold('a', 'holder');
    const leases = Array.from({ length: 1000 }, (_, number) => `lease ${number}`);
    for (const lease of leases) {
      const before = harness.writes;
      harness.wait('a', lease);
      expect(harness.writes - before).toBe(1);
    }
    let last = harness.table.token('a');
    let holder = 'holder';
    for (const [number, lease] of leases.entries()) {
      if (number === 500) harness.restart();
      harness.table.takeEffects();
      const before = harness.writes;
      harness.release('a', holder);
      expect(harness.writes - before).toBe(2);
      expect(harness.effects('granted')).toMatchObject([{ lease, token: harness.index }]);
      expect(harness.index).toBeGreaterThan(last);
      last = harness.index;
      holder = lease;
    }
    harness.release('a', holder);
    expect([harness.records.size, harness.seats.size]).toEqual([0, 0]);
    expect(Math.max(harness.records.largest, harness.seats.largest)).toBeLessThan(300);
  });

  it('lets in a thousand readers at once, and each leaves by itself', () => {
    harness.hold('a', 'holder');
    for (let number = 0; number < 1000; number++) harness.wait('a', `${number}`, READ);
    harness.release('a', 'holder');
    expect(harness.holders('a').length).toBe(1000);
    for (let number = 999; number > 0; number--) {
      const before = harness.writes;
      harness.release('a', `${number}`);
      expect(harness.writes - before).toBe(1);
    }
    expect(harness.holders('a')).toEqual(['0']);
  });
});
