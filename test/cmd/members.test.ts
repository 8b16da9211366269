/** member and token against a node that speaks the contract: what goes over the wire, what people and programs are told. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { exitCodeOf } from '../../cmd/exit.ts';
import { joinOptions } from '../../cmd/joining.ts';
import { joinCommand } from '../../cmd/token.ts';
import { KvorumError } from '../../src/errors.ts';
import { kvorum } from './cli.ts';
import { FakeNode, problem } from './fake-node.ts';
import { inProcess, type Ended } from './in-process.ts';

/** Port 1 of loopback: nothing listens there. */
const NOBODY = 'http://127.0.0.1:1';
const PEER_ID = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp';

let node: FakeNode;
beforeEach(async () => {
  node = await FakeNode.start();
});
afterEach(async () => {
  await node.close();
});

async function run(...args: readonly string[]): Promise<Ended> {
  return await inProcess([...args, '--endpoints', node.url]);
}

/** Of the last request. */
function sent(): unknown[] {
  const { method, path, body, headers } = node.seen.at(-1)!;
  expect(headers['idempotency-key']).toBeUndefined();
  return [method, path, body.length === 0 ? null : (JSON.parse(body.toString()) as unknown)];
}

describe('member list', () => {
  test('a table', async () => {
    node.members[0]!.matchIndex = 12;
    const { code, stdout } = await kvorum(['member', 'list', '--endpoints', node.url]);
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        `NAME  ID   ROLE   ADDRESS        HTTP${' '.repeat(node.url.length - 4)}  HEALTH       MATCH`,
        `n1    101  voter  10.0.0.1:7201  ${node.url}  alive        12`,
        `n2    102  voter  10.0.0.2:7201  ${'http://127.0.0.1:1'.padEnd(node.url.length)}  unreachable  -`,
        '',
      ].join('\n'),
    );
  });

  test('-o json gives the members as the node does', async () => {
    const { stdout } = await run('member', 'list', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      clusterId: 'c1',
      leader: 'n1',
      members: [{ id: '101', name: 'n1', peerId: 'n1', role: 'voter' }, { id: '102' }],
    });
  });

  test('the leader is believed before a follower, and a newer leader before an older one', async () => {
    const other = await FakeNode.start();
    try {
      other.name = 'n2';
      other.leader = 'n1';
      other.members[1]!.matchIndex = 1;
      node.members[1]!.matchIndex = 2;
      const endpoints = ['--endpoints', `${NOBODY},${other.url},${node.url}`, '-o', 'json'];
      const matches = async (): Promise<unknown> => {
        const { members } = JSON.parse((await inProcess(['member', 'list', ...endpoints])).stdout) as {
          members: { matchIndex: number | null }[];
        };
        return members[1]?.matchIndex;
      };
      expect(await matches()).toBe(2);
      // It does not know yet that another one leads.
      [other.term, other.leader] = [4, 'n3'];
      expect(await matches()).toBe(1);
    } finally {
      await other.close();
    }
  });
});

describe('member add', () => {
  const what = ['member', 'add', 'n3', '--peer-id', PEER_ID, '--address', '10.0.0.3:7201'];
  const body = { name: 'n3', peerId: PEER_ID, address: '10.0.0.3:7201' };

  test.each<[string[], object, string]>([
    [[], {}, '; it becomes a voter once it has caught up: see `kvorum member list`'],
    [['--role', 'voter'], { role: 'voter' }, '; it becomes a voter once it has caught up: see `kvorum member list`'],
    [['--role', 'learner'], { role: 'learner' }, '; it has no vote until `kvorum member promote n3`'],
    [
      ['--replaces', 'n2'],
      { replaces: 'n2' },
      '; it becomes a voter and takes the place of n2 once it has caught up: see `kvorum member list`',
    ],
    [
      ['--replaces', 'n3'],
      { replaces: 'n3' },
      '; the n3 before it is removed; it becomes a voter once it has caught up: see `kvorum member list`',
    ],
  ])('%j', async (more, fields, follows) => {
    const { code, stdout, stderr } = await run(...what, ...more);
    expect([code, stdout, stderr]).toEqual([0, `n3 (id 103) is a learner${follows}\n`, '']);
    expect(sent()).toEqual(['POST', '/v1/cluster/members', { ...body, ...fields }]);
  });

  test('-o json gives what the node answered', async () => {
    const { stdout } = await run(...what, '-o', 'json');
    expect(JSON.parse(stdout)).toEqual({ id: '103', name: 'n3', role: 'learner' });
  });

  test('what is done already needs no more', async () => {
    node.failure = (_, response) => {
      response.writeHead(201).end('{"id":"103","name":"n3","role":"voter"}');
      return true;
    };
    expect((await run(...what)).stdout).toBe('n3 (id 103) is a voter\n');
  });
});

describe('changes of roles and places', () => {
  test('promote, demote, replace, remove', async () => {
    node.members.push({ ...node.members[1]!, id: '103', name: 'n3', role: 'learner' });
    expect((await run('member', 'promote', 'n3')).stdout).toBe(
      'n3 (id 103) is a voter; it counts for the majority from now on\n',
    );
    expect(sent()).toEqual(['POST', '/v1/cluster/members/n3/promote', null]);
    expect((await run('member', 'demote', '103')).stdout).toBe(
      'n3 (id 103) is a learner; it has no vote until `kvorum member promote n3`\n',
    );
    expect(sent()).toEqual(['POST', '/v1/cluster/members/103/demote', null]);
    expect((await run('member', 'replace', 'n2', 'n3')).stdout).toBe(
      'n3 (id 103) is a voter in the place of n2, which is removed: its node stops\n',
    );
    expect(sent()).toEqual(['POST', '/v1/cluster/members/n2/replace', { by: 'n3' }]);
    expect((await run('member', 'remove', 'n3', '-o', 'json')).stdout).toBe('{"removed":true}\n');
    // By its id: should the answer be lost, nobody else who bears the name by then is meant.
    expect(sent()).toEqual(['DELETE', '/v1/cluster/members/103', null]);
    const again = await run('member', 'remove', 'n3');
    expect([again.code, again.stdout]).toEqual([0, 'there is no member n3: nothing to remove\n']);
    expect((await run('member', 'remove', 'n1')).stdout).toBe(
      'removed n1 (id 101): its node stops, and can only join again with an empty data directory\n',
    );
  });

  test('a name is one segment of the path, and the time-out goes along', async () => {
    await run('member', 'remove', 'n 1/ü', '--timeout', '60s');
    expect(sent()).toEqual(['DELETE', '/v1/cluster/members/n%201%2F%C3%BC', null]);
    expect(node.seen[0]?.query.get('timeout')).toBe('60000ms');
  });

  describe('remove, and its answer is lost', () => {
    let other: FakeNode;
    let removals: number;
    beforeEach(async () => {
      other = await FakeNode.start();
      removals = 0;
      node.failure = ({ method }, response) => {
        if (method !== 'DELETE') return false;
        removals++;
        [node.members, other.members] = [[node.members[0]!], [other.members[0]!]];
        response.destroy();
        return true;
      };
    });
    afterEach(async () => {
      await other.close();
    });
    const remove = (name: string, ...more: string[]): Promise<Ended> =>
      inProcess(['member', 'remove', name, '--endpoints', `${node.url},${other.url}`, ...more]);

    test.each(['n2', '102'])('%s was a member and is none', async (name) => {
      const { code, stdout } = await remove(name);
      expect([code, stdout]).toEqual([
        0,
        'removed n2 (id 102): its node stops, and can only join again with an empty data directory\n',
      ]);
      expect([removals, other.seen.at(-1)?.path]).toEqual([1, '/v1/cluster/members/102']);
    });

    test('for programs as well', async () => {
      expect((await remove('n2', '-o', 'json')).stdout).toBe('{"removed":true}\n');
    });

    test('of one that no node told of nothing is known then', async () => {
      const { code, stdout, stderr } = await remove('n7');
      expect([code, stdout]).toEqual([5, '']);
      expect(stderr).toContain('ERR_TIMEOUT');
      expect(other.seen.filter(({ method }) => method === 'DELETE')).toEqual([]);
    });
  });

  test('an agent is no member to remove', async () => {
    node.members[1]!.role = 'agent';
    node.failure = ({ method }, response) => {
      if (method !== 'DELETE') return false;
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"removed":false}');
      return true;
    };
    expect((await run('member', 'remove', 'n2')).stdout).toBe('there is no member n2: nothing to remove\n');
  });

  test('no such member: exit code 3', async () => {
    for (const args of [
      ['promote', 'n9'],
      ['demote', 'n9'],
      ['replace', 'n9', 'n1'],
      ['replace', 'n1', 'n9'],
    ]) {
      const { code, stderr } = await run('member', ...args);
      expect([code, stderr]).toEqual([3, 'kvorum: ERR_NOT_FOUND: detail of ERR_NOT_FOUND\n']);
    }
  });

  test('a change that broke off is sent to the next node: what is done is done', async () => {
    const other = await FakeNode.start();
    try {
      node.failure = (_, response) => {
        response.destroy();
        return true;
      };
      const { code } = await inProcess(['member', 'demote', 'n2', '--endpoints', `${node.url},${other.url}`]);
      expect([code, other.members[1]?.role]).toEqual([0, 'learner']);
      other.failure = (_, response) => {
        problem(response, 409, 'ERR_MEMBERSHIP_BUSY');
        return true;
      };
      // The first one may have begun it.
      const busy = await inProcess([
        ...['member', 'demote', 'n2', '-o', 'json'],
        ...['--endpoints', `${node.url},${other.url}`],
      ]);
      expect([busy.code, JSON.parse(busy.stderr)]).toEqual([
        4,
        expect.objectContaining({ code: 'ERR_MEMBERSHIP_BUSY', outcome: 'unknown' }),
      ]);
    } finally {
      await other.close();
    }
  });
});

describe('token create', () => {
  test('the token goes to standard output, how it is used to standard error, without the token', async () => {
    const { code, stdout, stderr } = await run('token', 'create', '--ttl', '10m', '--role', 'learner');
    expect([code, stdout]).toEqual([0, 'kvt1.abc\n']);
    expect(sent()).toEqual(['POST', '/v1/cluster/tokens', { ttl: 600_000, role: 'learner' }]);
    expect(stderr).toBe(
      'kvorum: lets nodes join until 2027-01-15T08:00:00.000Z; on the new machine:\n\n' +
        '  KVORUM_JOIN_TOKEN=TOKEN kvorum start --name NAME --data-dir DIR --listen HOST:PORT --join 10.0.0.1:7201 --role learner\n\n',
    );
  });

  test('on a terminal the command can be copied as it is', async () => {
    const args = ['token', 'create', '--endpoints', node.url];
    const { stdout, stderr } = await inProcess(args, {}, ['stdout', 'stderr']);
    expect(stdout).toBe('kvt1.abc\n');
    expect(stderr).toContain('\n  KVORUM_JOIN_TOKEN=kvt1.abc kvorum start --name NAME ');
  });

  test.each(['stdout', 'stderr'] as const)(
    'the token is not in what may be a log: only %s is a terminal',
    async (one) => {
      const { stderr } = await inProcess(['token', 'create', '--endpoints', node.url], {}, [one]);
      expect(stderr).toContain('\n  KVORUM_JOIN_TOKEN=TOKEN kvorum start --name NAME ');
    },
  );

  test('-o json', async () => {
    const { stdout, stderr } = await run('token', 'create', '-o', 'json');
    expect([JSON.parse(stdout), stderr]).toEqual([{ token: 'kvt1.abc', expiresMs: 1_800_000_000_000 }, '']);
    expect(sent()).toEqual(['POST', '/v1/cluster/tokens', {}]);
  });

  test('the command asks voters that are there, three at most', () => {
    const member = (id: number, more: object = {}) => ({
      ...{ role: 'voter', health: 'alive', addresses: [`10.0.0.${id}:7201`, 'other:1'] },
      ...more,
    });
    const start = 'KVORUM_JOIN_TOKEN=t kvorum start --name NAME --data-dir DIR --listen HOST:PORT --join';
    const members = [
      member(1, { role: 'learner' }),
      member(2, { health: 'unreachable' }),
      member(3, { health: 'suspect' }),
      member(4),
      member(5),
      member(6),
    ];
    expect(joinCommand('t', undefined, members)).toBe(`${start} 10.0.0.3:7201,10.0.0.4:7201,10.0.0.5:7201`);
    expect(joinCommand('t', 'agent', [])).toBe(`${start} HOST:PORT --role agent`);
    expect(joinCommand('t', 'voter', [])).toBe(`${start} HOST:PORT`);
  });
});

test('what kvorum start hands on to the node', () => {
  const nothing = {
    ...{ join: undefined, role: undefined, replace: undefined, joinToken: undefined, joinTokenFile: undefined },
    ...{ advertise: undefined, initialCluster: undefined },
  };
  expect(joinOptions(nothing, {})).toEqual({});
  expect(joinOptions({ ...nothing, advertise: 'a:1', initialCluster: { n1: 'a:1' } }, {})).toEqual({
    advertise: 'a:1',
  });
  // Whether the data directory is in use already, and no token needed, only the node can tell.
  expect(joinOptions({ ...nothing, join: ['a:1'] }, {})).toEqual({ join: ['a:1'] });
  const all = { ...nothing, join: ['a:1', 'b:2'], role: 'learner', replace: 'n3', advertise: 'c:3' } as const;
  expect(joinOptions(all, { KVORUM_JOIN_TOKEN: 'kvt' })).toEqual({
    ...{ join: ['a:1', 'b:2'], role: 'learner', replaces: 'n3', joinToken: 'kvt', advertise: 'c:3' },
  });
  expect(() => joinOptions(nothing, { KVORUM_JOIN_TOKEN: 'kvt' })).toThrow(/a join token belongs to --join/);
});

describe('usage errors: exit code 2, and nothing is asked of a node', () => {
  test.each([
    [['member', 'add'], /missing required argument 'NAME'/],
    [['member', 'add', 'n/4'], /NAME: "n\/4" is not a node name/],
    [['member', 'add', 'n4', '--address', 'a:1'], /--peer-id is missing/],
    [['member', 'add', 'n4', '--peer-id', PEER_ID], /--address is missing/],
    [['member', 'promote', ''], /the name is empty/],
    [['member', 'remove', '..'], /the name cannot stand in a path/],
    [['member', 'replace', 'n3'], /missing required argument 'NEW'/],
    [['member', 'replace', 'n3', ''], /the name is empty/],
    [['start', '--role', 'learner'], /--role belongs to --join, which is missing/],
    [['start', '--replace', 'n3'], /--replace belongs to --join, which is missing/],
    [['start', '--join-token', 'x'], /a join token belongs to --join, which is missing/],
    [['start', '--join', 'a:1', '--join-token', 'x', '--join-token-file', 'y'], /not both/],
    [['start', '--join', 'a:1', '--role', 'agent', '--replace', 'n3'], /an agent takes the place of no member/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await inProcess(args, { KVORUM_ENDPOINTS: node.url });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^kvorum: ERR_INVALID_ARGUMENT: /);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/Run `kvorum [a-z ]*--help` for (help|its options)\.\n$/);
    expect(node.seen).toEqual([]);
  });

  test.each([
    [['start', '--join', 'a:1,'], {}, '--join: "a:1," is wrong at "", which is not HOST:PORT'],
    [['start'], { KVORUM_JOIN: '0.0.0.0:7201' }, 'KVORUM_JOIN: "0.0.0.0:7201" is wrong at'],
    [['start', '--join', 'a:1', '--role', 'leader'], {}, '--role: "leader" is not one of voter, learner, agent'],
    [['start', '--advertise', '[::]:7201'], {}, '--advertise: "[::]:7201" is an address to listen on'],
    [['start', '--join', 'a:1'], { KVORUM_JOIN_TOKEN: 'two words' }, 'KVORUM_JOIN_TOKEN: is not a join token'],
    [['start', '--join', 'a:1', '--join-token-file', '/does/not/exist'], {}, '--join-token-file: ENOENT'],
    [['member', 'add', 'n4', '--peer-id', '12D3KooW0'], {}, '--peer-id: "12D3KooW0" is not a libp2p peer id'],
    [['member', 'add', 'n4', '--address', '10.0.0.4:0'], {}, '--address: "10.0.0.4:0" is not HOST:PORT'],
    [['member', 'add', 'n4', '--role', 'agent'], {}, '--role: "agent" is not one of voter, learner'],
    [['token', 'create', '--ttl', '721h'], {}, '--ttl: "721h" is not a duration from 1s to 720h'],
    [['token', 'create', '--role', 'leader'], {}, '--role: "leader" is not one of voter, learner, agent'],
  ])('%j %j names its option', async (args, environment, message) => {
    const { code, stdout, stderr } = await inProcess(args, environment);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^kvorum: ERR_CONFIG: [^\n]+\n$/);
    expect(stderr).toContain(message);
  });
});

test('exit codes of what a node says', () => {
  const codes = {
    ...{ ERR_NOT_FOUND: 3, ERR_MEMBER_EXISTS: 4, ERR_MEMBERSHIP_BUSY: 4, ERR_NOT_CAUGHT_UP: 4, ERR_LAST_VOTER: 4 },
    ...{ ERR_MEMBER_REMOVED: 4, ERR_NO_LEADER: 5, ERR_TIMEOUT: 5, ERR_BAD_TOKEN: 1 },
  } as const;
  for (const [code, exitCode] of Object.entries(codes)) {
    expect([code, exitCodeOf(new KvorumError(code as keyof typeof codes, ''))]).toEqual([code, exitCode]);
  }
});

test('when nobody listens: exit code 5', async () => {
  for (const args of [
    ['member', 'list'],
    ['member', 'promote', 'n2'],
    ['token', 'create'],
  ]) {
    const { code, stdout, stderr } = await inProcess(args, { KVORUM_ENDPOINTS: NOBODY });
    expect([code, stdout, stderr]).toEqual([5, '', expect.stringMatching(/^kvorum: ERR_UNAVAILABLE: .+\n$/)]);
  }
});
