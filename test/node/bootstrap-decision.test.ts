import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { conflictBetween, decide, sortedInitialCluster } from '../../src/node/bootstrap-decision.ts';
import type { BootstrapFacts } from '../../src/node/bootstrap-decision.ts';
import { makeClusterMap, parseClusterMap } from '../../src/node/cluster-map.ts';
import type { ClusterMap } from '../../src/node/cluster-map.ts';

const INITIAL = sortedInitialCluster({ c: 'c:1', a: 'a:1', b: 'b:1' });

function facts(name: string, given: Partial<BootstrapFacts> = {}): BootstrapFacts {
  const life = given.peerId ?? `peer-${name}`;
  return { name, id: idOf(life), peerId: life, initialCluster: INITIAL, proposal: null, map: null, ...given };
}

function idOf(peerId: string): string {
  let id = 7n;
  for (const byte of new TextEncoder().encode(peerId)) id = (id * 131n + BigInt(byte)) % 2n ** 64n;
  return id.toString();
}

function mapOf(...members: BootstrapFacts[]): ClusterMap {
  return makeClusterMap(members.map(({ name, id, peerId }) => ({ name, id, peerId, address: `${name}:1` })));
}

const [a, b, c] = [facts('a'), facts('b'), facts('c')];
const M = mapOf(a, b, c);

describe('the map', () => {
  test('is the same whatever the order, and another for any other fact', () => {
    expect(mapOf(c, a, b)).toEqual(M);
    expect(M.members.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    const others = [
      mapOf(a, b),
      mapOf(a, b, facts('c', { peerId: 'wiped' })),
      makeClusterMap(M.members.map((member) => ({ ...member, address: `${member.address}0` }))),
    ];
    expect(new Set([M, ...others].map((map) => map.clusterId)).size).toBe(4);
  });

  test('is believed only with the right hash', () => {
    expect(parseClusterMap(structuredClone(M))).toEqual(M);
    const changed = { ...M, members: M.members.map((member) => ({ ...member, address: 'elsewhere:1' })) };
    for (const bad of [null, 7, 'x', [], {}, { ...M, clusterId: '1' }, { ...M, members: [] }, changed]) {
      expect(parseClusterMap(bad)).toBeUndefined();
    }
    expect(parseClusterMap({ ...M, members: [...M.members, M.members[0]] })).toBeUndefined();
  });
});

describe('a fresh node', () => {
  test('waits until it sees every first member', () => {
    expect(decide(a, [])).toEqual({ type: 'wait', missing: ['b', 'c'], unbound: [] });
    expect(decide(a, [c])).toEqual({ type: 'wait', missing: ['b'], unbound: [] });
  });

  test('binds itself to the map of all, the same on each', () => {
    for (const [own, others] of [
      [a, [b, c]],
      [b, [c, a]],
      [c, [a, b]],
    ] as const) {
      expect(decide(own, others)).toEqual({ type: 'propose', map: M });
    }
  });

  test('binds itself to the map that others have bound themselves to', () => {
    expect(
      decide(a, [
        { ...b, proposal: M },
        { ...c, proposal: M },
      ]),
    ).toEqual({ type: 'propose', map: M });
  });

  test('adopts a map that names it, without seeing the rest', () => {
    expect(decide(a, [{ ...b, proposal: M, map: M }])).toEqual({ type: 'adopt', map: M });
  });

  test('is alone in a cluster of one', () => {
    const alone = facts('a', { initialCluster: [['a', 'a:1']] });
    expect(decide(alone, [])).toEqual({ type: 'propose', map: mapOf(a) });
    expect(decide({ ...alone, proposal: mapOf(a) }, [])).toEqual({ type: 'adopt', map: mapOf(a) });
  });
});

describe('a node that has bound itself', () => {
  const bound = (of: BootstrapFacts): BootstrapFacts => ({ ...of, proposal: M });

  test('waits until all have', () => {
    expect(decide(bound(a), [bound(b), c])).toEqual({ type: 'wait', missing: [], unbound: ['c'] });
    expect(decide(bound(a), [bound(b)])).toEqual({ type: 'wait', missing: ['c'], unbound: [] });
  });

  test('adopts when all have, or when one has adopted', () => {
    expect(decide(bound(a), [bound(b), bound(c)])).toEqual({ type: 'adopt', map: M });
    expect(decide(bound(a), [{ ...bound(b), map: M }])).toEqual({ type: 'adopt', map: M });
  });

  test('does not take a member that was wiped for the one it saw', () => {
    const wiped = facts('c', { peerId: 'peer-c2' });
    for (const decision of [
      decide(bound(a), [bound(b), wiped]),
      decide(wiped, [bound(a), b]),
      decide(b, [bound(a), wiped]),
    ]) {
      expect(decision).toMatchObject({ type: 'conflict', code: 'ERR_BOOTSTRAP_CONFLICT' });
      expect(decision).toHaveProperty('message', expect.stringContaining('empty their data directories'));
    }
  });
});

describe('conflicts, each with what to do', () => {
  const cases: [string, BootstrapFacts, BootstrapFacts[], string, RegExp][] = [
    [
      'another initial cluster',
      a,
      [facts('b', { initialCluster: sortedInitialCluster({ a: 'a:1', b: 'b:1', d: 'd:1' }) })],
      'ERR_BOOTSTRAP_CONFLICT',
      /a=a:1,b=b:1,c=c:1.*a=a:1,b=b:1,d=d:1.*start all first members with the same/,
    ],
    [
      'two nodes of this name',
      a,
      [facts('a', { peerId: 'twin' })],
      'ERR_BOOTSTRAP_CONFLICT',
      /two nodes call themselves a .*own name/,
    ],
    [
      'two others of one name',
      a,
      [b, facts('b', { peerId: 'twin' })],
      'ERR_BOOTSTRAP_CONFLICT',
      /two nodes call themselves b/,
    ],
    ['a name that is not in the list', a, [facts('x')], 'ERR_BOOTSTRAP_CONFLICT', /x is not in the initial cluster/],
    [
      'data of a cluster without this node',
      a,
      [{ ...b, map: mapOf(b, c) }],
      'ERR_BOOTSTRAP_CONFLICT',
      /b already belongs to the cluster \d+ of b=b:1,c=c:1, in which there is no a.*empty data directory/,
    ],
    [
      'data of the cluster in which this node was before it was wiped',
      facts('a', { peerId: 'peer-a2' }),
      [{ ...b, map: M }],
      'ERR_MEMBER_REPLACED',
      /a is a member of this cluster with the peer id peer-a, but this node has the peer id peer-a2.*--replace a/,
    ],
    [
      'members of two clusters',
      a,
      [
        { ...b, map: M },
        { ...c, map: mapOf(a, c) },
      ],
      'ERR_BOOTSTRAP_CONFLICT',
      /b belongs to cluster \d+, but c to cluster \d+: decide which/,
    ],
    [
      'bound to something else than was adopted',
      { ...a, proposal: mapOf(a, b) },
      [{ ...b, map: M }],
      'ERR_BOOTSTRAP_CONFLICT',
      /a has bound itself to the cluster \d+, but b belongs to/,
    ],
  ];
  test.each(cases)('%s', (_what, own, others, code, message) => {
    const decision = decide(own, others);
    expect(decision).toMatchObject({ type: 'conflict', code });
    expect(decision).toHaveProperty('message', expect.stringMatching(message));
  });

  test('are seen from both sides', () => {
    const kinds: BootstrapFacts[] = [];
    for (const name of ['a', 'b']) {
      for (const peerId of [`peer-${name}`, `peer-${name}2`]) {
        for (const proposal of [null, M, mapOf(a, facts('b', { peerId: 'peer-b2' }), c)]) {
          const names = (map: ClusterMap): boolean => map.members.some((member) => member.peerId === peerId);
          if (proposal !== null && !names(proposal)) continue; // nobody binds itself to a map without itself
          kinds.push(facts(name, { peerId, proposal }));
          if (proposal !== null) kinds.push(facts(name, { peerId, proposal, map: proposal }));
        }
      }
    }
    for (const one of kinds) {
      for (const other of kinds) {
        expect(conflictBetween(one, other) === null).toBe(conflictBetween(other, one) === null);
      }
    }
  });
});

/**
 * Every interleaving that chance finds: members see each other's newest or older facts, crash, are wiped, write what they decide, or crash
 * before the write. At no point may two different maps be adopted in which one identity occurs.
 */
describe('whatever happens in between', () => {
  interface Node {
    facts: BootstrapFacts;
    /** Facts of others as last heard over the link; gone when it or the other restarts. */
    heard: Map<string, BootstrapFacts>;
    life: number;
  }

  const names = ['a', 'b', 'c'];
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom('hear all', 'hear all', 'hear all', 'hear', 'act', 'act', 'act', 'act', 'restart', 'wipe', 'cut'),
      fc.nat(2),
      fc.nat(2),
    ),
    { minLength: 10, maxLength: 120, size: 'max' },
  );

  function run(script: readonly (readonly [string, number, number])[]): { adopted: ClusterMap[]; nodes: Node[] } {
    const nodes: Node[] = names.map((name) => ({ facts: facts(name), heard: new Map(), life: 1 }));
    const adopted: ClusterMap[] = [];
    for (const [what, i, j] of script) {
      const node = nodes[i]!;
      const other = nodes[j]!;
      if (what === 'hear' || what === 'hear all') {
        for (const heard of what === 'hear' ? [other] : nodes) {
          if (heard === node) continue;
          // Admission: a pair in conflict gets no link.
          if (conflictBetween(node.facts, heard.facts) === null) node.heard.set(heard.facts.name, heard.facts);
          else node.heard.delete(heard.facts.name);
        }
      } else if (what === 'cut') {
        node.heard.delete(other.facts.name);
      } else if (what === 'restart' || what === 'wipe') {
        node.heard.clear();
        if (what === 'wipe') node.facts = facts(node.facts.name, { peerId: `peer-${node.facts.name}-${++node.life}` });
        // A closed connection is noticed at some time, not at once: what was heard of this one stays in the others.
      } else if (what === 'act') {
        const decision = decide(node.facts, [...node.heard.values()]);
        if (decision.type === 'propose' && node.facts.proposal === null) {
          node.facts = { ...node.facts, proposal: decision.map };
        } else if (decision.type === 'adopt' && node.facts.map === null) {
          node.facts = { ...node.facts, map: decision.map };
          adopted.push(decision.map);
        }
      }
    }
    return { adopted, nodes };
  }

  test('no identity is ever in two adopted maps', () => {
    let formed = 0;
    fc.assert(
      fc.property(steps, (script) => {
        const { adopted } = run(script);
        const clusterOf = new Map<string, string>();
        for (const map of adopted) {
          formed++;
          for (const { peerId } of map.members) {
            expect(clusterOf.get(peerId) ?? map.clusterId).toBe(map.clusterId);
            clusterOf.set(peerId, map.clusterId);
          }
        }
      }),
      { numRuns: 3000, seed: 20_261 },
    );
    expect(formed).toBeGreaterThan(50);
  });

  test('with restarts but no wipes it is always formed in the end', () => {
    const noWipes = steps.map((script) => script.filter(([what]) => what !== 'wipe'));
    fc.assert(
      fc.property(noWipes, (script) => {
        const calm: [string, number, number][] = [];
        for (let round = 0; round < 4; round++) {
          for (const i of [0, 1, 2]) for (const j of [0, 1, 2]) calm.push(['hear', i, j]);
          for (const i of [0, 1, 2]) calm.push(['act', i, 0]);
        }
        const { nodes } = run([...script, ...calm]);
        for (const node of nodes) expect(node.facts.map).toEqual(M);
      }),
      { numRuns: 1000, seed: 20_262 },
    );
  });
});
