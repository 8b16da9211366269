/** Metrics of gossip, read from live state when they are scraped. For a node and for an agent. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { MemberRole, MemberState } from '../../gossip/index.ts';
import type { AgentGate } from '../agents.ts';
import type { LinkPool } from '../links.ts';
import type { GossipDriver } from './driver.ts';

const STATES: readonly MemberState[] = ['alive', 'suspect', 'dead', 'left'];
const ROLES: readonly MemberRole[] = ['voter', 'learner', 'agent'];

export interface GossipMetricsSources {
  readonly links: LinkPool;
  /** Of a node with a replica. */
  readonly agents?: AgentGate;
}

/** All are named `kvorum_gossip_…`, but for links. */
export function registerGossipMetrics(
  registry: Registry,
  gossip: GossipDriver,
  { links, agents }: GossipMetricsSources,
): void {
  const registers = [registry];
  const members: Gauge = new Gauge({
    name: 'kvorum_gossip_members',
    help: 'Members known, this node among them, by state and role.',
    labelNames: ['state', 'role'],
    registers,
    collect: () => {
      const counts = new Map<string, number>();
      for (const { state, role } of gossip.members()) {
        const key = `${state} ${role}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      // All of them, always: an alert on what is not there never fires.
      for (const state of STATES) {
        for (const role of ROLES) members.set({ state, role }, counts.get(`${state} ${role}`) ?? 0);
      }
    },
  });
  const gauge = (name: string, help: string, value: () => number): void => {
    const metric: Gauge = new Gauge({ name, help, registers, collect: () => metric.set(value()) });
  };
  gauge('kvorum_gossip_health_score', 'Local health, 0 is best: how slow this node itself is.', () => {
    return gossip.stats().health;
  });
  gauge('kvorum_gossip_incarnation', 'Incarnation of this node.', () => gossip.incarnation);
  gauge('kvorum_gossip_queue', 'Statements that wait to be passed on.', () => gossip.stats().queued);
  gauge('kvorum_links_on_demand', 'Links that were made because something was to be sent.', () => links.size);

  const total = (name: string, help: string, value: () => number): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers,
      collect: () => {
        metric.reset();
        metric.inc(value());
      },
    });
  };
  total('kvorum_gossip_probes_total', 'Members pinged.', () => gossip.stats().probes);
  total('kvorum_gossip_failed_probes_total', 'Pings that nobody answered for.', () => gossip.stats().failedProbes);
  total('kvorum_gossip_suspicions_total', 'Members that came to be suspected.', () => gossip.suspicions);
  total('kvorum_gossip_refutations_total', 'Accusations of this node that it spoke up against.', () => {
    return gossip.stats().refutations;
  });
  total('kvorum_gossip_stalls_total', 'Times that this process stood still for long.', () => gossip.stats().stalls);
  total('kvorum_gossip_lags_total', 'Times that this process was late.', () => gossip.lags);
  total('kvorum_gossip_verifications_total', 'Signatures verified.', () => gossip.stats().verifications);
  total('kvorum_gossip_unsent_total', 'Frames without a link, or with a full queue.', () => gossip.unsent);
  if (agents !== undefined) {
    total('kvorum_agent_frames_refused_total', 'Frames of Raft that came from agents.', () => agents.refused);
  }
  const refused: Counter = new Counter({
    name: 'kvorum_gossip_refused_total',
    help: 'What was not believed or not served, by reason.',
    labelNames: ['reason'],
    registers,
    collect: () => {
      refused.reset();
      for (const [reason, count] of Object.entries(gossip.stats().refused)) refused.inc({ reason }, count);
    },
  });
}
