import { afterEach, beforeEach, expect, test } from 'vitest';
import { AgentView } from '../../../src/node/agent/view.ts';
import type { Upstream } from '../../../src/node/agent/upstream.ts';
import type { GossipDriver } from '../../../src/node/gossip/driver.ts';
import type { LinkPool } from '../../../src/node/links.ts';
import { VirtualTime } from '../../../src/testing/virtual-time.ts';

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let time: VirtualTime;
let view: AgentView;
let kept: Set<string>;
let linked: number;
/** When members were looked for. */
let looked: number[];
let found: () => Promise<readonly string[]>;

beforeEach(() => {
  time = new VirtualTime();
  kept = new Set();
  linked = 0;
  looked = [];
  found = () => Promise.resolve(['n4:1', 'n5:1']);
  const upstream = {
    get size() {
      return linked;
    },
    node: { clusterInfo: () => Promise.reject(new Error('it does not answer')) },
  };
  view = new AgentView({
    env: time.process(() => 0),
    ...{ clusterId: '7', name: 'a1', logger: SILENT, contacts: ['n1:1'] },
    gossip: { members: () => [], subscribe: () => () => undefined } as unknown as GossipDriver,
    links: {
      keep: (address: string) => kept.add(address),
      release: (address: string) => kept.delete(address),
    } as unknown as LinkPool,
    upstream: upstream as unknown as Upstream,
    findMembers: () => {
      looked.push(time.now);
      return found();
    },
  });
  view.start();
});

afterEach(() => view.close());

test('members that the DHT tells are dialled once none has been linked for a while, and then as long as none is', async () => {
  await time.pass(3500);
  expect([looked, [...kept]]).toEqual([[], ['n1:1']]);
  await time.pass(1000);
  expect([looked.length, [...kept]]).toEqual([1, ['n1:1', 'n4:1', 'n5:1']]);
  await time.pass(20_500);
  expect(looked.map((at) => at - looked[0]!)).toEqual([0, 10_000, 20_000]);
  linked = 1;
  await time.pass(1000);
  expect([...kept]).toEqual(['n1:1']);
  await time.pass(60_000);
  expect(looked).toHaveLength(3);
  linked = 0;
  await time.pass(5000);
  expect(looked).toHaveLength(4);
});

test('that none is found, or none could be looked for, changes nothing', async () => {
  found = () => Promise.reject(new Error('too many queries'));
  await time.pass(5000);
  found = () => Promise.resolve([]);
  await time.pass(10_000);
  expect([looked.length, [...kept]]).toEqual([2, ['n1:1']]);
});

test('what is found after it was closed is not dialled', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  found = () => promise;
  await time.pass(5000);
  view.close();
  resolve(['n4:1']);
  await time.pass(1000);
  expect(kept.size).toBe(0);
});
