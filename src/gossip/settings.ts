/** What is tunable, the limits of what is read, and the formulas that follow from the number of members. */
import { KvorumError } from '../errors.ts';
import type { GossipSettings, Limits } from './types.ts';

/** HashiCorp memberlist's profile for a local network, and links to some members only, where there are many. */
export const DEFAULT_SETTINGS: GossipSettings = {
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  indirectProbes: 3,
  suspicionMultiplier: 4,
  suspicionMaxMultiplier: 6,
  retransmitMultiplier: 4,
  gossipIntervalMs: 200,
  gossipPeers: 3,
  neighbours: 20,
  gossipToTheDeadMs: 30_000,
  pushPullIntervalMs: 30_000,
  deadRetryIntervalMs: 30_000,
  awarenessMax: 8,
  lhaProbe: true,
  lhaSuspicion: true,
  buddy: true,
  stallMs: 1000,
  stagger: true,
  updateBytes: 1360,
  maxMembers: 16_384,
  maxRelays: 256,
};

export const LIMITS: Limits = {
  clusterIdCharacters: 128,
  idCharacters: 20,
  peerIdCharacters: 128,
  nameCharacters: 128,
  addresses: 8,
  addressCharacters: 256,
  httpCharacters: 256,
  metadataBytes: 512,
  signatureBytes: 64,
  updates: 64,
  syncStatements: 128,
};

/** Above it whole tables are exchanged less often (memberlist's pushPullScaleThreshold). */
const PUSH_PULL_THRESHOLD = 32;

/** With the defaults. Throws ERR_INVALID_ARGUMENT when they cannot be. */
export function settingsOf(given: Partial<GossipSettings>): GossipSettings {
  const settings = { ...DEFAULT_SETTINGS };
  for (const name of Object.keys(settings) as (keyof GossipSettings)[]) {
    if (given[name] !== undefined) Object.assign(settings, { [name]: given[name] });
  }
  const { probeIntervalMs, probeTimeoutMs, gossipIntervalMs, pushPullIntervalMs, deadRetryIntervalMs } = settings;
  check(probeTimeoutMs > 0 && probeTimeoutMs < probeIntervalMs, 'a probe times out within its interval');
  check(gossipIntervalMs > 0 && pushPullIntervalMs > 0 && deadRetryIntervalMs > 0, 'an interval is positive');
  check(settings.suspicionMultiplier > 0 && settings.suspicionMaxMultiplier >= 1, 'suspicion lasts some time');
  check(settings.neighbours >= 1, 'a member has neighbours');
  check(settings.awarenessMax >= 1 && settings.maxMembers >= 1, 'a bound is positive');
  return settings;
}

/** How often each statement is passed on: enough to reach everybody with high probability (SWIM §4.1, λ log n). */
export function retransmitLimit(multiplier: number, members: number): number {
  return multiplier * Math.ceil(Math.log10(members + 1));
}

/** Least time of suspicion; `members` counts this node too. */
export function suspicionMinMs(multiplier: number, members: number, probeIntervalMs: number): number {
  return multiplier * Math.max(1, Math.log10(Math.max(1, members))) * probeIntervalMs;
}

/** Doubling the members above the threshold makes the interval longer by one, so that the traffic of whole tables stays in bounds. */
export function pushPullIntervalMs(intervalMs: number, members: number): number {
  if (members <= PUSH_PULL_THRESHOLD) return intervalMs;
  return intervalMs * (Math.ceil(Math.log2(members) - Math.log2(PUSH_PULL_THRESHOLD)) + 1);
}

function check(holds: boolean, rule: string): void {
  if (!holds) throw new KvorumError('ERR_INVALID_ARGUMENT', `settings of gossip: ${rule}`);
}
