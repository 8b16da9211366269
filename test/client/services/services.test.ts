/** The service registry on a simulated cluster: who dies is gone, checks flap, watches go on, pickers know what the registry knows. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { clientOver } from '../../../src/client/client.ts';
import type { Client } from '../../../src/client/client.ts';
import { text } from '../../../src/client/codec.ts';
import type { ServiceView } from '../../../src/client/services/instance.ts';
import type { RegisterOptions, Registration } from '../../../src/client/services/registration.ts';
import { instanceKey, SERVICES_PREFIX } from '../../../src/client/services/instance.ts';
import { KvorumError } from '../../../src/errors.ts';
import { simCluster, type SimCluster } from '../../../src/testing/index.ts';
import { SimTransport } from '../../../src/testing/sim-transport.ts';

let cluster: SimCluster;
let client: Client;

beforeEach(async () => {
  cluster = await simCluster({ seed: 77 });
  client = cluster.client();
});

afterEach(async () => {
  await cluster.run(client.close()).catch(() => undefined);
  cluster.close();
});

const ADDRESS = '10.0.0.7:8080';
const idsOf = ({ instances }: ServiceView): string[] => instances.map(({ instance }) => instance);

async function passing(name = 'payments'): Promise<string[]> {
  return idsOf(await cluster.run(client.services.list(name, { passing: true })));
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return cluster.run(
    promise.then(
      () => 'nothing went wrong',
      (error: unknown) => error,
    ),
  );
}

/** A health check that says what it is told to. */
function scripted(): { well: boolean | 'silent'; asked: number; run: (signal: AbortSignal) => Promise<void> } {
  const script = {
    well: true as boolean | 'silent',
    asked: 0,
    run: async () => {
      script.asked++;
      if (script.well === 'silent') await new Promise(() => undefined);
      if (script.well === false) throw new Error('the database is away');
    },
  };
  return script;
}

describe('register', () => {
  test('is seen with everything that it says of itself, in the order of the ids', async () => {
    const more = { version: '1.4.2', weight: 7, metadata: { zone: 'a', n: [1] } };
    await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'b', ...more }));
    const me = await cluster.run(client.services.register('payments', { address: 'https://x', instance: 'a/ü%' }));
    const { name, revision, instances } = await cluster.run(client.services.list('payments'));
    expect([name, revision > 0]).toEqual(['payments', true]);
    expect(instances).toMatchObject([
      { ...{ name: 'payments', instance: 'a/ü%', address: 'https://x', version: null, weight: 1, metadata: {} } },
      { ...{ instance: 'b', address: ADDRESS, ...more, status: 'passing', note: null } },
    ]);
    expect(instances[0]!.lease).toBe(me.lease);
    expect(await cluster.run(client.services.names())).toEqual([{ name: 'payments', instances: 2, passing: 2 }]);
    expect(idsOf(await cluster.run(client.services.list('payment')))).toEqual([]);
  });

  test('names that contain each other are apart', async () => {
    for (const name of ['a', 'a/b', 'a%2Fb', 'ab', '%']) {
      await cluster.run(client.services.register(name, { address: name, instance: name }));
    }
    for (const name of ['a', 'a/b', 'a%2Fb', 'ab', '%']) {
      expect(await passing(name)).toEqual([name]);
    }
    expect((await cluster.run(client.services.names())).map(({ name }) => name).sort()).toEqual(
      ['%', 'a', 'a%2Fb', 'a/b', 'ab'].sort(),
    );
  });

  test('an id is made when none is given', async () => {
    const [one, other] = await cluster.run(
      Promise.all([1, 2].map(() => client.services.register('payments', { address: ADDRESS }))),
    );
    expect(one!.instance).toMatch(/^[0-9a-v]{16}$/u);
    expect(other!.instance).not.toBe(one!.instance);
  });

  test('what cannot be meant is refused by name, and nothing is written', async () => {
    const wrong: readonly (readonly [string, string, RegisterOptions])[] = [
      ['name', '', { address: 'a' }],
      ['name', '..', { address: 'a' }],
      ['name', 'ü'.repeat(257), { address: 'a' }],
      ['instance', 'n', { address: 'a', instance: '\ud800' }],
      ['instance', 'n', { address: 'a', instance: 'x'.repeat(513) }],
      ['address', 'n', { address: '' }],
      ['address', 'n', { address: 'x'.repeat(513) }],
      ['version', 'n', { address: 'a', version: 'x'.repeat(129) }],
      ['weight', 'n', { address: 'a', weight: 0 }],
      ['weight', 'n', { address: 'a', weight: 1.5 }],
      ['metadata', 'n', { address: 'a', metadata: { x: 'y'.repeat(4096) } }],
      ['metadata', 'n', { address: 'a', metadata: [] as never }],
      ['node', 'n', { address: 'a', node: 'n1' }],
      ['ttl', 'n', { address: 'a', ttl: 'soon' }],
      ['check.http', 'n', { address: 'a', check: { http: 'ftp://x' } }],
      ['check.tcp', 'n', { address: 'a', check: { tcp: true } }],
      ['check.interval', 'n', { address: 'a:1', check: { tcp: true, interval: 1 } }],
      ['check.failures', 'n', { address: 'a:1', check: { tcp: true, failures: 0 } }],
      ['check.ttl', 'n', { address: 'a:1', check: { ttl: 0 } }],
    ];
    for (const [option, name, options] of wrong) {
      const refused = await failure(client.services.register(name, options));
      expect(refused, option).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', details: { option } });
    }
    const { entries } = await cluster.run(client.list({ prefix: SERVICES_PREFIX }));
    expect(entries).toEqual([]);
  });

  test('close: gone at once, and its lease with it', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS }));
    await cluster.run(me.close());
    await cluster.run(me.close());
    expect(await passing()).toEqual([]);
    expect(await failure(client.leaseInfo(me.lease))).toMatchObject({ code: 'ERR_LEASE_NOT_FOUND' });
    expect(me.signal.aborted).toBe(true);
    expect(await failure(me.report('warning'))).toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
  });

  test("with a lease of one's own: close takes the instance, and leaves the lease; it goes with the lease", async () => {
    const lease = await cluster.run(client.lease());
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, lease }));
    await cluster.run(me.close());
    expect(await passing()).toEqual([]);
    await cluster.run(client.leaseInfo(lease.id));
    const again = await cluster.run(client.services.register('payments', { address: ADDRESS, lease }));
    await cluster.run(lease.close());
    expect(await passing()).toEqual([]);
    await cluster.until(() => again.signal.aborted, 'it knows');
    expect(() => again.guard()).toThrow(/its lease has ended/u);
    expect(await failure(client.services.register('payments', { address: ADDRESS, lease: '999' }))).toMatchObject({
      code: 'ERR_LEASE_NOT_FOUND',
    });
  });

  test('with the id of a lease that somebody else keeps: it knows when that has ended, within its time to live', async () => {
    const lease = await cluster.run(client.lease());
    const given = { address: ADDRESS, lease: lease.id };
    const silent = await cluster.run(client.services.register('payments', given));
    const talking = await cluster.run(client.services.register('payments', given));
    await cluster.run(lease.close());
    expect(await failure(talking.report('warning'))).toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
    await cluster.until(() => silent.signal.aborted, 'it knows', 15_000);
    for (const one of [silent, talking]) expect(() => one.guard()).toThrow(/its lease has ended/u);
  });

  test('two of one id on one lease: the one before learns of it, and takes nothing from the one after', async () => {
    const lease = await cluster.run(client.lease());
    const given = { instance: 'a', lease };
    const register = (address: string, id = 'a'): Promise<Registration> =>
      cluster.run(client.services.register('payments', { ...given, instance: id, address }));
    const there = async (): Promise<unknown[]> =>
      (await cluster.run(client.services.list('payments'))).instances.map(({ address, status }) => [address, status]);
    const [talking, closing, silent] = [await register('a:1'), await register('a:2'), await register('a:3')];
    const last = await register('a:4');
    expect(await failure(talking.report('critical'))).toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
    await cluster.run(closing.close());
    expect(await there()).toEqual([['a:4', 'passing']]);
    await cluster.until(() => silent.signal.aborted, 'it knows', 15_000);
    for (const one of [talking, silent]) expect(() => one.guard()).toThrow(/registered by another/u);
    // What an operator says of it makes it nobody else's.
    await cluster.run(
      client.put(instanceKey('payments', 'a'), '{"address":"a:4","status":"critical"}', { lease: lease.id }),
    );
    await cluster.run(last.report('warning'));
    expect(await there()).toEqual([['a:4', 'warning']]);
    await cluster.run(last.close());
    expect(await there()).toEqual([]);
    await cluster.run(client.leaseInfo(lease.id));
  });

  test('the client closes: deregistered', async () => {
    const other = cluster.client();
    await cluster.run(other.services.register('payments', { address: ADDRESS }));
    await cluster.run(other.close());
    expect(await passing()).toEqual([]);
  });

  test('what somebody wrote by hand under the prefix is passed over', async () => {
    await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    for (const [key, value] of [
      ['payments/x', 'not JSON'],
      ['payments/y', '{"address":7,"status":"passing"}'],
      ['payments/z', '{"address":"a","status":"well"}'],
      ['payments/z/z', '{"address":"a","status":"passing"}'],
      ['payments/%7A', '{"address":"a","status":"passing"}'],
      ['payments/', '{"address":"a","status":"passing"}'],
    ]) {
      await cluster.run(client.put(SERVICES_PREFIX + key!, value!));
    }
    await cluster.run(client.put(`${SERVICES_PREFIX}payments/b`, '{"address":"b","status":"passing","more":1}'));
    expect(await passing()).toEqual(['a', 'b']);
    expect(await cluster.run(client.services.names())).toEqual([{ name: 'payments', instances: 2, passing: 2 }]);
  });
});

describe('whose process dies', () => {
  test('is gone within its time to live, and a second at most', async () => {
    const { client: other, die } = mortal();
    await cluster.run(other.services.register('payments', { address: ADDRESS, instance: 'dead', ttl: '5s' }));
    await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'alive', ttl: '5s' }));
    await cluster.advance(20_000);
    expect(await passing()).toEqual(['alive', 'dead']);
    const seen: string[][] = [];
    const watching = (async () => {
      for await (const view of client.services.watch('payments')) seen.push(idsOf(view));
    })();
    await cluster.until(() => seen.length === 1, 'the watch stands');
    const died = cluster.now;
    die();
    await cluster.until(() => seen.length === 2, 'it is gone');
    expect(seen).toEqual([['alive', 'dead'], ['alive']]);
    expect(cluster.now - died).toBeLessThanOrEqual(6000 + 500);
    await cluster.run(client.close());
    await cluster.run(watching);
  });

  test('one that starts again takes the place of the one before at once, and what that one says late is not heard', async () => {
    const options = { address: ADDRESS, instance: 'shop-1', ttl: '5s' };
    const before = await cluster.run(client.services.register('payments', { ...options, version: '1' }));
    const other = cluster.client();
    const after = await cluster.run(other.services.register('payments', { ...options, version: '2' }));
    expect(await failure(before.report('critical', 'from the past'))).toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
    expect(before.signal.aborted).toBe(true);
    await cluster.advance(20_000);
    const { instances } = await cluster.run(client.services.list('payments'));
    expect(instances).toMatchObject([{ version: '2', status: 'passing', lease: after.lease }]);
    await cluster.run(other.close());
  });

  test('an operator deregisters: the process learns of it with its next report, and stays out', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    expect(await cluster.run(client.services.deregister('payments', 'a'))).toBe(true);
    expect(await cluster.run(client.services.deregister('payments', 'a'))).toBe(false);
    expect(await failure(me.report('warning'))).toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
    expect(() => me.guard()).toThrow(/deregistered/u);
    expect(await passing()).toEqual([]);
  });

  test('who has nothing to say learns of it within its time to live, all the same', async () => {
    const quiet = (instance: string): Promise<Registration> =>
      cluster.run(client.services.register('payments', { address: ADDRESS, instance, ttl: '5s' }));
    const [taken, removed, kept] = [await quiet('a'), await quiet('b'), await quiet('c')];
    const other = cluster.client();
    await cluster.run(other.services.register('payments', { address: 'b:1', instance: 'a' }));
    await cluster.run(client.services.deregister('payments', 'b'));
    await cluster.advance(6000);
    expect(() => taken.guard()).toThrow(/registered by another/u);
    expect(() => removed.guard()).toThrow(/deregistered/u);
    kept.guard();
    expect(await passing()).toEqual(['a', 'c']);
    await cluster.run(other.close());
  });
});

/** A client whose process can end: none of its timers runs any more. */
function mortal(): { readonly client: Client; readonly die: () => void } {
  let alive = true;
  const dice = cluster.random.fork();
  const environment = {
    now: () => cluster.time.now,
    random: () => dice.float(),
    after: (delayMs: number, task: () => void) =>
      cluster.time.schedule(delayMs, () => {
        if (alive) task();
      }),
  };
  const transports = cluster.nodes.map((node) => new SimTransport(node));
  return { client: clientOver(transports, text, { environment }), die: () => (alive = false) };
}

describe('a cluster that cannot be reached for longer than the time to live', () => {
  test('the lease ends, and the instance comes back by itself with what it said last', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a', ttl: '3s' }));
    const { lease } = me;
    for (const node of cluster.nodes) node.pause();
    const reported = me.report('warning', 'alone').catch((error: unknown) => error);
    await cluster.advance(5000);
    for (const node of cluster.nodes) node.resume();
    await cluster.run(reported);
    await cluster.until(() => me.lease !== lease, 'another lease');
    await cluster.advance(5000);
    const { instances } = await cluster.run(client.services.list('payments'));
    expect(instances).toMatchObject([{ instance: 'a', status: 'warning', note: 'alone', lease: me.lease }]);
    me.guard();
    await cluster.run(me.close());
    expect(idsOf(await cluster.run(client.services.list('payments')))).toEqual([]);
  });

  test('the lease that it is to come back with ends as well: it comes back with another', async () => {
    const transports = cluster.nodes.map((node) => new SimTransport(node));
    const leases = new Set<string>();
    for (const transport of transports) {
      const { txn } = transport;
      transport.txn = async (request, attempt) => {
        const [step] = request.then;
        const lease = step !== undefined && 'put' in step ? String(step.put.lease) : '';
        // The second that it has is the first that it is to come back with.
        if (leases.size === 1 && !leases.has(lease)) await client.revoke(lease);
        leases.add(lease);
        return txn.call(transport, request, attempt);
      };
    }
    const dice = cluster.random.fork();
    const environment = {
      now: () => cluster.time.now,
      random: () => dice.float(),
      after: (delayMs: number, task: () => void) => cluster.time.schedule(delayMs, task),
    };
    const other = clientOver(transports, text, { environment });
    const me = await cluster.run(other.services.register('payments', { address: ADDRESS, instance: 'a', ttl: '24h' }));
    await cluster.run(client.revoke(me.lease));
    await cluster.run(me.report('warning'));
    expect(leases.size).toBe(3);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'warning', lease: me.lease },
    ]);
    await cluster.run(other.close());
  });

  test('its lease is revoked: it comes back, unless another has its id by then', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a', ttl: '3s' }));
    await cluster.run(client.revoke(me.lease));
    expect(await passing()).toEqual([]);
    await cluster.advance(4000);
    expect(await passing()).toEqual(['a']);
    await cluster.run(client.revoke(me.lease));
    await cluster.run(me.report('warning'));
    expect(idsOf(await cluster.run(client.services.list('payments')))).toEqual(['a']);
    const other = cluster.client();
    await cluster.run(client.revoke(me.lease));
    const taken = await cluster.run(other.services.register('payments', { address: 'b', instance: 'a' }));
    await cluster.until(() => me.signal.aborted, 'it knows');
    expect(() => me.guard()).toThrow(/registered by another/u);
    const { instances } = await cluster.run(client.services.list('payments'));
    expect(instances).toMatchObject([{ address: 'b', lease: taken.lease }]);
    await cluster.run(other.close());
  });
});

describe('health', () => {
  test('reports: only changes are written', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    const revision = async (): Promise<number> => (await cluster.run(client.services.list('payments'))).revision;
    const before = await revision();
    await cluster.run(me.report('passing'));
    expect(await revision()).toBe(before);
    await cluster.run(me.report('critical', 'full'));
    expect(await revision()).toBe(before + 1);
    await cluster.run(me.report('critical', 'full'));
    expect(await revision()).toBe(before + 1);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'critical', note: 'full' },
    ]);
    expect(await passing()).toEqual([]);
    await cluster.run(me.report('passing'));
    expect(await passing()).toEqual(['a']);
    for (const [status, note] of [
      ['well', undefined],
      ['passing', 'x'.repeat(513)],
    ] as const) {
      expect(await failure(me.report(status as never, note))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });

  test('many reports at once are one write or two, and the last counts', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    const before = (await cluster.run(client.services.list('payments'))).revision;
    await cluster.run(Promise.all(Array.from({ length: 50 }, (_, i) => me.report('warning', `turn ${i}`))));
    const { revision, instances } = await cluster.run(client.services.list('payments'));
    expect(instances).toMatchObject([{ note: 'turn 49' }]);
    expect(revision - before).toBeLessThanOrEqual(2);
  });

  test('a check: critical until the first success, and after three failures in a row', async () => {
    const script = scripted();
    const check = { run: script.run, interval: '1s', timeout: '500ms' };
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a', check }));
    await cluster.until(() => me.status === 'passing', 'the first check');
    await cluster.advance(500);
    const first = (await cluster.run(client.services.list('payments'))).instances[0]!;
    expect(first).toMatchObject({ status: 'passing', note: null, version: null });
    await cluster.advance(20_000);
    expect(script.asked).toBeGreaterThan(15);
    expect((await cluster.run(client.services.list('payments'))).instances[0]!.modRevision).toBe(first.modRevision);

    // Two failures are none.
    const asked = script.asked;
    script.well = false;
    await cluster.until(() => script.asked === asked + 2, 'two failures');
    script.well = true;
    await cluster.advance(10_000);
    expect((await cluster.run(client.services.list('payments'))).instances[0]!.modRevision).toBe(first.modRevision);

    script.well = false;
    await cluster.until(() => me.status === 'critical', 'three failures');
    await cluster.advance(100);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'critical', note: 'the database is away' },
    ]);
    script.well = 'silent';
    await cluster.advance(20_000);
    script.well = true;
    await cluster.advance(2000);
    expect(await passing()).toEqual(['a']);
    script.well = 'silent';
    await cluster.advance(6000);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'critical', note: 'no answer within 500 ms' },
    ]);
    await cluster.run(me.close());
    const { asked: end } = script;
    await cluster.advance(10_000);
    expect(script.asked).toBe(end);
  });

  test('the worse of what is reported and what the check says', async () => {
    const script = scripted();
    const check = { run: script.run, interval: '1s', failures: 1 };
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a', check }));
    await cluster.until(() => me.status === 'passing', 'the first check');
    await cluster.run(me.report('warning', 'draining'));
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([{ note: 'draining' }]);
    script.well = false;
    await cluster.advance(2000);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([{ status: 'critical' }]);
    await cluster.run(me.report('passing'));
    expect(me.status).toBe('critical');
    script.well = true;
    await cluster.advance(2000);
    expect(await passing()).toEqual(['a']);
  });

  test('ttl: who does not report in time is critical', async () => {
    const check = { ttl: '5s' };
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a', check }));
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'critical', note: 'no report yet' },
    ]);
    for (let i = 0; i < 5; i++) {
      await cluster.run(me.report('passing'));
      expect(await passing()).toEqual(['a']);
      await cluster.advance(4000);
    }
    await cluster.advance(2000);
    expect((await cluster.run(client.services.list('payments'))).instances).toMatchObject([
      { status: 'critical', note: 'no report within 5000 ms' },
    ]);
  });

  test('http and tcp are asked of the checker, at the address', async () => {
    const asked: string[] = [];
    const checker = {
      http: async (url: string) => void asked.push(url),
      tcp: async (address: string) => void asked.push(address),
    };
    const register = async (address: string, check: object): Promise<void> => {
      const options = { address, checker, check: check as { tcp: true } };
      const me = await cluster.run(client.services.register('payments', options));
      await cluster.until(() => me.status === 'passing', `${address} is checked`);
    };
    await register('10.0.0.7:8080', { http: '/healthz?deep=1' });
    await register('https://shop.example/api', { http: '/healthz' });
    await register('10.0.0.7:8080', { http: 'http://10.0.0.7:9090/live' });
    await register('10.0.0.7:5432', { tcp: true });
    await register('https://shop.example', { tcp: '[::1]:5432' });
    expect(asked).toEqual([
      ...['http://10.0.0.7:8080/healthz?deep=1', 'https://shop.example/healthz', 'http://10.0.0.7:9090/live'],
      ...['10.0.0.7:5432', '[::1]:5432'],
    ]);
  });
});

describe('watch', () => {
  test('the passing instances, again when they change, whichever node is killed', async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const { instances } of client.services.watch('payments', { signal: stop.signal })) {
        seen.push(instances.map(({ instance, weight }) => `${instance}:${weight}`).join());
      }
    })();
    await cluster.until(() => seen.length === 1, 'the watch stands');
    const other = cluster.client();
    const made = [];
    for (let i = 0; i < 9; i++) {
      made.push(
        await cluster.run(other.services.register('payments', { address: ADDRESS, instance: `i${i}`, weight: i + 1 })),
      );
      if (i % 3 === 0) cluster.nodes[(i / 3) % 3]!.crash();
      if (i % 3 === 2) await cluster.start();
    }
    await cluster.run(made[0]!.report('critical'));
    await cluster.run(made[0]!.report('critical', 'still'));
    await cluster.run(made[0]!.report('passing'));
    await cluster.run(made[8]!.close());
    const all = Array.from({ length: 9 }, (_, i) => `i${i}:${i + 1}`);
    const states = [
      ...Array.from({ length: 10 }, (_, count) => all.slice(0, count).join()),
      all.slice(1).join(),
      all.join(),
      all.slice(0, 8).join(),
    ];
    await cluster.until(() => seen.at(-1) === states.at(-1), 'all is seen');
    expect(seen).toEqual(states);
    stop.abort();
    await cluster.run(watching);
    await cluster.run(other.close());
  });

  test('all instances, when it is asked for', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    const watch = client.services.watch('payments', { passing: false });
    expect((await cluster.run(watch.next())).value).toMatchObject({ instances: [{ status: 'passing' }] });
    await cluster.run(me.report('critical'));
    expect((await cluster.run(watch.next())).value).toMatchObject({ instances: [{ status: 'critical' }] });
    await cluster.run(watch.close());
  });

  test('history that is gone is made up for: everything there is', async () => {
    const me = await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'a' }));
    const watch = client.services.watch('payments');
    await cluster.run(watch.next());
    for (let i = 0; i < 5; i++) await cluster.run(me.report('warning', String(i)));
    await cluster.run(client.services.register('payments', { address: ADDRESS, instance: 'b' }));
    const { revision } = await cluster.run(client.put('x', 'y'));
    await cluster.run(client.compact(revision));
    expect(idsOf((await cluster.run(watch.next())).value!)).toEqual(['b']);
    await cluster.run(watch.close());
  });

  test('a name that cannot be', () => {
    expect(() => client.services.watch('')).toThrow(KvorumError);
  });
});
