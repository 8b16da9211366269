/** What an agent tells of the cluster: what the member that serves it says, and how the others are by its own gossip. */
import { expect, test } from 'vitest';

import type { MemberState } from '../../../src/gossip/index.ts';
import { AgentView, type AgentViewOptions } from '../../../src/node/agent/view.ts';
import { settle } from '../../client/fake-time.ts';

test('how a member is it hears itself, before the member that serves it says so', async () => {
  const heard = new Map<string, MemberState>([
    ['1', 'alive'],
    ['2', 'alive'],
  ]);
  let ask = (): void => undefined;
  const told = {
    ...{ clusterId: '7', name: 'n1', leader: 'n1', term: 3, revision: 9 },
    members: ['1', '2', '3'].map((id) => ({ id, health: 'alive' })),
  };
  const view = new AgentView({
    ...{ clusterId: '7', name: 'a1', contacts: [] },
    env: {
      now: () => 0,
      every: (_: number, task: () => void) => {
        ask = task;
        return () => undefined;
      },
    },
    gossip: {
      member: (id: string) => (heard.has(id) ? { state: heard.get(id) } : undefined),
      members: () => [],
      subscribe: () => () => undefined,
    },
    links: { keep: () => undefined, release: () => undefined },
    upstream: { size: 1, revision: 9, term: 3, node: { clusterInfo: () => Promise.resolve(told) } },
  } as unknown as AgentViewOptions);
  view.start();
  ask();
  await settle();
  const health = (): string[] => view.cluster().members.map((member) => member.health);
  expect(health()).toEqual(['alive', 'alive', 'alive']);
  expect(view.cluster()).toMatchObject({ name: 'a1', leader: 'n1' });
  heard.set('1', 'suspect').set('2', 'dead');
  expect(health()).toEqual(['suspect', 'unreachable', 'alive']);
  view.close();
});
