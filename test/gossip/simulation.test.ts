/** Many nodes on virtual time: what is claimed of all of them together. Seeded; the lab measures the same at length. */
import { describe, expect, it } from 'vitest';
import type { MemberEffect } from '../../src/gossip/types.ts';
import { GossipSimulation, type SimulationOptions } from '../lab/gossip/simulation.ts';

interface Told {
  readonly node: number;
  readonly event: MemberEffect['event'];
  readonly id: string;
  readonly nowMs: number;
}

function simulate(options: SimulationOptions): { sim: GossipSimulation; told: Told[] } {
  const told: Told[] = [];
  const sim = new GossipSimulation({
    ...options,
    onMember: (node, { event, id }, nowMs) => told.push({ node: node.index, event, id, nowMs }),
  });
  return { sim, told };
}

describe('a calm cluster', () => {
  it('sends two messages a member a period, whatever its size (SWIM §5), and accuses nobody', () => {
    for (const nodes of [16, 200]) {
      const { sim, told } = simulate({ nodes, seed: nodes });
      sim.run(20_000);
      const sent = sim.nodes.reduce((sum, node) => sum + node.sent, 0);
      expect(sent / nodes / 20).toBeGreaterThan(1.95);
      expect(sent / nodes / 20).toBeLessThan(2.2);
      expect(told).toEqual([]);
    }
  });

  it('the same seed gives the same run, another seed another', () => {
    const run = (seed: number): Told[] => {
      const { sim, told } = simulate({ nodes: 12, seed, loss: 0.1 });
      sim.crash(3);
      sim.run(60_000);
      return told;
    };
    const first = run(5);
    expect(first.length).toBeGreaterThan(10);
    expect(run(5)).toEqual(first);
    expect(run(6)).not.toEqual(first);
  });
});

describe('coming and going', () => {
  it('sixty nodes that know one seed know each other within seconds', () => {
    const { sim } = simulate({ nodes: 60, seed: 2, acquainted: false });
    for (let i = 1; i < 60; i++) sim.join(i, [0]);
    expect(sim.runUntil(() => sim.agrees(), 15_000)).toBe(true);
  });

  it('nodes that join one after the other through different seeds are one cluster', () => {
    const { sim } = simulate({ nodes: 12, seed: 3, acquainted: false, loss: 0.1 });
    for (let i = 1; i < 12; i++) {
      sim.join(i, [i - 1]);
      sim.run(sim.nowMs + 300);
    }
    expect(sim.runUntil(() => sim.agrees(), 120_000)).toBe(true);
  });

  it('a crash is found by all, and a restart wins over it', () => {
    const { sim, told } = simulate({ nodes: 20, seed: 4 });
    sim.run(2000);
    const known = sim
      .node(7)
      .core.members()
      .map(({ statement }) => statement);
    sim.crash(7);
    expect(sim.runUntil(() => sim.agrees(), 40_000)).toBe(true);
    expect(told.filter(({ event }) => event === 'dead')).toHaveLength(19);
    sim.restart(7, known, [0, 1]);
    expect(sim.runUntil(() => sim.agrees(), sim.nowMs + 5000)).toBe(true);
    expect(sim.node(3).core.member(sim.node(7).id)?.incarnation).toBe(2 * 2 ** 20);
  });

  it('a restart before anybody noticed is no failure', () => {
    const { sim, told } = simulate({ nodes: 20, seed: 5 });
    sim.run(2000);
    sim.crash(7);
    sim.run(2100);
    sim.restart(7, [], [0]);
    sim.run(60_000);
    expect(told.filter(({ event }) => event === 'dead')).toEqual([]);
    expect(sim.agrees()).toBe(true);
  });

  it('who leaves is known to all as having left, within a second, and is never called dead', () => {
    const { sim, told } = simulate({ nodes: 30, seed: 6 });
    sim.run(2000);
    sim.leave(4);
    sim.run(3000);
    sim.crash(4);
    expect(told.filter(({ event }) => event === 'left')).toHaveLength(29);
    sim.run(120_000);
    expect(told.filter(({ event }) => event === 'dead')).toEqual([]);
  });
});

describe('a bad network', () => {
  it('with one message in twenty lost nobody is called dead, and what is said reaches all', () => {
    const { sim, told } = simulate({ nodes: 40, seed: 7, loss: 0.05 });
    sim.act(3, (core) => core.setDetails({ metadata: Uint8Array.of(9) }));
    sim.run(120_000);
    expect(told.filter(({ event }) => event === 'dead')).toEqual([]);
    expect(told.filter(({ event }) => event === 'updated')).toHaveLength(39);
  });

  it('halves that were apart for longer than the dead are remembered as active merge when they meet again', () => {
    const { sim, told } = simulate({ nodes: 32, seed: 8 });
    sim.run(5000);
    sim.split(({ index }) => index % 2);
    // A pass of the 32, twice, and what a dead member is gossiped to.
    sim.run(300_000);
    for (const { core } of sim.nodes) expect(core.stats()).toMatchObject({ alive: 16, dead: 16 });
    const before = sim.nodes.map(({ sent }) => sent);
    sim.run(400_000);
    // Nobody is probed on the other side any more, the dead are asked at a slow pace.
    for (const [i, { sent }] of sim.nodes.entries()) expect((sent - (before[i] ?? 0)) / 100).toBeLessThan(3);
    told.length = 0;
    sim.split(null);
    expect(sim.runUntil(() => sim.agrees(), sim.nowMs + 120_000)).toBe(true);
    // Each of the other half, at each node, and nobody of the own half died over it.
    expect(told.filter(({ event }) => event === 'alive-again').length).toBeGreaterThanOrEqual(32 * 16);
    expect(told.filter(({ event }) => event === 'dead')).toEqual([]);
  });

  it('a single node that was cut off for long comes back, and so does the cluster in its view', () => {
    const { sim } = simulate({ nodes: 10, seed: 9 });
    sim.split(({ index }) => (index === 0 ? 1 : 0));
    sim.run(300_000);
    expect(sim.node(0).core.stats()).toMatchObject({ alive: 1, dead: 9 });
    expect(sim.node(1).core.stats()).toMatchObject({ alive: 9, dead: 1 });
    sim.split(null);
    expect(sim.runUntil(() => sim.agrees(), sim.nowMs + 120_000)).toBe(true);
  });
});

describe('a node that stands still', () => {
  const stops = (stallMs: number): Told[] => {
    // Far apart, so that it is often caught between a ping and the ack.
    const { sim, told } = simulate({ nodes: 32, seed: 10, settings: { stallMs }, latencyMs: [80, 160] });
    for (let i = 0; i < 6; i++) {
      sim.run(sim.nowMs + 3000);
      for (const node of [1, 2, 3]) sim.stop(node, sim.nowMs + 20_000);
      sim.run(sim.nowMs + 20_100);
    }
    sim.run(sim.nowMs + 60_000);
    const still = new Set([1, 2, 3].map((node) => sim.node(node).id));
    return told.filter(({ event, id }) => event === 'suspect' && !still.has(id));
  };

  it('accuses none of those that run (scenario 18), which it would without noticing that it stood still', () => {
    expect(stops(1000)).toEqual([]);
    expect(stops(Infinity).length).toBeGreaterThan(0);
  });
});

describe('Lifeguard §V, in small', () => {
  const falsePositives = (lifeguard: boolean): number => {
    const blocked = 8;
    const parts = { lhaProbe: lifeguard, lhaSuspicion: lifeguard, buddy: lifeguard };
    const { sim, told } = simulate({
      nodes: 48,
      seed: 11,
      settings: { ...parts, suspicionMultiplier: 5, suspicionMaxMultiplier: 6, stallMs: Infinity },
    });
    sim.run(5000);
    while (sim.nowMs < 150_000) {
      for (let i = 0; i < blocked; i++) sim.block(i, sim.nowMs + 20_000);
      sim.run(sim.nowMs + 20_016);
    }
    const slow = new Set(sim.nodes.slice(0, blocked).map(({ id }) => id));
    return told.filter(({ event, id }) => event === 'dead' && !slow.has(id)).length;
  };

  it('blocked members call far fewer of the healthy dead', () => {
    expect(falsePositives(false)).toBeGreaterThan(10);
    expect(falsePositives(true)).toBe(0);
  });
});
