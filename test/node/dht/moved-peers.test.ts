import { expect, test } from 'vitest';
import { encodeCard } from '../../../src/node/dht/card.ts';
import type { DhtDriver, Finding } from '../../../src/node/dht/driver.ts';
import { encodeEnvelope } from '../../../src/node/dht/envelope.ts';
import { MovedPeers } from '../../../src/node/dht/moved-peers.ts';

const ID = '77';

function setUp(addresses: readonly string[] | null): { moved: MovedPeers; asked: string[]; dialled: unknown[] } {
  const [asked, dialled]: [string[], unknown[]] = [[], []];
  const card = { id: ID, name: 'x', role: 'agent', addresses: addresses ?? [], http: null } as const;
  const value = encodeEnvelope({ name: `node/${ID}`, body: encodeCard(card) });
  const records = addresses === null ? [] : [{ value }];
  const driver = {
    get: async (name: string): Promise<Finding> => {
      asked.push(name);
      return await Promise.resolve({ result: { records }, steps: null } as unknown as Finding);
    },
  } as Pick<DhtDriver, 'get'>;
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const links = { redirect: (...what: unknown[]): boolean => dialled.push(what) > 0 };
  return { moved: new MovedPeers({ env: { now: () => 0 }, driver, links, logger }), asked, dialled };
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
