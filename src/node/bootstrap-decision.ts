/**
 * What a fresh node of a static cluster does next, as a pure function of what it knows of itself and of the first members that it has a link to.
 *
 * Two phases, so that no crash at any point, and no disk wiped at any point, can bring two clusters into the world:
 *
 * 1. A node that sees **every** first member fresh computes the map, a function of nothing but names, addresses and peer ids, and binds itself
 *    to it on disk: a *proposal*. It never binds itself to another.
 * 2. A node that sees every first member bound to the same map *adopts* it, on disk, and only then takes part in elections. Who sees an
 *    adopted map that names it adopts that.
 *
 * Why this is safe: an adopted map was bound to by each identity in it, and an identity binds itself once. Two different adopted maps
 * therefore have no identity in common: no vote is ever counted for both. A member wiped in between has a new identity, which is in no map.
 */
import type { ErrorCode } from '../errors.ts';
import { describeMembers, makeClusterMap } from './cluster-map.ts';
import type { ClusterMap } from './cluster-map.ts';

/** What a node tells of its bootstrap. */
export interface BootstrapFacts {
  readonly name: string;
  readonly id: string;
  readonly peerId: string;
  /** Name and peer address of every first member, as this node was started with, sorted by name. */
  readonly initialCluster: readonly (readonly [name: string, address: string])[];
  /** Bound to, on disk. */
  readonly proposal: ClusterMap | null;
  /** Adopted, on disk: the node's data belongs to this cluster. */
  readonly map: ClusterMap | null;
}

export type Decision =
  | {
      readonly type: 'wait';
      /** First members without a link. Empty: all are seen, and `unbound` are still to bind themselves. */
      readonly missing: readonly string[];
      readonly unbound: readonly string[];
    }
  | { readonly type: 'propose'; readonly map: ClusterMap }
  | { readonly type: 'adopt'; readonly map: ClusterMap }
  | Conflict;

export interface Conflict {
  readonly type: 'conflict';
  readonly code: ErrorCode;
  readonly message: string;
}

/** `others`: the newest facts of each peer that there is a link to now. */
export function decide(own: BootstrapFacts, others: readonly BootstrapFacts[]): Decision {
  if (own.map !== null) return { type: 'adopt', map: own.map };
  for (const other of others) {
    const clash = conflictBetween(own, other);
    if (clash !== null) return clash;
  }
  const byName = new Map<string, BootstrapFacts>();
  for (const other of others) {
    const twin = byName.get(other.name);
    if (twin !== undefined) return twoOfOneName(other.name, twin.peerId, other.peerId);
    byName.set(other.name, other);
  }
  let adopted: { readonly by: string; readonly map: ClusterMap } | null = null;
  for (const { name, map } of others) {
    if (map === null) continue;
    if (adopted !== null && adopted.map.clusterId !== map.clusterId) {
      return conflict(
        `${adopted.by} belongs to cluster ${adopted.map.clusterId}, but ${name} to cluster ${map.clusterId}: decide which of the two is to ` +
          'live, and start the members of the other with empty data directories',
      );
    }
    adopted = { by: name, map };
  }
  if (adopted !== null) return { type: 'adopt', map: adopted.map };
  const names = own.initialCluster.map(([name]) => name).filter((name) => name !== own.name);
  const missing = names.filter((name) => !byName.has(name));
  if (own.proposal !== null) {
    const { clusterId } = own.proposal;
    const unbound = names.filter((name) => byName.get(name)?.proposal?.clusterId !== clusterId);
    if (unbound.length === 0) return { type: 'adopt', map: own.proposal };
    return { type: 'wait', missing, unbound: unbound.filter((name) => byName.has(name)) };
  }
  if (missing.length > 0) return { type: 'wait', missing, unbound: [] };
  const map = makeClusterMap(
    own.initialCluster.map(([name, address]) => {
      const { id, peerId } = byName.get(name) ?? own;
      return { name, address, id, peerId };
    }),
  );
  const bound = others.find((other) => other.proposal !== null && other.proposal.clusterId !== map.clusterId);
  if (bound !== undefined) return wipedMeanwhile(`${bound.name} has bound itself to other identities`);
  return { type: 'propose', map };
}

/**
 * Why these two can never be first members of one cluster, or null. Both come to a conflict, though perhaps in other words: used at
 * admission too, so that each hears why.
 */
export function conflictBetween(own: BootstrapFacts, other: BootstrapFacts): Conflict | null {
  if (other.name === own.name) return twoOfOneName(own.name, own.peerId, other.peerId);
  if (other.map !== null) return conflictWithMap(own, other, other.map);
  if (own.map !== null) return conflictWithMap(other, own, own.map);
  const mine = describeInitial(own);
  const theirs = describeInitial(other);
  if (mine !== theirs) {
    return conflict(
      `${own.name} was started with the initial cluster ${mine}, ${other.name} with ${theirs}: start all first members with the same`,
    );
  }
  if (!own.initialCluster.some(([name]) => name === other.name)) {
    return conflict(`${other.name} is not in the initial cluster ${mine}: start it with a name from there`);
  }
  if (own.proposal !== null && other.proposal !== null && own.proposal.clusterId !== other.proposal.clusterId) {
    return wipedMeanwhile(`${own.name} and ${other.name} have bound themselves to different identities`);
  }
  for (const [bound, asked] of [
    [own, other],
    [other, own],
  ] as const) {
    const record = bound.proposal?.members.find((member) => member.name === asked.name);
    if (record !== undefined && record.peerId !== asked.peerId) {
      return wipedMeanwhile(`${asked.name} has lost its data directory since ${bound.name} saw it first`);
    }
  }
  return null;
}

/** `member` belongs to `map` and `fresh` does not yet. */
function conflictWithMap(fresh: BootstrapFacts, member: BootstrapFacts, map: ClusterMap): Conflict | null {
  const record = map.members.find(({ name }) => name === fresh.name);
  if (record === undefined) {
    return conflict(
      `${member.name} already belongs to the cluster ${map.clusterId} of ${describeMembers(map)}, in which there is no ${fresh.name}: ` +
        `give ${fresh.name} the initial cluster of its own cluster, or, if ${member.name} is to start anew, an empty data directory`,
    );
  }
  if (record.peerId !== fresh.peerId) return replaced(fresh.name, record.peerId, fresh.peerId);
  if (fresh.proposal !== null && fresh.proposal.clusterId !== map.clusterId) {
    return conflict(
      `${fresh.name} has bound itself to the cluster ${fresh.proposal.clusterId}, but ${member.name} belongs to ${map.clusterId}: ` +
        `start ${fresh.name} with an empty data directory and have it replaced`,
    );
  }
  return null;
}

/** A name that belongs to a member came with another identity. */
export function replaced(name: string, expected: string, found: string): Conflict {
  return {
    type: 'conflict',
    code: 'ERR_MEMBER_REPLACED',
    message:
      `${name} is a member of this cluster with the peer id ${expected}, but this node has the peer id ${found}: its data directory was ` +
      `wiped or is another one. A wiped member may have voted and must not vote again. If the old data directory still exists, start ${name} ` +
      `with it; otherwise let it take the place of its old self: start it with --join and --replace ${name}`,
  };
}

function twoOfOneName(name: string, one: string, two: string): Conflict {
  return conflict(`two nodes call themselves ${name} (peer ids ${one} and ${two}): give each its own name`);
}

/** Nobody has adopted a map, so nobody has voted or stored anything: starting over loses nothing. */
function wipedMeanwhile(what: string): Conflict {
  return conflict(
    `${what}, before the cluster was formed. Nothing has been stored yet: stop all first members, empty their data directories, and start ` +
      'them again',
  );
}

function conflict(message: string): Conflict {
  return { type: 'conflict', code: 'ERR_BOOTSTRAP_CONFLICT', message };
}

function describeInitial(facts: BootstrapFacts): string {
  return facts.initialCluster.map(([name, address]) => `${name}=${address}`).join(',');
}

export function sortedInitialCluster(initialCluster: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(initialCluster).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
