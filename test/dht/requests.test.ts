import { describe, expect, it } from 'vitest';

import { candidateOf, Path } from '../../src/dht/path.ts';
import { Requests } from '../../src/dht/requests.ts';
import { contactAt, idOfNumber } from './ids.ts';

const TUNING = { requestTimeoutMs: 100, slowAfterMs: 30, maxPendingRequests: 3 };
const to = contactAt(idOfNumber(1));
const search = {
  path: new Path(0, idOfNumber(0), 3),
  candidate: candidateOf(idOfNumber(0), to, 1),
  count: 20,
};

describe('requests that wait', () => {
  it('end in the order in which they were sent', () => {
    const requests = new Requests(TUNING, 7);
    const first = requests.add(to, 'Ping', null, null, 0);
    const second = requests.add(to, 'Ping', null, null, 10);
    expect(requests.nextMs()).toBe(100);
    expect(requests.takeTimedOut(99)).toBeNull();
    expect(requests.takeTimedOut(100)).toBe(first);
    expect(requests.takeTimedOut(100)).toBeNull();
    expect(requests.nextMs()).toBe(110);
    requests.remove(second);
    expect(requests.nextMs()).toBe(Infinity);
    expect(requests.takeTimedOut(999)).toBeNull();
  });

  it('of searches become slow once', () => {
    const requests = new Requests(TUNING, 7);
    requests.add(to, 'Ping', null, null, 0);
    const answered = requests.add(to, 'FindNode', null, search, 0);
    const waiting = requests.add(to, 'FindNode', null, search, 5);
    requests.remove(answered);
    expect(requests.nextMs()).toBe(35);
    expect(requests.takeSlow(34)).toBeNull();
    expect(requests.takeSlow(35)).toBe(waiting);
    expect(waiting.isSlow).toBe(true);
    expect(requests.takeSlow(99)).toBeNull();
    expect(requests.nextMs()).toBe(100);
  });

  it('have numbers that no other waiting one has, also when they wrap', () => {
    const requests = new Requests(TUNING, 2 ** 32 - 2);
    const numbers = [0, 0, 0].map(() => requests.add(to, 'Ping', null, null, 0).rpc);
    expect(numbers).toEqual([2 ** 32 - 1, 0, 1]);
    expect(requests.isFull).toBe(true);
    expect(() => requests.add(to, 'Ping', null, null, 0)).toThrow('too many requests');
    const again = new Requests({ ...TUNING, maxPendingRequests: 9 }, 2 ** 32 - 1);
    again.add(to, 'Ping', null, null, 0);
    for (let i = 0; i < 3; i++) again.remove(again.add(to, 'Ping', null, null, 0));
    expect(again.size).toBe(1);
  });

  it('leave nothing behind when they end', () => {
    const requests = new Requests({ ...TUNING, maxPendingRequests: 10 }, 1);
    // One always waits, so the list of those that may become slow is never empty.
    let last = requests.add(to, 'FindNode', null, search, 0);
    for (let nowMs = 1; nowMs < 5_000; nowMs++) {
      const next = requests.add(to, 'FindNode', null, search, nowMs);
      requests.remove(last);
      last = next;
      expect(requests.nextMs()).toBe(nowMs + 30);
    }
    expect(requests.size).toBe(1);
  });
});
