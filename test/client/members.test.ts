/** Members as a client sees them, and endpoints that follow them. */
import { describe, expect, test } from 'vitest';

import type { MemberInfo } from '../../src/client/api.ts';
import { clientOver } from '../../src/client/client.ts';
import { text } from '../../src/client/codec.ts';
import { connect } from '../../src/client/connect.ts';
import { KvorumError } from '../../src/errors.ts';
import { FakeTime } from './fake-time.ts';
import { fails, FakeStream, FakeTransport, gives, scene } from './fake-transport.ts';

function member(name: string, change: Partial<MemberInfo> = {}): MemberInfo {
  return {
    ...{
      id: name,
      name,
      peerId: name,
      role: 'voter',
      addresses: [`${name}:7201`],
      http: name,
      pid: 1,
      health: 'alive',
    },
    ...{ matchIndex: 1, appliedIndex: null, metadata: null, incarnation: 1 },
    ...change,
  };
}

describe('client.members', () => {
  test('list asks any node, and another one when that fails', async () => {
    const { client, nodes, time } = scene(2);
    nodes[0]!.next('members', fails('ERR_UNAVAILABLE'));
    nodes[1]!.next('members', gives([member('n1'), member('n2', { health: 'suspect' })]));
    const members = await time.until(client.members.list());
    expect(members.map(({ name, health }) => `${name} ${health}`)).toEqual(['n1 alive', 'n2 suspect']);
  });

  test('watch gives the whole list, goes on at another node, and does not say again what is the same', async () => {
    const { client, nodes, time } = scene(2);
    const list = [member('n1'), member('n2')];
    const streams = [new FakeStream<readonly MemberInfo[]>(), new FakeStream<readonly MemberInfo[]>()];
    nodes.forEach((node, i) => node.always('membersWatch', gives(streams[i])));
    const watch = client.members.watch();
    streams[0]!.push(list, new KvorumError('ERR_UNAVAILABLE', 'it broke'));
    // How far they are in the log is no news.
    streams[1]!.push(
      [member('n1', { matchIndex: 9 }), member('n2')],
      [member('n1', { health: 'suspect' }), member('n2')],
    );
    expect((await time.until(watch.next())).value).toEqual(list);
    expect((await time.until(watch.next())).value?.[0]?.health).toBe('suspect');
    expect(nodes.map((node) => node.of('membersWatch').length)).toEqual([1, 1]);
    await watch.close();
    expect(streams[1]!.closed).toBe(true);
  });
});

describe('discover', () => {
  /** A client of `n1` that finds the others. `members`: what all of them say. */
  function discovering(members: () => readonly MemberInfo[]) {
    const time = new FakeTime();
    const fakes = new Map<string, FakeTransport>();
    const open = (endpoint: string) => {
      const fake = new FakeTransport(endpoint, time);
      fake.always('get', gives({ entry: null }));
      fake.always('cluster', () => ({ leader: null, members: members() }));
      fakes.set(endpoint, fake);
      return fake.transport;
    };
    const environment = { now: time.now, after: time.after, random: () => 0 };
    const endpointsOf = ({ http }: MemberInfo) => (http === null ? [] : [http]);
    const client = clientOver([open('n1')], text, { environment }, { discovery: { endpointsOf, open } });
    const get = async (): Promise<void> => void (await time.until(client.get('a')));
    return { time, fakes, client, get };
  }

  test('goes on at members that it was not told of, when the endpoint given is gone', async () => {
    let members = [member('n1'), member('n2'), member('n3', { http: null })];
    const { fakes, get, time } = discovering(() => members);
    await get();
    await time.pass(0);
    expect([...fakes.keys()]).toEqual(['n1', 'n2']);
    fakes.get('n1')!.always('get', fails('ERR_UNAVAILABLE'));
    await get();
    expect(fakes.get('n2')!.of('get')).toHaveLength(1);
    // After the failure it has looked again: one that has come since is there for the next.
    members = [member('n2'), member('n4')];
    await time.pass(5000);
    await get();
    await time.pass(0);
    fakes.get('n2')!.always('get', fails('ERR_UNAVAILABLE'));
    await get();
    expect(fakes.get('n4')!.of('get')).toHaveLength(1);
    expect(fakes.get('n1')!.closed).toBe(false);
  });

  test('asks those that are suspected last, leaves out the unreachable, and closes what belongs to nobody', async () => {
    let members = [
      member('n1'),
      member('n2', { health: 'suspect' }),
      member('n3'),
      member('n4', { health: 'unreachable' }),
    ];
    const { fakes, get, time } = discovering(() => members);
    await get();
    await time.pass(0);
    expect([...fakes.keys()].toSorted()).toEqual(['n1', 'n2', 'n3']);
    fakes.get('n1')!.always('get', fails('ERR_UNAVAILABLE'));
    await get();
    expect([fakes.get('n2')!.of('get').length, fakes.get('n3')!.of('get').length]).toEqual([0, 1]);
    members = [member('n1'), member('n3')];
    await time.pass(5000);
    await get();
    await time.pass(0);
    expect(fakes.get('n2')!.closed).toBe(true);
    // The one in use is suspected now: there is a better one.
    fakes.get('n1')!.always('get', gives({ entry: null }));
    members = [member('n1'), member('n3', { health: 'suspect' })];
    await time.pass(60_000);
    await get();
    await time.pass(0);
    const before = fakes.get('n1')!.of('get').length;
    await get();
    expect(fakes.get('n1')!.of('get')).toHaveLength(before + 1);
  });

  test('is off unless it is asked for', async () => {
    const { client, nodes, time } = scene(1);
    nodes[0]!.always('get', gives({ entry: null }));
    await time.until(client.get('a'));
    await time.pass(10_000);
    await time.until(client.get('a'));
    expect(nodes[0]!.of('cluster')).toHaveLength(0);
  });

  test('connect asks members by the way that is in use, and passes over what is no endpoint', async () => {
    const asked: string[] = [];
    const members = [
      member('n1', { http: 'http://n1.test:1' }),
      member('n2', { http: 'http://n2.test:1' }),
      member('n3', { http: 'javascript:alert(1)' }),
      member('a1', { role: 'agent', http: 'http://a1.test:1' }),
    ];
    let dead = '';
    const client = connect('http://n1.test:1', {
      discover: true,
      fetch: (url) => {
        const { origin, pathname } = new URL(url);
        if (origin === dead) return Promise.reject(new TypeError('fetch failed'));
        asked.push(`${origin}${pathname}`);
        const cluster = { clusterId: '1', name: 'n1', leader: null, term: 1, revision: 1, members };
        const answer = pathname === '/v1/cluster' ? cluster : { name: 'c', value: 1 };
        return Promise.resolve(Response.json(answer));
      },
    });
    await client.counter('c').get();
    await expect.poll(() => asked).toContain('http://n1.test:1/v1/cluster');
    dead = 'http://n1.test:1';
    asked.length = 0;
    await client.counter('c').get();
    expect(asked[0]).toBe('http://n2.test:1/v1/counters/c');
    await client.close();
  });
});
