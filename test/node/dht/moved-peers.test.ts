import { expect, test } from 'vitest';
import { encodeCard } from '../../../src/node/dht/card.ts';
import type { DhtDriver, Finding } from '../../../src/node/dht/driver.ts';
import { encodeEnvelope } from '../../../src/node/dht/envelope.ts';
import { MovedPeers } from '../../../src/node/dht/moved-peers.ts';

const ID = '77';

interface Scene {
  readonly moved: MovedPeers;
  readonly asked: string[];
  readonly dialled: unknown[];
  nowMs: number;
  joined: boolean;
  mayLook: boolean;
}

function setUp(addresses: readonly string[] | null, agents: readonly string[] = []): Scene {
  const [asked, dialled]: [string[], unknown[]] = [[], []];
  const card = { id: ID, name: 'x', role: 'agent', addresses: addresses ?? [], http: null } as const;
  const value = encodeEnvelope({ name: `node/${ID}`, body: encodeCard(card) });
  const records = addresses === null ? [] : [{ value }];
  const driver = {
    get: async (name: string): Promise<Finding> => {
      asked.push(name);
      return await Promise.resolve({ result: { records }, steps: null } as unknown as Finding);
    },
    stats: () => ({ joined: scene.joined }),
  } as Pick<DhtDriver, 'get' | 'stats'>;
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const links = { redirect: (...what: unknown[]): boolean => dialled.push(what) > 0 };
  const moved = new MovedPeers({
    ...{ env: { now: () => scene.nowMs }, driver, links, logger },
    isAgent: (id) => agents.includes(id),
    mayLook: () => scene.mayLook,
  });
  const scene: Scene = { moved, asked, dialled, nowMs: 0, joined: true, mayLook: true };
  return scene;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a peer that is not where it was is dialled where the DHT says, and nowhere that was tried', async () => {
  const { moved, asked, dialled } = setUp(['old:1', 'new:1', 'new:2']);
  moved.look(ID, ['old:1']);
  moved.look(ID, ['old:1']);
  await settled();
  expect(asked).toEqual([`node/${ID}`]);
  expect(dialled).toEqual([[ID, ['new:1', 'new:2']]]);
  expect(moved.found).toBe(1);
});

test.each([
  ['that is where it was', ['old:1']],
  ['that nobody knows', null],
])('a peer %s is not dialled', async (_, addresses) => {
  const { moved, asked, dialled } = setUp(addresses);
  moved.look(ID, ['old:1']);
  await settled();
  expect(asked).toHaveLength(1);
  expect([dialled, moved.found]).toEqual([[], 0]);
});

test('one that is not found is looked up less and less, until it is linked', async () => {
  const scene = setUp(null);
  const times = (): number => scene.asked.length;
  for (; scene.nowMs < 3_600_000; scene.nowMs += 5000) {
    scene.moved.look(ID, ['old:1']);
    await settled();
  }
  // After 0, 10, 30, 70 s … 2,550 s.
  expect(times()).toBe(9);
  scene.moved.linked(ID);
  scene.moved.look(ID, ['old:1']);
  expect(times()).toBe(10);
});

test('nobody is looked up while there is nobody to ask', () => {
  const scene = setUp(['new:1']);
  scene.joined = false;
  scene.moved.look(ID, ['old:1']);
  expect(scene.asked).toEqual([]);
  scene.joined = true;
  scene.moved.look(ID, ['old:1']);
  expect(scene.asked).toHaveLength(1);
});

test('of agents one is looked up in half a minute, whoever it is', async () => {
  const scene = setUp(null, ['1', '2', '3']);
  const look = async (...ids: string[]): Promise<void> => {
    for (const id of ids) {
      scene.moved.look(id, []);
      await settled();
    }
  };
  await look('1', '2', '3', ID);
  expect(scene.asked).toEqual(['node/1', `node/${ID}`]);
  scene.nowMs = 30_000;
  await look('2', '3');
  expect(scene.asked.slice(2)).toEqual(['node/2']);
  scene.nowMs = 60_000;
  scene.mayLook = false;
  await look('3', '78');
  expect(scene.asked).toHaveLength(3);
});
