/** What the simulation does to its nodes is what it says that it does. */
import { describe, expect, it } from 'vitest';
import type { GossipMessage } from '../../../src/gossip/types.ts';
import { GossipSimulation } from './simulation.ts';

interface Sent {
  readonly node: number;
  readonly type: GossipMessage['type'];
  readonly nowMs: number;
}

function simulate(nodes: number, processingMs = 0.05): { sim: GossipSimulation; sent: Sent[] } {
  const sent: Sent[] = [];
  const onSend = (node: { index: number }, { message }: { message: GossipMessage }, nowMs: number): void => {
    sent.push({ node: node.index, type: message.type, nowMs });
  };
  return { sim: new GossipSimulation({ nodes, seed: 3, processingMs, onSend, settings: { stallMs: Infinity } }), sent };
}

describe('a blocked node', () => {
  it('sends nothing while it is blocked, begins one probe, and fails it when it goes on: it stood before that send', () => {
    const { sim, sent } = simulate(16);
    sim.run(5000);
    sim.block(4, 25_000);
    const before = sim.node(4).core.stats();
    sent.length = 0;
    sim.run(24_999);
    expect(sent.filter(({ node }) => node === 4)).toEqual([]);
    expect(sim.node(4).core.stats().probes).toBe(before.probes + 1);
    expect(sim.node(4).core.stats().failedProbes).toBe(before.failedProbes);
    sim.run(25_000);
    expect(sim.node(4).core.stats().failedProbes).toBe(before.failedProbes + 1);
    expect(sent.filter(({ node }) => node === 4).length).toBeGreaterThan(1);
  });

  it('works off what waited for it one by one', () => {
    const { sim, sent } = simulate(64, 10);
    sim.run(5000);
    sim.block(4, 9000);
    sim.run(9001);
    const acks = (): number =>
      sent.filter(({ node, type, nowMs }) => node === 4 && type === 'ack' && nowMs >= 9000).length;
    const first = acks();
    sim.run(9500);
    expect(first).toBeLessThanOrEqual(1);
    expect(acks()).toBeGreaterThan(first + 1);
    const times = sent.filter(({ node, type, nowMs }) => node === 4 && type === 'ack' && nowMs >= 9000);
    for (const [i, { nowMs }] of times.slice(0, 4).entries()) {
      if (i > 0) expect(nowMs - (times[i - 1]?.nowMs ?? 0)).toBeGreaterThan(9.9);
    }
  });
});

describe('a stopped node', () => {
  it('does nothing at all until it goes on, then its timers are over', () => {
    const { sim } = simulate(16);
    sim.run(5000);
    const before = sim.node(4).core.stats().probes;
    sim.stop(4, 25_000);
    sim.run(24_999);
    expect(sim.node(4).core.stats().probes).toBe(before);
    sim.run(26_100);
    expect(sim.node(4).core.stats().probes).toBeGreaterThan(before);
  });
});

describe('the network', () => {
  it('a crashed node and another side are not reached', () => {
    const { sim } = simulate(8);
    sim.split(({ index }) => (index < 4 ? 0 : 1));
    sim.run(60_000);
    expect(sim.node(0).core.stats()).toMatchObject({ alive: 4, dead: 4 });
    expect(sim.agrees()).toBe(false);
  });
});
