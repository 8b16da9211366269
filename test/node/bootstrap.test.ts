import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { judgeHello } from '../../src/node/admission.ts';
import { Bootstrap, bootstrapAlone } from '../../src/node/bootstrap.ts';
import { loadClusterMap } from '../../src/node/cluster-map.ts';
import type { ClusterMap } from '../../src/node/cluster-map.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import type { MemoryStore } from '../../src/storage/memory-store.ts';
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import type { MemoryNetworkOptions } from '../../src/transport/memory-transport.ts';
import type { Hello, PeerEvent, Transport } from '../../src/transport/types.ts';
import { ManualClock } from '../transport/memory-harness.ts';

const CLUSTER = { a: 'a:1', b: 'b:1', c: 'c:1' };
const SECRET = 'a secret of the tests';

interface MemberOptions {
  readonly initialCluster?: Record<string, string>;
  readonly address?: string;
  readonly secret?: string;
  readonly signal?: AbortSignal;
}

/** First members with their disks, which outlive them. */
class World {
  readonly clock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly logs: string[] = [];
  #lives = 0;

  constructor(options: Omit<MemoryNetworkOptions, 'schedule'> = {}) {
    this.network = new MemoryNetwork({ schedule: this.clock.schedule, ...options });
  }

  async member(name: string, options: MemberOptions = {}): Promise<Member> {
    const member = new Member(this, name, await this.store(), this.identity(name), options);
    member.start();
    return member;
  }

  /** A write takes a millisecond, so that a crash can come before it lands. */
  store(): Promise<MemoryStore> {
    return openMemoryStore({ schedule: (task) => void this.clock.schedule(1, task) });
  }

  identity(name: string): { id: string; peerId: string } {
    const life = ++this.#lives;
    return { id: String(1000 + life), peerId: `peer-${name}-${life}` };
  }

  /** One event of the network, then all that follows from it at once: disk writes of the memory store take a few turns. */
  async step(): Promise<void> {
    if (!this.clock.step()) this.clock.nowMs += 1;
    await settled();
  }

  async until(condition: () => boolean, what: string, maxSteps = 4000): Promise<number> {
    await settled();
    for (let steps = 0; steps < maxSteps; steps++) {
      if (condition()) return steps;
      await this.step();
    }
    throw new Error(`not reached: ${what}`);
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

class Member {
  readonly name: string;
  readonly options: MemberOptions;
  store: MemoryStore;
  identity: { id: string; peerId: string };
  map: ClusterMap | null = null;
  error: unknown = null;
  bootEpoch = 0;
  up = false;
  events: PeerEvent[] = [];
  readonly #world: World;
  #transport: Transport | null = null;

  constructor(
    world: World,
    name: string,
    store: MemoryStore,
    identity: { id: string; peerId: string },
    options: MemberOptions,
  ) {
    this.#world = world;
    this.name = name;
    this.store = store;
    this.identity = identity;
    this.options = options;
  }

  get address(): string {
    return this.options.address ?? `${this.name}:1`;
  }

  start(): void {
    const { initialCluster = CLUSTER, secret = SECRET, signal } = this.options;
    const { name, identity, address } = this;
    this.bootEpoch++;
    this.map = null;
    this.error = null;
    this.up = true;
    const bootstrap = new Bootstrap({
      store: this.store,
      identity,
      name,
      initialCluster,
      schedule: this.#world.clock.schedule,
      log: (message) => this.#world.logs.push(`${name}: ${message}`),
    });
    const hello = (): Hello => ({
      clusterId: bootstrap.map?.clusterId ?? null,
      id: identity.id,
      name,
      peerId: identity.peerId,
      bootEpoch: this.bootEpoch,
      address,
      http: '',
      pid: 1,
      protocol: 1,
      extra: { bootstrap: bootstrap.facts() },
    });
    const transport = this.#world.network.createTransport({
      address,
      credential: () => ({ secret }),
      wallTime: () => this.#world.clock.nowMs,
      handlers: {
        hello,
        admit: (theirs) =>
          bootstrap.map === null
            ? bootstrap.judge(theirs)
            : judgeHello({ ...bootstrap.map, removed: [], remembered: () => undefined }, theirs),
        frame: (from, channel, frame) => void bootstrap.frame(from, channel, frame),
        peer: (event) => {
          this.events.push(event);
          bootstrap.peer(event);
        },
      },
    });
    this.#transport = transport;
    bootstrap.run(transport, { signal }).then(
      (map) => {
        if (this.#transport === transport) this.map = map;
      },
      (error: unknown) => {
        if (this.#transport === transport) this.error = error;
      },
    );
  }

  /** Kill -9 and power loss at once: only what was synced is left. */
  async kill(): Promise<void> {
    this.up = false;
    this.#transport = null;
    this.map = null;
    this.#world.network.crash(this.address);
    this.store = await this.store.crash();
  }

  async wipe(): Promise<void> {
    await this.kill();
    this.store = await this.#world.store();
    this.identity = this.#world.identity(this.name);
  }
}

function code(error: unknown): string | null {
  return KvorumError.is(error) ? error.code : null;
}

async function three(world: World): Promise<[Member, Member, Member]> {
  return [await world.member('a'), await world.member('b'), await world.member('c')];
}

describe('a static cluster', () => {
  test('is formed once all its first members are there, with the same map everywhere, on disk', async () => {
    const world = new World();
    const a = await world.member('a');
    const b = await world.member('b');
    for (let i = 0; i < 300; i++) await world.step();
    expect([a.map, b.map]).toEqual([null, null]);
    expect(world.logs.at(-1)).toMatch(/waiting for first members: c \(c:1\)$/);
    const c = await world.member('c');
    const members = [a, b, c];
    await world.until(() => members.every((member) => member.map !== null), 'formed');
    for (const member of members) {
      expect(member.map).toEqual(a.map);
      expect(loadClusterMap(await member.store.crash())).toEqual(a.map);
    }
    expect(a.map?.members.map(({ name, peerId, address }) => [name, peerId, address])).toEqual([
      ['a', a.identity.peerId, 'a:1'],
      ['b', b.identity.peerId, 'b:1'],
      ['c', c.identity.peerId, 'c:1'],
    ]);
    expect(world.logs.filter((line) => line.includes('is formed'))).toHaveLength(3);
  });

  test('is there at once on a restart, whoever else is up and whatever the initial cluster says now', async () => {
    const world = new World();
    const members = await three(world);
    await world.until(() => members.every((member) => member.map !== null), 'formed');
    const { map } = members[0];
    for (const member of members) await member.kill();
    const again = new Member(world, 'a', members[0].store, members[0].identity, { initialCluster: { a: 'a:1' } });
    again.start();
    await settled();
    expect(again.map).toEqual(map);
  });

  test('is formed although frames are lost and delays vary', async () => {
    let state = 3;
    const random = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state / 0x80000000;
    };
    const world = new World({ random, delayMs: () => random() * 30, lose: () => random() < 0.5 });
    const members = await three(world);
    await world.until(() => members.every((member) => member.map !== null), 'formed');
    expect(new Set(members.map((member) => member.map?.clusterId)).size).toBe(1);
  });

  test('is formed when a member is killed at any point and comes back', async () => {
    const calm = new World();
    const calmMembers = await three(calm);
    const steps = await calm.until(() => calmMembers.every((member) => member.map !== null), 'formed');
    expect(steps).toBeGreaterThan(20);
    for (let at = 0; at <= steps; at++) {
      for (const index of [0, 1, 2] as const) {
        const world = new World();
        const members = await three(world);
        for (let i = 0; i < at; i++) await world.step();
        await members[index].kill();
        for (let i = 0; i < at % 7; i++) await world.step();
        members[index].start();
        await world.until(() => members.every((member) => member.map !== null), `formed after a kill at ${at}`);
        expect(new Set(members.map((member) => member.map?.clusterId)).size).toBe(1);
        expect(members.map((member) => member.error)).toEqual([null, null, null]);
      }
    }
  }, 60_000);

  test('never comes to exist twice when a member is wiped at any point', async () => {
    const outcomes = new Map<string, number>();
    const calm = new World();
    const calmMembers = await three(calm);
    const steps = await calm.until(() => calmMembers.every((member) => member.map !== null), 'formed');
    for (let at = 0; at <= steps; at++) {
      for (const index of [0, 1, 2] as const) {
        const world = new World();
        const members = await three(world);
        const wiped = members[index];
        for (let i = 0; i < at; i++) await world.step();
        await wiped.wipe();
        wiped.start();
        const over = (member: Member): boolean => member.map !== null || member.error !== null;
        await world.until(() => members.every(over), `an end after a wipe at ${at}`);
        const formed = members.filter((member) => member.map !== null);
        const outcome = `${formed.length} formed; wiped: ${code(wiped.error) ?? 'formed'}`;
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        expect(new Set(formed.map((member) => member.map!.clusterId)).size).toBeLessThanOrEqual(1);
        for (const member of formed) {
          expect(member.map!.members).toContainEqual(expect.objectContaining(member.identity));
        }
      }
    }
    // Early: all three form with the new identity. In between: all stop and say so. Late: the other two form, and the wiped one is sent away.
    expect([...outcomes.keys()]).toContain('3 formed; wiped: formed');
    expect([...outcomes.keys()]).toContain('0 formed; wiped: ERR_BOOTSTRAP_CONFLICT');
    expect([...outcomes.keys()]).toContain('2 formed; wiped: ERR_MEMBER_REPLACED');
  }, 60_000);
});

describe('a node that does not belong', () => {
  test('wiped, and back under its old name, stops with what to do, also when only one other member is up', async () => {
    const world = new World();
    const members = await three(world);
    const [a, b, c] = members;
    await world.until(() => members.every((member) => member.map !== null), 'formed');
    await b.kill();
    await c.wipe();
    c.start();
    await world.until(() => c.error !== null, 'refused');
    expect(code(c.error)).toBe('ERR_MEMBER_REPLACED');
    expect(String(c.error)).toMatch(/c is a member of this cluster .*wiped.*--replace c/s);
    expect(a.error).toBeNull();
    expect(a.map).not.toBeNull();
    // Nothing that the wiped one says of it sounds like a verdict on the member that is in its right.
    const told = a.events.filter((event) => event.type === 'refused' && event.by === 'them');
    expect(told.map((event) => event.type === 'refused' && event.code)).not.toContain('ERR_MEMBER_REPLACED');
  });

  test('comes to a formed cluster under a new name', async () => {
    const world = new World();
    const members = await three(world);
    await world.until(() => members.every((member) => member.map !== null), 'formed');
    const d = await world.member('d', { initialCluster: { ...CLUSTER, d: 'd:1' } });
    await world.until(() => d.error !== null, 'refused');
    expect(code(d.error)).toBe('ERR_BOOTSTRAP_CONFLICT');
    expect(String(d.error)).toMatch(/d is not among them|in which there is no d/);
    expect(members.map((member) => member.error)).toEqual([null, null, null]);
  });

  test('has another initial cluster: both stop and name the two', async () => {
    const world = new World();
    const a = await world.member('a');
    const b = await world.member('b', { initialCluster: { a: 'a:1', b: 'b:1', c: 'c:9' } });
    await world.until(() => a.error !== null && b.error !== null, 'both stopped');
    for (const member of [a, b]) {
      expect(code(member.error)).toBe('ERR_BOOTSTRAP_CONFLICT');
      expect(String(member.error)).toContain('c=c:1');
      expect(String(member.error)).toContain('c=c:9');
    }
  });

  test('has the name of another', async () => {
    const world = new World();
    const a = await world.member('a');
    const twin = await world.member('a', { address: 'b:1' });
    await world.until(() => a.error !== null && twin.error !== null, 'both stopped');
    expect(String(a.error)).toMatch(/two nodes call themselves a/);
  });

  test('is a stranger with the secret: it is sent away, and the others go on', async () => {
    const world = new World();
    const a = await world.member('a');
    const x = await world.member('x', { initialCluster: { x: 'x:1', a: 'a:1' } });
    await world.until(() => x.error !== null, 'x stopped');
    expect(code(x.error)).toBe('ERR_BOOTSTRAP_CONFLICT');
    expect(a.error).toBeNull();
    const [b, c] = [await world.member('b'), await world.member('c')];
    await world.until(() => [a, b, c].every((member) => member.map !== null), 'formed');
  });

  test('has another secret than all the others: it stops, and they wait and say for whom', async () => {
    const world = new World();
    const a = await world.member('a');
    const b = await world.member('b');
    const c = await world.member('c', { secret: 'quite another secret' });
    await world.until(() => c.error !== null, 'c stopped');
    expect(code(c.error)).toBe('ERR_WRONG_SECRET');
    for (let i = 0; i < 300; i++) await world.step();
    expect([a.error, b.error]).toEqual([null, null]);
    expect(world.logs).toContainEqual(expect.stringMatching(/^a: waiting for first members: c \(c:1: .*secret/));
    await c.kill();
    const fixed = await world.member('c');
    await world.until(() => [a, b, fixed].every((member) => member.map !== null), 'formed');
  });
});

describe('a start', () => {
  test('can be given up', async () => {
    const world = new World();
    const controller = new AbortController();
    const a = await world.member('a', { signal: controller.signal });
    for (let i = 0; i < 50; i++) await world.step();
    controller.abort(new Error('enough'));
    await settled();
    expect(String(a.error)).toContain('enough');
  });

  test('fails when the disk does', async () => {
    const world = new World();
    const [a, b, c] = await three(world);
    b.store.disk.failNextWrite(new Error('ENOSPC'));
    await world.until(() => b.error !== null, 'b stopped');
    expect(code(b.error)).toBe('ERR_STORE_POISONED');
    expect([a.map, c.map]).toEqual([null, null]);
  });

  test('wants a sane initial cluster', async () => {
    const store = await openMemoryStore();
    const make = (initialCluster: Record<string, string>): Bootstrap =>
      new Bootstrap({ store, identity: { id: '1', peerId: 'p' }, name: 'a', initialCluster });
    expect(() => make({ b: 'b:1' })).toThrow(/no member of that name/);
    expect(() => make({ a: 'x:1', b: 'x:1' })).toThrow(/same address/);
    expect(() => make({ a: 'a:1', b: 'nowhere' })).toThrow(/not a peer address/);
    expect(() => make({ a: 'a:1', b: 'b:1' })).not.toThrow();
  });

  test('of a cluster of one needs nobody', async () => {
    const store = await openMemoryStore();
    const staged: string[] = [];
    const options = {
      store,
      identity: { id: '77', peerId: 'p' },
      name: 'n1',
      initialCluster: { n1: '127.0.0.1:7201' },
      stage: (map: ClusterMap) => void staged.push(map.clusterId),
    };
    const map = await bootstrapAlone(options);
    expect(map.members).toEqual([{ id: '77', peerId: 'p', name: 'n1', address: '127.0.0.1:7201' }]);
    expect(await bootstrapAlone({ ...options, store: await store.crash() })).toEqual(map);
    expect(staged).toEqual([map.clusterId]);
  });

  test('does not take a damaged record for a fresh disk', async () => {
    const store = await openMemoryStore();
    store.node.set('cluster/map', { clusterId: '1', members: [] });
    expect(() => loadClusterMap(store)).toThrow(/damaged/);
  });
});
