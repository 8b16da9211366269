/** Who gets the next request: how even the load is, who is set aside and for how long, what weights mean, what is remembered. */
import { describe, expect, test } from 'vitest';

import { Balancer } from '../../../src/client/services/balancer.ts';
import type { BalancerOptions } from '../../../src/client/services/balancer.ts';
import type { ServiceInstance } from '../../../src/client/services/instance.ts';
import { Random } from '../../../src/testing/random.ts';

const SEED = 20_240_611;

function instance(id: string, weight = 1, createRevision = 1): ServiceInstance {
  return {
    ...{ name: 's', instance: id, address: `${id}:1`, version: null, weight, metadata: {}, status: 'passing' },
    ...{ note: null, node: null, lease: '1', createRevision, modRevision: createRevision },
  };
}

const many = (count: number): ServiceInstance[] => Array.from({ length: count }, (_, i) => instance(`i${i}`));

function balancer(
  instances: readonly ServiceInstance[],
  options: Partial<BalancerOptions> = {},
  seed = SEED,
): Balancer {
  const dice = new Random(seed);
  const made = new Balancer(() => dice.float(), options);
  made.update(instances, 0);
  return made;
}

/**
 * Requests that arrive at random and take `serviceMs` each, one after the other at each instance: the longest queue that any of them had. `choose` gives who gets it.
 */
function longestQueue(
  instances: readonly ServiceInstance[],
  choose: (now: number) => ServiceInstance,
  answered: (to: ServiceInstance, ms: number, now: number) => void,
  { arrivals, everyMs, serviceMs }: { arrivals: number; everyMs: number; serviceMs: (to: ServiceInstance) => number },
): number {
  const dice = new Random(SEED + 1);
  const freeAt = new Map(instances.map(({ instance: id }) => [id, 0]));
  const queued = new Map(instances.map(({ instance: id }) => [id, 0]));
  let open: { at: number; since: number; to: ServiceInstance }[] = [];
  let now = 0;
  let longest = 0;
  for (let i = 0; i < arrivals; i++) {
    now += -Math.log(1 - dice.float()) * everyMs;
    const done = open.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    open = open.filter(({ at }) => at > now);
    for (const { at, since, to } of done) {
      queued.set(to.instance, queued.get(to.instance)! - 1);
      answered(to, at - since, at);
    }
    const to = choose(now);
    const at = Math.max(now, freeAt.get(to.instance)!) + serviceMs(to);
    freeAt.set(to.instance, at);
    open.push({ at, since: now, to });
    const length = queued.get(to.instance)! + 1;
    queued.set(to.instance, length);
    longest = Math.max(longest, length);
  }
  return longest;
}

describe('power of two choices', () => {
  const instances = many(20);

  test('balls into bins: the fullest has far fewer too many than with one choice', () => {
    const balls = 20_000;
    const dice = new Random(SEED);
    const random = new Map<string, number>();
    for (let i = 0; i < balls; i++) {
      const { instance: id } = dice.pick(instances);
      random.set(id, (random.get(id) ?? 0) + 1);
    }
    const chosen = balancer(instances);
    for (let i = 0; i < balls; i++) chosen.next(0);
    const excess = (counts: number[]): number => Math.max(...counts) - balls / instances.length;
    const two = excess(instances.map(({ instance: id }) => chosen.inflight(id)));
    const one = excess([...random.values()]);
    // Theory: ln ln n / ln 2, whatever the number of balls, against √(2 · 1000 · ln n).
    expect(two).toBeLessThanOrEqual(4);
    expect(one).toBeGreaterThan(30);
  });

  test('under load the longest queue is a fraction of the one that random choice makes', () => {
    const load = { arrivals: 20_000, everyMs: 10 / (20 * 0.9), serviceMs: () => 10 };
    const dice = new Random(SEED + 2);
    const one = longestQueue(
      instances,
      () => dice.pick(instances),
      () => undefined,
      load,
    );
    const two = balancer(instances);
    const shortest = longestQueue(
      instances,
      (now) => two.next(now)!,
      (to, ms, now) => two.succeeded(to, ms, now),
      load,
    );
    expect(shortest * 3).toBeLessThanOrEqual(one);
  });

  test('one that becomes slow gets less with its first slow answer, and its part again when it is fast', () => {
    const made = balancer(many(4));
    const share = (slow: (id: string) => number, from: number): number => {
      const counts = new Map<string, number>();
      for (let i = 0; i < 400; i++) {
        const to = made.next(from + i * 10)!;
        counts.set(to.instance, (counts.get(to.instance) ?? 0) + 1);
        made.succeeded(to, slow(to.instance), from + i * 10);
      }
      return (counts.get('i0') ?? 0) / 400;
    };
    expect(share(() => 5, 0)).toBeGreaterThan(0.15);
    expect(share((id) => (id === 'i0' ? 500 : 5), 4000)).toBeLessThan(0.05);
    share(() => 5, 8000);
    share(() => 5, 68_000);
    expect(share(() => 5, 128_000)).toBeGreaterThan(0.15);
  });

  test('two different ones are compared, so the idle one of two gets it', () => {
    const made = balancer(many(2));
    const first = made.next(0)!;
    for (let i = 0; i < 50; i++) {
      const second = made.next(0)!;
      expect(second.instance).not.toBe(first.instance);
      made.released(second);
    }
  });

  test('a stranger gets one request until it has answered', () => {
    const made = balancer(many(3));
    for (let i = 0; i < 30; i++) made.succeeded(made.next(i)!, 5, i);
    made.update([...many(3), instance('new')], 30);
    for (let i = 0; i < 200; i++) {
      const to = made.next(30)!;
      if (to.instance !== 'new') made.succeeded(to, 5, 30);
    }
    expect(made.inflight('new')).toBe(1);
  });
});

describe('weights', () => {
  const weights = [1, 2, 3, 10];
  const instances = weights.map((weight, i) => instance(`w${i}`, weight));
  const total = weights.reduce((sum, weight) => sum + weight, 0);

  test.each(['one at a time', 'many at a time'])('each gets its part: %s', (how) => {
    const made = balancer(instances);
    const dice = new Random(SEED);
    const counts = new Map<string, number>();
    const open: ServiceInstance[] = [];
    for (let i = 0; i < 40_000; i++) {
      const to = made.next(i)!;
      counts.set(to.instance, (counts.get(to.instance) ?? 0) + 1);
      open.push(to);
      const room = how === 'one at a time' ? 0 : 64;
      // Latencies are alike, and vary.
      while (open.length > room)
        made.succeeded(open.splice(dice.between(0, open.length - 1), 1)[0]!, 5 + dice.float(), i);
    }
    for (const [i, weight] of weights.entries()) {
      const share = (counts.get(`w${i}`) ?? 0) / 40_000;
      expect(Math.abs(share / (weight / total) - 1), `weight ${weight} got ${share}`).toBeLessThan(0.25);
    }
  });
});

describe('outliers', () => {
  const OPTIONS = { consecutiveFailures: 3, ejectionMs: 1000, maxEjectionMs: 60_000, minRequests: 10 };

  /** Until it is set aside, at most so many failures. */
  function fail(made: Balancer, id: string, now: number, most = 3): void {
    for (let i = 0; i < most && !made.aside(now).includes(id); i++) made.failed(instance(id), now);
  }

  test('set aside after failures in a row, back when its time is over, longer each time', () => {
    const made = balancer(many(4), OPTIONS);
    let now = 0;
    for (const times of [1, 2, 3]) {
      fail(made, 'i0', now, 2);
      expect(made.aside(now)).toEqual([]);
      made.failed(instance('i0'), now);
      expect(made.aside(now)).toEqual(['i0']);
      for (let i = 0; i < 100; i++) {
        const to = made.next(now + times * 1000 - 1)!;
        expect(to.instance).not.toBe('i0');
        made.succeeded(to, 5, now);
      }
      now += times * 1000;
      expect(made.aside(now)).toEqual([]);
      const seen = new Set(Array.from({ length: 50 }, () => made.next(now)!.instance));
      expect(seen).toContain('i0');
    }
  });

  test('a success in between begins the count anew', () => {
    const made = balancer(many(4), { ...OPTIONS, failureRatio: 1 });
    for (let i = 0; i < 20; i++) {
      fail(made, 'i0', i, 2);
      made.succeeded(instance('i0'), 5, i);
    }
    expect(made.aside(20)).toEqual([]);
  });

  test('set aside for the part of its answers that are failures, once there are enough', () => {
    const made = balancer(many(4), { ...OPTIONS, failureRatio: 0.5 });
    let answers = 0;
    while (made.aside(0).length === 0 && answers < 50) {
      made.succeeded(instance('i0'), 5, 0);
      made.failed(instance('i0'), 0);
      answers += 2;
    }
    expect(answers).toBe(10);
  });

  test('never more than half of them; of one, none; and somebody is always left', () => {
    for (const count of [1, 2, 3, 5, 8]) {
      const made = balancer(many(count), OPTIONS);
      for (let turn = 0; turn < 10; turn++) {
        for (const { instance: id } of many(count)) fail(made, id, 0, 30);
        expect(made.aside(0).length).toBe(Math.floor(count / 2));
        expect(made.next(0)).not.toBeNull();
      }
    }
  });

  test('when others leave, those come back first whose time is over first', () => {
    const made = balancer(many(4), OPTIONS);
    fail(made, 'i0', 0);
    fail(made, 'i1', 500);
    expect(made.aside(500).sort()).toEqual(['i0', 'i1']);
    made.update(many(3), 600);
    expect(made.aside(600)).toEqual(['i1']);
    made.update(many(2).slice(1), 600);
    expect(made.aside(600)).toEqual([]);
  });

  test('who behaved for long is set aside as if for the first time', () => {
    const made = balancer(many(4), { ...OPTIONS, maxEjectionMs: 5000 });
    fail(made, 'i0', 0);
    fail(made, 'i0', 1000);
    expect(made.aside(2999)).toEqual(['i0']);
    expect(made.aside(3000)).toEqual([]);
    fail(made, 'i0', 8000);
    expect(made.aside(8999)).toEqual(['i0']);
    expect(made.aside(9000)).toEqual([]);
  });

  test('failing fast does not attract', () => {
    const made = balancer(many(2), { ...OPTIONS, consecutiveFailures: 1000, minRequests: 1000 });
    let failures = 0;
    for (let i = 0; i < 400; i++) {
      const to = made.next(i)!;
      if (to.instance === 'i0') {
        failures++;
        made.failed(to, i);
      } else made.succeeded(to, 20, i);
    }
    expect(failures).toBeLessThan(40);
  });
});

describe('hints', () => {
  test('who is to be avoided is left out as long as somebody else is left', () => {
    const made = balancer(many(3));
    const avoided = new Set(['i0', 'i1']);
    for (let i = 0; i < 20; i++) {
      const to = made.next(0, ({ instance: id }) => avoided.has(id))!;
      expect(to.instance).toBe('i2');
    }
    avoided.add('i2');
    expect(made.next(0, ({ instance: id }) => avoided.has(id))).not.toBeNull();
  });
});

describe('what is remembered', () => {
  test('nothing of those that are gone, and no more than one seat an instance', () => {
    const made = balancer([]);
    expect(made.next(0)).toBeNull();
    for (let round = 0; round < 500; round++) {
      const instances = Array.from({ length: 10 }, (_, i) => instance(`r${round}-${i}`));
      made.update(instances, round);
      for (let i = 0; i < 20; i++) made.failed(made.next(round)!, round);
      expect(made.size).toBe(10);
      expect(made.aside(round).length).toBeLessThanOrEqual(5);
    }
    made.update([], 500);
    expect(made.size).toBe(0);
  });

  test('what is told of a life before, or twice, changes nothing', () => {
    const made = balancer([instance('a', 1, 1)]);
    const old = made.next(0)!;
    made.update([instance('a', 1, 9)], 0);
    expect(made.inflight('a')).toBe(0);
    const now = made.next(0)!;
    made.failed(old, 0);
    expect(made.inflight('a')).toBe(1);
    made.succeeded(now, 5, 0);
    made.succeeded(now, 5, 0);
    made.released(now);
    expect(made.inflight('a')).toBe(0);
    made.succeeded(instance('never'), 5, 0);
  });

  test('one that took the place of another by writing over it is a stranger', () => {
    const made = balancer([instance('a')]);
    const old = made.next(0)!;
    made.update([{ ...instance('a'), lease: 'another', modRevision: 7 }], 0);
    expect(made.inflight('a')).toBe(0);
    made.next(0);
    made.failed(old, 0);
    expect(made.inflight('a')).toBe(1);
  });

  test('what it says of itself changes, what is under way stays', () => {
    const made = balancer([instance('a')]);
    made.next(0);
    made.update([{ ...instance('a'), weight: 5, modRevision: 7 }], 0);
    expect(made.inflight('a')).toBe(1);
    expect(made.next(0)).toMatchObject({ weight: 5, modRevision: 7 });
  });

  test('the same seed chooses the same', () => {
    const run = (): string[] => {
      const made = balancer(many(7), {}, 5);
      return Array.from({ length: 200 }, (_, i) => {
        const to = made.next(i)!;
        if (i % 3 === 0) made.succeeded(to, i % 11, i);
        return to.instance;
      });
    };
    expect(run()).toEqual(run());
  });
});
