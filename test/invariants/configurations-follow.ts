/**
 * Configurations along a log: the one in force is the newest in the log, from when its entry is appended until it is cut off
 * (thesis §4.1); the voters change through a joint configuration only, and one that is joint is followed by what it leads to (§4.3);
 * and no log has two that are not committed (§4.1: the quorums of the second need not meet those of before the first).
 */
import { decodeConfiguration, encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration, Entry, NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant, NodeView } from './world.ts';

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function same(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.toSorted().join() === b.toSorted().join();
}

/** Why `next` cannot come after `before`; null when it can. */
function objection(before: Configuration, next: Configuration): string | null {
  const { voters, votersOutgoing, learners, learnersNext } = next;
  if (voters.length === 0) return 'nobody votes';
  const counted = new Set([...voters, ...votersOutgoing]);
  if (learners.some((id) => counted.has(id))) return 'somebody is voter and learner';
  if (before.votersOutgoing.length > 0) {
    const grown = same(learners, [...before.learners, ...before.learnersNext]);
    const left = votersOutgoing.length === 0 && same(voters, before.voters) && grown && !next.autoLeave;
    if (!left) return 'a joint configuration is not left for what it leads to';
    return JSON.stringify(next.context) === JSON.stringify(before.context) ? null : 'leaving it loses the context';
  }
  if (votersOutgoing.length === 0) {
    if (!same(voters, before.voters)) return 'the voters change without a joint configuration';
    return sameBytes(encodeConfiguration(next), encodeConfiguration(before)) ? 'nothing changes' : null;
  }
  if (!same(votersOutgoing, before.voters)) return 'the old voters are others';
  if (same(voters, before.voters)) return 'it is joint, and no voter changes';
  if (learnersNext.some((id) => !before.voters.includes(id) || voters.includes(id))) return 'no voter is demoted';
  return next.autoLeave ? null : 'nobody will leave it';
}

export function configurationsFollow(): Invariant {
  const name = 'configurations follow each other';

  /** What is listed as the newest is what the log has there. */
  function inForce(node: NodeView, written: readonly Entry[]): void {
    const { log } = node;
    const newest = log.configurations.at(-1);
    if (newest === undefined) return;
    if (newest.index >= log.firstIndex()) {
      const entry = log.entry(newest.index);
      const there = entry?.kind === 'config' && sameBytes(entry.data, encodeConfiguration(newest.configuration));
      if (!there)
        fail(name, `${node.id} holds on to the configuration at ${newest.index}, which its log does not have`);
    }
    const last = written.findLast((entry) => entry.kind === 'config');
    if (last !== undefined && last.index !== newest.index) {
      fail(name, `${node.id} has a configuration at ${last.index} and counts by that at ${newest.index}`);
    }
  }

  return {
    name,
    observe(event, world) {
      if (event.type !== 'ready') return;
      const { node, ready } = event;
      const { configurations } = node.log;
      inForce(node, ready.entries);
      for (const entry of ready.entries) {
        if (entry.kind !== 'config') continue;
        const before = configurations.findLast(({ index }) => index < entry.index)?.configuration;
        // A node that joins with an empty disk does not know what was before.
        if (before === undefined || before.voters.length === 0) continue;
        const reason = objection(before, decodeConfiguration(entry.data));
        if (reason !== null) fail(name, `${node.id} at ${entry.index}: ${reason}`);
      }
      const open = configurations.filter(({ index }) => index > world.highestCommit);
      if (open.length > 1) {
        const where = open.map(({ index }) => index).join(' and ');
        fail(name, `${node.id} has configurations at ${where}, and only ${world.highestCommit} is committed`);
      }
    },
  };
}
