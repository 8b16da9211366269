/** Whom a node dials, and when it parts with those who were removed. */
import { expect, test } from 'vitest';
import type { MemberMap } from '../../../src/machine/members.ts';
import { loadContacts } from '../../../src/node/join-records.ts';
import type { LinkPool } from '../../../src/node/links.ts';
import { Roster } from '../../../src/node/roster.ts';
import { openMemoryStore } from '../../../src/storage/memory-store.ts';
import { VirtualTime } from '../../../src/testing/virtual-time.ts';
import type { Peer, Transport } from '../../../src/transport/types.ts';

function mapOf(members: readonly string[], removed: readonly string[] = []): MemberMap {
  return {
    clusterId: '42',
    members: members.map((id) => ({ id, name: `n${id}`, peerId: `p${id}`, address: `n${id}:1` })),
    removed: removed.map((id) => ({ id, name: `n${id}` })),
  };
}

async function stage() {
  const time = new VirtualTime();
  const dialled = new Set<string>();
  const dropped: [id: string, code: string][] = [];
  const linked = new Set(['2', '3']);
  const store = await openMemoryStore();
  const roster = new Roster({
    env: time.process(() => 0),
    store,
    transport: {
      peer: (id: string) => (linked.has(id) ? ({ id } as Peer) : undefined),
      drop: (id: string, code: string) => void dropped.push([id, code]),
    } as unknown as Transport,
    links: {
      keep: (address: string) => void dialled.add(address),
      release: (address: string) => void dialled.delete(address),
    } as unknown as LinkPool,
    ownId: '1',
    first: ['n2:1'],
    electionTimeoutMs: 1000,
    staged: () => undefined,
  });
  return { dialled, dropped, linked, roster, store, time };
}

test('dials the members of the configuration in force, and remembers those of the committed one', async () => {
  const { dialled, roster, store } = await stage();
  roster.update(mapOf([]), mapOf([]));
  expect([...dialled]).toEqual(['n2:1']);
  roster.update(mapOf(['1', '2', '3', '4']), mapOf(['1', '2', '3']));
  expect([...dialled]).toEqual(['n2:1', 'n3:1', 'n4:1']);
  expect(loadContacts(store)).toEqual(['n2:1', 'n3:1']);
  // It was cut off the log again.
  roster.update(mapOf(['1', '2', '3']), mapOf(['1', '2', '3']));
  expect([...dialled]).toEqual(['n2:1', 'n3:1']);
  expect(roster.has('4')).toBe(false);
});

test('who was removed has three seconds to hear it from the log, then is told, and its link ends', async () => {
  const { dropped, roster, time } = await stage();
  roster.update(mapOf(['1', '2']), mapOf(['1', '2', '3']));
  await time.pass(10_000);
  expect(dropped).toEqual([]);
  // Committed, and told more than once.
  roster.update(mapOf(['1', '2']), mapOf(['1', '2'], ['3']));
  roster.update(mapOf(['1', '2']), mapOf(['1', '2'], ['3']));
  await time.pass(2999);
  expect(dropped).toEqual([]);
  await time.pass(1);
  expect(dropped).toEqual([['3', 'ERR_MEMBER_REMOVED']]);
});

test('nobody is told after the end, nor who is not linked, nor this node itself', async () => {
  const { dropped, linked, roster, time } = await stage();
  roster.update(mapOf(['2']), mapOf(['2'], ['1', '4']));
  await time.pass(10_000);
  expect(dropped).toEqual([]);
  linked.add('4');
  roster.update(mapOf(['2']), mapOf(['2'], ['1', '4']));
  roster.close();
  await time.pass(10_000);
  expect(dropped).toEqual([]);
});
