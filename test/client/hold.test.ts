/** Leases, locks, terms: how they are held, lost and given back, by the holder's own clock. */
import { describe, expect, test } from 'vitest';

import type { Lease } from '../../src/client/lease.ts';
import type { Lock } from '../../src/client/lock.ts';
import { KvorumError } from '../../src/errors.ts';
import { failure, settle } from './fake-time.ts';
import type { Scene } from './fake-transport.ts';
import { fails, FakeStream, gives, never, scene } from './fake-transport.ts';

const TTL = 15_000;

function locking(nodes = 1): Scene {
  const made = scene(nodes);
  for (const node of made.nodes) {
    node.always('lockAcquire', gives({ name: 'orders/42', token: 41, lease: '500', ttlMs: TTL }));
    node.always('lockRenew', gives({ ttlMs: TTL }));
    node.always('lockRelease', gives({ released: true }));
    node.always('leaseRenew', gives({ id: '600', ttlMs: TTL }));
    node.always('leaseGrant', ({ request }) => ({ id: '600', ttlMs: (request as { ttlMs: number }).ttlMs }));
  }
  return made;
}

async function locked(made: Scene): Promise<Lock> {
  return made.time.until(made.client.lock('orders/42'));
}

async function leased(made: Scene): Promise<Lease> {
  return made.time.until(made.client.lease({ ttl: '15s', once: { key: 'k' } }));
}

const LOST = { code: 'ERR_LOCK_LOST' };

describe('a lock', () => {
  test('is one call, which makes its lease, and tells the token', async () => {
    const made = locking();
    const lock = await made.time.until(
      made.client.lock('orders/42', { ttl: '20s', wait: '5s', mode: 'write', delay: '1s', owner: { pid: 7 } }),
    );
    expect(made.node.of('lockAcquire').map(({ request }) => request)).toEqual([
      {
        name: 'orders/42',
        lease: { ttlMs: 20_000 },
        waitMs: 5000,
        keepPlace: false,
        owner: { pid: 7 },
        mode: 'write',
        permits: undefined,
        delayMs: 1000,
      },
    ]);
    expect(lock).toMatchObject({ name: 'orders/42', token: 41, lease: '500' });
    expect(lock.signal.aborted).toBe(false);
    lock.guard();
    expect(lock.remaining()).toBe(TTL * 0.99);
  });

  test('is renewed at a third of its time to live, by its token, for as long as it is held', async () => {
    const made = locking();
    const lock = await locked(made);
    await made.time.pass(100_000);
    expect(made.node.of('lockRenew').length).toBe(20);
    expect(made.node.of('lockRenew')[0]).toMatchObject({ at: 6000, request: { name: 'orders/42', token: 41 } });
    lock.guard();
    await made.time.until(lock.release());
    await made.time.pass(100_000);
    expect(made.node.of('lockRenew').length).toBe(20);
  });

  test('that is held by somebody else is not acquired: ERR_LOCK_HELD with the holder', async () => {
    const made = locking();
    made.node.next('lockAcquire', fails('ERR_LOCK_HELD', 'none', { holder: { token: 40 } }));
    expect(await failure(made.time.until(made.client.lock('orders/42')))).toMatchObject({
      code: 'ERR_LOCK_HELD',
      outcome: 'none',
      details: { holder: { token: 40 } },
    });
    expect(made.node.of('lockAcquire')).toHaveLength(1);
  });

  test('that may have been acquired: outcome unknown', async () => {
    const made = locking();
    made.node.always('lockAcquire', fails('ERR_TIMEOUT', 'unknown'));
    expect(await failure(made.time.until(made.client.lock('orders/42')))).toMatchObject({
      code: 'ERR_TIMEOUT',
      outcome: 'unknown',
    });
  });

  test('a repeated acquire is the same one', async () => {
    const made = locking();
    made.node.next('lockAcquire', fails('ERR_UNAVAILABLE', 'unknown'));
    await locked(made);
    const [first, second] = made.node.of('lockAcquire');
    expect(second!.once).toEqual(first!.once);
    expect(second!.request).toEqual(first!.request);
  });

  test('counts from the first attempt, which may have been the one that was let in', async () => {
    const made = locking();
    made.node.next('lockAcquire', async () => {
      made.time.stall(1000);
      throw new KvorumError('ERR_UNAVAILABLE', 'the answer got lost', { outcome: 'unknown' });
    });
    const started = made.time.now();
    const lock = await locked(made);
    expect(made.time.now()).toBeGreaterThanOrEqual(started + 1000);
    expect(made.time.now() + lock.remaining()).toBe(started + TTL * 0.99);
  });

  test('that was waited for is renewed before it is handed out', async () => {
    const made = locking();
    made.node.next(
      'lockAcquire',
      () =>
        new Promise((resolve) => {
          made.time.after(20_000, () => resolve({ name: 'orders/42', token: 41, lease: '500', ttlMs: TTL }));
        }),
    );
    const started = made.time.now();
    const lock = await made.time.until(made.client.lock('orders/42', { wait: '30s' }));
    expect(made.node.of('lockRenew').map(({ at }) => at)).toEqual([started + 20_000]);
    expect(lock.remaining()).toBe(TTL * 0.99);
  });

  test('that was waited for and is lost by then: ERR_LOCK_LOST, not ERR_LOCK_HELD', async () => {
    const made = locking();
    made.node.next(
      'lockAcquire',
      () =>
        new Promise((resolve) => {
          made.time.after(20_000, () => resolve({ name: 'orders/42', token: 41, lease: '500', ttlMs: TTL }));
        }),
    );
    made.node.always('lockRenew', fails('ERR_LOCK_LOST'));
    expect(await failure(made.time.until(made.client.lock('orders/42', { wait: '30s' })))).toMatchObject(LOST);
    expect(made.node.of('lockRelease')).toHaveLength(1);
  });

  test('a wait beyond what a node allows has a lease of its own, kept alive meanwhile', async () => {
    const made = locking();
    const turn = 60_000;
    made.node.next('lockAcquire', async () => {
      await new Promise<void>((resolve) => made.time.after(turn, resolve));
      throw new KvorumError('ERR_LOCK_HELD', 'the wait is over');
    });
    const lock = await made.time.until(made.client.lock('orders/42', { wait: '5m' }));
    expect(made.node.of('lockAcquire').map(({ request }) => request)).toMatchObject([
      { lease: '600', waitMs: 60_000, keepPlace: true },
      { lease: '600', waitMs: 60_000, keepPlace: true },
    ]);
    expect(made.node.of('leaseRenew').length).toBeGreaterThan(10);
    // Another turn is another request: under the same key or number it would be answered as the first was.
    const [first, second] = made.node.of('lockAcquire');
    expect(second!.once).not.toEqual(first!.once);
    await made.time.until(lock.release());
    // The release comes first: what goes with its lease counts as lost.
    const given = made.node.asked.map(({ method }) => method).filter((each) => /Release|Revoke/u.test(each));
    expect(given).toEqual(['lockRelease', 'leaseRevoke']);
  });

  test('a long wait under a key of the caller: what is asked apart has keys apart', async () => {
    const made = locking();
    made.node.next('lockAcquire', async () => {
      await new Promise<void>((resolve) => made.time.after(60_000, resolve));
      throw new KvorumError('ERR_LOCK_HELD', 'the wait is over');
    });
    await made.time.until(made.client.lock('orders/42', { wait: '5m', once: { key: 'mine' } }));
    expect(made.node.of('leaseGrant').map(({ once }) => once)).toEqual([{ key: 'mine:lease' }]);
    expect(made.node.of('lockAcquire').map(({ once }) => once)).toEqual([{ key: 'mine' }, { key: 'mine:2' }]);
  });

  test('a wait without end ends with its signal, and its lease with it', async () => {
    const made = locking();
    made.node.always('lockAcquire', never);
    const stop = new AbortController();
    const waiting = made.client.lock('orders/42', { wait: Infinity, signal: stop.signal });
    await made.time.pass(30_000);
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await failure(made.time.until(waiting))).toBe(reason);
    expect(made.node.of('leaseRevoke').map(({ request }) => request)).toContain('600');
  });

  test('an answer that says held at once is not asked for in a circle', async () => {
    const made = locking();
    made.node.always('lockAcquire', fails('ERR_LOCK_HELD'));
    expect(await failure(made.time.until(made.client.lock('orders/42', { wait: Infinity })))).toMatchObject({
      code: 'ERR_LOCK_HELD',
    });
    expect(made.node.of('lockAcquire')).toHaveLength(1);
  });
});

describe('the holder fences itself', () => {
  test('nobody can be reached: the signal comes before the cluster can have let in another', async () => {
    const made = locking();
    const started = made.time.now();
    const lock = await locked(made);
    made.node.always('lockRenew', fails('ERR_UNAVAILABLE'));
    let abortedAt = Infinity;
    lock.signal.addEventListener('abort', () => (abortedAt = made.time.now()));
    await made.time.pass(14_800);
    lock.guard();
    expect(abortedAt).toBe(Infinity);
    await made.time.pass(200);
    expect(abortedAt).toBe(started + TTL * 0.99);
    expect(lock.signal.reason).toMatchObject(LOST);
    expect(lock.remaining()).toBe(0);
    expect(() => lock.guard()).toThrow(/could not be renewed within 15000 ms/u);
    expect(made.node.of('lockRenew').length).toBeGreaterThan(3);
  });

  test('the deadline counts from when the renewal was sent, not from when it was acknowledged', async () => {
    const made = locking();
    const lock = await locked(made);
    const acquired = made.time.now();
    let sent = 0;
    made.node.always('lockRenew', () => {
      sent = made.time.now();
      return new Promise((resolve) => made.time.after(2500, () => resolve({ ttlMs: TTL })));
    });
    await made.time.pass(5000 + 2500);
    expect(sent).toBe(acquired + 5000);
    expect(made.time.now() + lock.remaining()).toBe(sent + TTL * 0.99);
  });

  test('a node that hangs does not cost the whole time to live: another is asked', async () => {
    const made = locking(2);
    const lock = await locked(made);
    for (const node of made.nodes) node.always('lockRenew', never);
    made.nodes[1]!.always('lockRenew', gives({ ttlMs: TTL }));
    await made.time.pass(60_000);
    lock.guard();
  });

  test('a stalled event loop: guard throws although no timer has run, and the signal is aborted with it', async () => {
    const made = locking();
    const lock = await locked(made);
    const { signal } = lock;
    made.time.stall(TTL);
    expect(signal.aborted).toBe(false);
    expect(() => lock.guard()).toThrow(KvorumError);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject(LOST);
  });

  test.each(['signal', 'remaining'] as const)('a stalled event loop: reading %s is enough', async (what) => {
    const made = locking();
    const lock = await locked(made);
    const { signal } = lock;
    made.time.stall(TTL);
    if (what === 'signal') expect(lock.signal.aborted).toBe(true);
    else expect(lock.remaining()).toBe(0);
    expect(signal.aborted).toBe(true);
  });

  test('a stalled event loop: the first timer aborts the signal, and nothing is renewed any more', async () => {
    const made = locking();
    const lock = await locked(made);
    const { signal } = lock;
    made.time.stall(TTL);
    await made.time.pass(0);
    expect(signal.aborted).toBe(true);
    expect(made.node.of('lockRenew')).toHaveLength(0);
  });

  test('an acknowledgement after the deadline does not revive it', async () => {
    const made = locking();
    const lock = await locked(made);
    let acknowledge: (value: unknown) => void = () => undefined;
    made.node.always('lockRenew', () => new Promise((resolve) => (acknowledge = resolve)));
    await made.time.pass(5000);
    // The renewal arrives in time, its acknowledgement does not: the event loop stalls before. Counted from it there would be time left.
    made.time.stall(10_000);
    acknowledge({ ttlMs: TTL });
    await settle();
    expect(lock.signal.aborted).toBe(true);
    expect(() => lock.guard()).toThrow(KvorumError);
    await made.time.pass(60_000);
    expect(() => lock.guard()).toThrow(KvorumError);
  });

  test('the cluster says that it is gone: at once, and nothing is given back', async () => {
    const made = locking();
    const lock = await locked(made);
    made.node.always('lockRenew', fails('ERR_LOCK_LOST'));
    await made.time.pass(5000);
    expect(lock.signal.reason).toMatchObject(LOST);
    await made.time.until(lock.release());
    expect(made.node.of('lockRelease')).toHaveLength(0);
  });

  test('an answer that makes no sense is not the end while there is time', async () => {
    const made = locking();
    const lock = await locked(made);
    made.node.next('lockRenew', fails('ERR_INTERNAL', 'unknown'), fails('ERR_UNAUTHENTICATED'));
    await made.time.pass(20_000);
    lock.guard();
  });

  test('two clocks that differ by 1 % in speed agree on who was first', async () => {
    // The cluster's clock is the faster one: its TTL ends when 0.99 of it has passed here.
    const made = locking();
    const started = made.time.now();
    const lock = await locked(made);
    made.node.always('lockRenew', fails('ERR_UNAVAILABLE'));
    let abortedAt = Infinity;
    lock.signal.addEventListener('abort', () => (abortedAt = made.time.now()));
    await made.time.pass(TTL);
    expect(abortedAt - started).toBeLessThanOrEqual(TTL * 0.99);
  });
});

describe('given back', () => {
  test('the signal is aborted, guard throws, and a second release does nothing', async () => {
    const made = locking();
    const lock = await locked(made);
    const { signal } = lock;
    await made.time.until(lock.release());
    await made.time.until(lock.close());
    expect(made.node.of('lockRelease').map(({ request }) => request)).toEqual([{ name: 'orders/42', token: 41 }]);
    expect(signal.reason).toMatchObject(LOST);
    expect(() => lock.guard()).toThrow(/given back/u);
  });

  test('tried until the cluster answers', async () => {
    const made = locking();
    const lock = await locked(made);
    made.node.next('lockRelease', fails('ERR_UNAVAILABLE', 'unknown'), fails('ERR_NO_LEADER'), never);
    await made.time.until(lock.release());
    expect(made.node.of('lockRelease')).toHaveLength(4);
  });

  test('nobody answers: over when the lease must have ended by itself', async () => {
    const made = locking();
    const lock = await locked(made);
    made.node.always('lockRelease', fails('ERR_UNAVAILABLE', 'unknown'));
    const started = made.time.now();
    await made.time.until(lock.release());
    expect(made.time.now() - started).toBeGreaterThan(TTL - 3000);
    expect(made.time.now() - started).toBeLessThanOrEqual(TTL + 1000);
  });

  test('what no repetition helps against is told', async () => {
    const made = locking();
    const lock = await locked(made);
    made.node.always('lockRelease', fails('ERR_UNAUTHENTICATED'));
    expect(await failure(made.time.until(lock.release()))).toMatchObject({ code: 'ERR_UNAUTHENTICATED' });
  });

  test('await using', async () => {
    const made = locking();
    {
      await using lock = await locked(made);
      lock.guard();
    }
    expect(made.node.of('lockRelease')).toHaveLength(1);
  });

  test('closing the client gives back all that it holds, then ends its session', async () => {
    const made = locking();
    const lock = await locked(made);
    const lease = await leased(made);
    await made.time.until(made.client.close());
    expect(lock.signal.aborted).toBe(true);
    expect(lease.signal.aborted).toBe(true);
    expect(made.node.of('lockRelease')).toHaveLength(1);
    expect(made.node.asked.at(-1)!.method).toBe('leaseRevoke');
    expect(made.time.pending).toBe(0);
  });
});

describe('a lease', () => {
  test('is kept alive, and revoked when it is closed', async () => {
    const made = locking();
    const lease = await leased(made);
    expect(lease).toMatchObject({ id: '600', ttlMs: TTL });
    await made.time.pass(60_000);
    lease.guard();
    await made.time.until(lease.close());
    expect(made.node.of('leaseRevoke').map(({ request }) => request)).toEqual(['600']);
    expect(made.time.pending).toBe(0);
  });

  test('that is gone is lost by its own code', async () => {
    const made = locking();
    const lease = await leased(made);
    made.node.always('leaseRenew', fails('ERR_LEASE_NOT_FOUND'));
    await made.time.pass(5000);
    expect(lease.signal.reason).toMatchObject({ code: 'ERR_LEASE_NOT_FOUND' });
    expect(() => lease.guard()).toThrow(KvorumError);
    await made.time.until(lease.close());
    expect(made.node.of('leaseRevoke')).toHaveLength(0);
  });

  test('after a stall', async () => {
    const made = locking();
    const lease = await leased(made);
    made.time.stall(TTL);
    expect(() => lease.guard()).toThrow(/lease 600 was lost/u);
  });

  test('revoked already is closed', async () => {
    const made = locking();
    const lease = await leased(made);
    made.node.always('leaseRevoke', fails('ERR_LEASE_NOT_FOUND'));
    await made.time.until(lease.close());
  });

  test('a lock that hangs on it goes with it, and leaves it when it is released', async () => {
    const made = locking();
    const lease = await leased(made);
    const first = await made.time.until(made.client.lock('orders/42', { lease }));
    expect(made.node.of('lockAcquire')[0]!.request).toMatchObject({ lease: '600' });
    // Nobody waited, and the lease is fresh: it counts from there.
    expect(made.node.of('lockRenew')).toHaveLength(0);
    await made.time.until(first.release());
    lease.guard();
    expect(made.node.of('leaseRevoke')).toHaveLength(0);
    const second = await made.time.until(made.client.lock('orders/42', { lease }));
    await made.time.until(lease.close());
    expect(() => second.guard()).toThrow(/its lease has ended/u);
  });

  test('and a lock that were lost are no reason for the client not to close', async () => {
    const made = locking();
    const lease = await leased(made);
    const lock = await locked(made);
    made.node.always('lockRenew', fails('ERR_LOCK_LOST'));
    made.node.always('leaseRenew', fails('ERR_LEASE_NOT_FOUND'));
    made.node.always('lockRelease', fails('ERR_LOCK_LOST'));
    made.node.always('leaseRevoke', fails('ERR_LEASE_NOT_FOUND'));
    await made.time.pass(TTL);
    expect(lock.signal.aborted && lease.signal.aborted).toBe(true);
    await made.time.until(lock.release());
    await made.time.until(made.client.close());
  });

  test('that is kept alive by its handle is not renewed for each lock', async () => {
    const made = locking();
    const lease = await leased(made);
    await made.time.pass(TTL / 4);
    const lock = await made.time.until(made.client.lock('orders/42', { lease }));
    expect(made.node.of('lockRenew')).toHaveLength(0);
    expect(lock.remaining()).toBeLessThanOrEqual(lease.remaining());
    await made.time.until(lock.release());
  });

  test('of which only the id is known is renewed before a lock is handed out', async () => {
    const made = locking();
    await made.time.until(made.client.lock('orders/42', { lease: '777' }));
    expect(made.node.of('lockRenew')).toHaveLength(1);
  });
});

describe('semaphores, elections, barriers', () => {
  test('a semaphore says how many permits there are', async () => {
    const made = locking();
    const permit = await made.time.until(made.client.semaphore('pool', 3));
    expect(made.node.of('lockAcquire')[0]!.request).toMatchObject({ permits: 3 });
    await made.time.until(permit.release());
  });

  test('a term: campaign, proclaim, resign', async () => {
    const made = locking();
    made.node.always('electionCampaign', gives({ name: 'relay', token: 9, lease: '500', ttlMs: TTL }));
    made.node.always('electionProclaim', gives(undefined));
    made.node.always('electionResign', gives({ resigned: true }));
    const campaign = made.client.election('relay').campaign({ value: 'me', wait: '10s' });
    const term = await made.time.until(campaign);
    expect(made.node.of('electionCampaign')[0]!.request).toMatchObject({ value: 'me', waitMs: 10_000 });
    expect(term.token).toBe(9);
    await made.time.pass(60_000);
    expect(made.node.of('lockRenew').at(-1)!.request).toEqual({ name: 'relay', token: 9 });
    await made.time.until(term.proclaim('still me'));
    expect(made.node.of('electionProclaim')[0]!.request).toEqual({ name: 'relay', token: 9, value: 'still me' });
    await made.time.until(term.resign());
    expect(await failure(term.proclaim('not me'))).toMatchObject(LOST);
    expect(made.node.of('electionProclaim')).toHaveLength(1);
  });

  test('a term ends when the cluster says so', async () => {
    const made = locking();
    made.node.always('electionCampaign', gives({ name: 'relay', token: 9, lease: '500', ttlMs: TTL }));
    const term = await made.time.until(made.client.election('relay').campaign({ wait: '10s' }));
    made.node.always('lockRenew', fails('ERR_LOCK_LOST'));
    await made.time.pass(5000);
    expect(term.signal.reason).toMatchObject(LOST);
  });

  test('observe tells every leader once, also across streams', async () => {
    const made = locking(2);
    const info = (token: number): object => ({ name: 'relay', leader: { lease: '1', owner: null }, value: 'v', token });
    made.nodes[0]!.next('electionObserve', () =>
      new FakeStream().push(info(1), info(2), new KvorumError('ERR_UNAVAILABLE', 'broke')),
    );
    const second = new FakeStream().push(info(2), info(3));
    made.nodes[1]!.next('electionObserve', () => second);
    const seen: unknown[] = [];
    const stop = new AbortController();
    const observing = (async () => {
      for await (const { token } of made.client.election('relay').observe({ signal: stop.signal })) seen.push(token);
    })();
    await made.time.pass(5000);
    expect(seen).toEqual([1, 2, 3]);
    stop.abort();
    await made.time.until(observing);
    expect(second.closed).toBe(true);
  });

  test('a barrier lets through with a token', async () => {
    const made = locking();
    made.node.always('barrierEnter', gives({ name: 'start', token: 12, lease: '500', ttlMs: TTL }));
    await expect(made.time.until(made.client.barrier('start', 3).enter({ wait: '20s' }))).resolves.toEqual({
      token: 12,
    });
    expect(made.node.of('barrierEnter')[0]!.request).toMatchObject({ parties: 3, waitMs: 20_000 });
  });

  test('counters', async () => {
    const made = locking();
    made.node.always('counterAdd', gives({ value: 5 }));
    made.node.always('counterGet', gives({ value: 5 }));
    made.node.always('counterDelete', gives({ deleted: true }));
    const counter = made.client.counter('visits');
    await expect(made.time.until(counter.add(5))).resolves.toBe(5);
    await expect(counter.get()).resolves.toBe(5);
    await expect(made.time.until(counter.delete())).resolves.toBe(true);
  });
});
