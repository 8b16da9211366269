/** The picker on a simulated cluster: it knows what the registry knows, through crashes and cuts, and says what is wrong when there is nobody. */
import { afterEach, describe, expect, test } from 'vitest';

import { clientOver } from '../../../src/client/client.ts';
import type { Client } from '../../../src/client/client.ts';
import { text } from '../../../src/client/codec.ts';
import { EmbeddedTransport } from '../../../src/client/embedded-transport.ts';
import { Neighbours } from '../../../src/client/neighbours.ts';
import type { HealthHint, Picker } from '../../../src/client/services/picker.ts';
import { STATUSES } from '../../../src/client/services/instance.ts';
import type { ServiceInstance } from '../../../src/client/services/instance.ts';
import type { Registration } from '../../../src/client/services/registration.ts';
import { Random, simCluster, type SimCluster } from '../../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

async function started(seed = 5): Promise<Client> {
  cluster = await simCluster({ seed });
  return cluster.client();
}

const register = (client: Client, instance: string, more: object = {}): Promise<Registration> =>
  cluster.run(client.services.register('payments', { address: `${instance}:1`, instance, ...more }));

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return cluster.run(
    promise.then(
      () => 'nothing went wrong',
      (error: unknown) => error,
    ),
  );
}

/** The client of a node or agent, on virtual time: what `node.client()` gives. */
function beside(name: string): Client {
  const { node } = cluster.node(name);
  const dice = cluster.random.fork();
  const environment = {
    now: () => cluster.time.now,
    random: () => dice.float(),
    after: (delayMs: number, task: () => void) => cluster.time.schedule(delayMs, task),
  };
  return clientOver(
    [new EmbeddedTransport(node)],
    text,
    { environment },
    {
      host: new Neighbours(node, environment.now),
    },
  );
}

/** Whom it chooses of 30 times. */
function chosenBy(picker: Picker): string[] {
  const chosen = Array.from({ length: 30 }, () => {
    const to = picker.next();
    picker.succeeded(to, 5);
    return to.instance;
  });
  return [...new Set(chosen)].sort();
}

const thrown = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return 'nothing went wrong';
};

describe('nobody to choose', () => {
  test('each reason has a code of its own', async () => {
    const client = await started();
    const picker = client.services.pick('payments');
    expect(thrown(() => picker.next())).toMatchObject({ code: 'ERR_UNAVAILABLE' });
    expect(await cluster.run(picker.ready())).toBe(picker);
    expect(thrown(() => picker.next())).toMatchObject({ code: 'ERR_NO_INSTANCE' });
    const me = await register(client, 'a');
    await cluster.run(me.report('critical'));
    await cluster.advance(100);
    expect(thrown(() => picker.next())).toMatchObject({ code: 'ERR_NO_HEALTHY_INSTANCE', details: { instances: 1 } });
    await cluster.run(me.report('passing'));
    await cluster.advance(100);
    expect(picker.next().instance).toBe('a');
    await cluster.run(picker.close());
    expect(thrown(() => picker.next())).toMatchObject({ code: 'ERR_CLOSED' });
    expect(await failure(picker.ready())).toMatchObject({ code: 'ERR_CLOSED' });
    await cluster.run(client.close());
  });

  test('a cluster that cannot be reached: told to who waits, tried on, and what was known is good enough', async () => {
    const client = await started();
    for (const node of cluster.nodes) node.crash();
    const picker = client.services.pick('payments');
    expect(await failure(picker.ready())).toMatchObject({ retryable: true });
    await cluster.start();
    await register(client, 'a');
    await cluster.run(picker.ready());
    await cluster.until(() => picker.instances.length === 1, 'it is known');
    for (const node of cluster.nodes) node.crash();
    await cluster.advance(30_000);
    expect(await cluster.run(picker.use(({ instance }) => instance))).toBe('a');
    await cluster.start();
    const other = cluster.client();
    await register(other, 'b');
    await cluster.until(() => picker.instances.length === 2, 'it hears of changes again');
    await cluster.run(Promise.all([client.close(), other.close()]));
    expect(thrown(() => picker.next())).toMatchObject({ code: 'ERR_CLOSED' });
  });

  test('options that cannot be meant', async () => {
    const client = await started();
    for (const [option, options] of [
      ['decay', { decay: 0 }],
      ['ejection.failureRatio', { ejection: { failureRatio: 0 } }],
      ['ejection.minRequests', { ejection: { minRequests: 0 } }],
      ['ejection.time', { ejection: { time: 'soon' } }],
    ] as const) {
      expect(thrown(() => client.services.pick('payments', options))).toMatchObject({ details: { option } });
    }
    expect(thrown(() => client.services.pick('..'))).toMatchObject({ details: { option: 'name' } });
  });
});

describe('use', () => {
  test('learns: an instance that fails is set aside and comes back; one that gave up says nothing of it', async () => {
    const client = await started();
    for (const id of ['a', 'b', 'c']) await register(client, id);
    // As if failing took as long as answering, so that it is asked as often as the others.
    const failing = { failureCost: '5ms', ejection: { consecutiveFailures: 3, time: '5s' } };
    const picker = client.services.pick('payments', failing);
    await cluster.run(picker.ready());
    let well = false;
    const request = async ({ instance }: ServiceInstance): Promise<string> => {
      await new Promise<void>((resolve) => void cluster.time.schedule(5, resolve));
      if (instance === 'a' && !well) throw new Error('a is ill');
      return instance;
    };
    const turn = async (): Promise<string> =>
      await cluster.run(picker.use(request).catch((error: unknown) => (error as Error).message));
    const isFailure = (error: unknown): boolean => (error as Error).message !== 'a is ill';
    for (let i = 0; i < 50; i++) await cluster.run(picker.use(request, { isFailure }).catch(() => undefined));
    expect(picker.setAside).toEqual([]);
    const told: string[] = [];
    for (let i = 0; i < 100 && picker.setAside.length === 0; i++) told.push(await turn());
    expect(picker.setAside).toEqual(['a']);
    expect(told.filter((what) => what === 'a is ill')).toHaveLength(3);
    expect(picker.instances.map(({ instance }) => instance)).toEqual(['a', 'b', 'c']);
    well = true;
    for (let i = 0; i < 50; i++) expect(await turn()).not.toBe('a');
    await cluster.advance(5000);
    const seen = new Set<string>();
    for (let i = 0; i < 50; i++) seen.add(await turn());
    expect(seen).toContain('a');
    expect(picker.setAside).toEqual([]);
    await cluster.run(client.close());
  });

  test('healthOf: who is not alive by it is left out, and nobody is left alone with a wrong hint', async () => {
    const client = await started();
    for (const id of ['a', 'b']) await register(client, id);
    const hints = new Map<string, HealthHint>([['a', 'suspect']]);
    const picker = client.services.pick('payments', { healthOf: ({ instance }) => hints.get(instance) ?? null });
    await cluster.run(picker.ready());
    const chosen = (): Set<string> =>
      new Set(
        Array.from({ length: 30 }, () => {
          const to = picker.next();
          picker.succeeded(to, 5);
          return to.instance;
        }),
      );
    expect([...chosen()]).toEqual(['b']);
    hints.set('b', 'unreachable');
    expect([...chosen()].sort()).toEqual(['a', 'b']);
    hints.set('a', 'alive');
    expect([...chosen()]).toEqual(['a']);
    await cluster.run(client.close());
  });

  test.each(['n1', 'a3'])('beside %s: an instance whose process is not well by gossip is left out', async (name) => {
    const client = await started();
    for (const agent of ['a1', 'a2', 'a3']) {
      const node = cluster.add(agent, { role: 'agent' });
      void node.start();
      await cluster.until(() => node.state === 'running' && node.node.readiness().ready, `${agent} is there`);
    }
    const clients = new Map(['a1', 'a2', name].map((each) => [each, beside(each)]));
    // Leases say nothing for a minute.
    for (const id of ['a1', 'a2']) await register(clients.get(id)!, id, { ttl: '1m' });
    await register(client, 'elsewhere', { ttl: '1m' });
    const { instances } = await cluster.run(client.services.list('payments'));
    expect(instances.map(({ node }) => node)).toEqual([...['a1', 'a2'].map((id) => cluster.node(id).node.id), null]);
    await cluster.run(client.services.deregister('payments', 'elsewhere'));

    const own = clients.get(name)!;
    const pickers = { byGossip: own.services.pick('payments'), byLease: client.services.pick('payments') };
    const deaf = own.services.pick('payments', { healthOf: () => null });
    for (const picker of [...Object.values(pickers), deaf]) await cluster.run(picker.ready());
    const health = (id: string): string | undefined =>
      cluster
        .node(name)
        .node.cluster()
        .members.find((member) => member.name === id)?.health;
    const both = ['a1', 'a2'];
    await cluster.until(() => both.every((id) => health(id) === 'alive'), 'it knows both');
    await cluster.until(() => chosenBy(pickers.byGossip).length === 2, 'both are chosen');

    cluster.node('a1').crash();
    await cluster.until(() => health('a1') !== 'alive', 'a1 is suspected');
    await cluster.advance(50);
    expect(chosenBy(pickers.byGossip)).toEqual(['a2']);
    expect(pickers.byGossip.instances).toHaveLength(2);
    for (const picker of [pickers.byLease, deaf]) expect(chosenBy(picker)).toEqual(both);

    cluster.node('a2').crash();
    await cluster.until(() => health('a2') !== 'alive', 'a2 is suspected');
    await cluster.advance(50);
    expect(chosenBy(pickers.byGossip)).toEqual(both);
    await cluster.run(Promise.allSettled([client, ...clients.values()].map((each) => each.close())), 120_000);
  });

  test('await using', async () => {
    const client = await started();
    await register(client, 'a');
    let used: Picker;
    {
      const picking = client.services.pick('payments');
      used = picking;
      await cluster.run(picking.ready());
      await cluster.run(picking[Symbol.asyncDispose]());
    }
    expect(thrown(() => used.next())).toMatchObject({ code: 'ERR_CLOSED' });
    await cluster.run(client.close());
  });
});

describe('whatever happens, at rest every picker knows the passing set of the registry', () => {
  test.each([11, 12, 13])('seed %d', async (seed) => {
    const client = await started(seed);
    const dice = new Random(seed);
    const clients = [client, cluster.client(), cluster.client()];
    const pickers = clients.map((each) => each.services.pick('payments'));
    const living = new Map<string, Registration>();
    const pending: Promise<unknown>[] = [];
    const settled = (what: Promise<unknown>): void => {
      // Whatever it rejects with: the cluster is being hurt.
      pending.push(what.catch(() => undefined));
    };
    for (let step = 0; step < 40; step++) {
      const id = `i${dice.between(0, 5)}`;
      const me = living.get(id);
      const chance = dice.float();
      if (me === undefined) {
        const options = { address: `${id}:1`, instance: id, weight: dice.between(1, 5), ttl: '3s' };
        settled(
          dice
            .pick(clients)
            .services.register('payments', options)
            .then((made) => living.set(id, made)),
        );
      } else if (chance < 0.5) settled(me.report(dice.pick(STATUSES), `step ${step}`));
      else if (chance < 0.65) {
        living.delete(id);
        settled(me.close());
      } else if (chance < 0.75) settled(client.revoke(me.lease));
      else if (chance < 0.85) {
        const alive = cluster.nodes.filter(({ state }) => state === 'running');
        if (alive.length === 3) dice.pick(alive).crash();
        else for (const node of cluster.nodes) if (!node.alive) void node.start();
      } else if (chance < 0.92) cluster.partition(['n1'], ['n2', 'n3']);
      else cluster.heal();
      await cluster.advance(dice.between(0, 400));
    }
    cluster.heal();
    await cluster.start();
    await cluster.run(Promise.all(pending), 120_000);
    const registry = async (): Promise<string> => {
      const { instances } = await cluster.run(client.services.list('payments', { passing: true }));
      return JSON.stringify(instances);
    };
    // Registrations come back whose lease was revoked: quiet is when nothing was written for longer than any of them takes.
    await cluster.advance(10_000);
    const passing = await registry();
    for (const picker of pickers) expect(JSON.stringify(picker.instances)).toBe(passing);
    expect(await registry()).toBe(passing);
    // And what each process says of itself is what is there.
    const { instances } = await cluster.run(client.services.list('payments'));
    for (const { instance, status } of instances) {
      const me = living.get(instance);
      if (me !== undefined && !me.signal.aborted) expect(me.status, instance).toBe(status);
    }
    await cluster.run(Promise.allSettled(clients.map((each) => each.close())));
  });
});
