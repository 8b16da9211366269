/** The options of `startNode()`, checked and with their defaults filled in. */
import { join } from 'node:path';
import { KvorumError } from '../errors.ts';
import { DEFAULT_SETTINGS } from '../gossip/index.ts';
import type { StoreSettings } from '../kv/settings.ts';
import { isAddress as isPeerAddress, parseAddress } from '../transport/address.ts';
import { encodeMetadata } from './gossip/metadata.ts';
import type { GossipTiming, HttpOptions, Limits, Logger, NodeOptions, Timing } from './types.ts';

export const DEFAULT_LIMITS: Limits = {
  maxKeyBytes: 4 * 1024,
  maxValueBytes: 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxPending: 16_384,
  maxOverlayBytes: 32 * 1024 * 1024,
  logKeepBytes: 64 * 1024 * 1024,
  maxClients: 10_000,
};

export const DEFAULT_TIMING: Timing = { tickMs: 10, heartbeatMs: 100, electionTimeoutMs: 1000, crashHintMs: 50 };

/** Bounds that keep a cluster alive: a key must fit an index entry, a value a frame, and a follower's memory. */
const LIMIT_BOUNDS: Readonly<Record<keyof Limits, readonly [number, number]>> = {
  maxKeyBytes: [1, 64 * 1024],
  maxValueBytes: [1, 8 * 1024 * 1024],
  maxUncommittedBytes: [1024, 1024 * 1024 * 1024],
  maxPending: [1, 1_000_000],
  maxOverlayBytes: [1024, 1024 * 1024 * 1024],
  logKeepBytes: [1024, 64 * 1024 * 1024 * 1024],
  // What the transport has room for.
  maxClients: [0, 10_000],
};

const TIMING_BOUNDS: Readonly<Record<keyof Timing, readonly [number, number]>> = {
  tickMs: [1, 1000],
  heartbeatMs: [1, 60_000],
  electionTimeoutMs: [10, 600_000],
  crashHintMs: [0, 60_000],
};

const GOSSIP_BOUNDS: Readonly<Record<keyof GossipTiming, readonly [number, number]>> = {
  probeIntervalMs: [20, 600_000],
  probeTimeoutMs: [10, 600_000],
  gossipIntervalMs: [10, 600_000],
  gossipToTheDeadMs: [0, 86_400_000],
  pushPullIntervalMs: [100, 86_400_000],
  deadRetryIntervalMs: [100, 86_400_000],
};

const STORE_BOUNDS: Readonly<Record<keyof StoreSettings, readonly [number, number]>> = {
  keepRevisions: [0, Number.MAX_SAFE_INTEGER],
  keepMs: [0, Number.MAX_SAFE_INTEGER],
  quotaBytes: [0, Number.MAX_SAFE_INTEGER],
};

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export interface ResolvedOptions {
  readonly name: string;
  readonly dataDir: string;
  readonly listen: string;
  readonly initialCluster: Readonly<Record<string, string>>;
  /** Addresses of members of a running cluster; null: not to join one. */
  readonly join: readonly string[] | null;
  readonly role: 'voter' | 'learner' | 'agent';
  readonly replaces: string | null;
  readonly joinToken: string | null;
  readonly advertise: string | null;
  readonly secret: string | null;
  readonly http: HttpOptions | null;
  readonly logger: Logger;
  readonly registry: unknown;
  readonly limits: Limits;
  readonly store: Partial<StoreSettings>;
  readonly timing: Timing;
  readonly signal: AbortSignal | undefined;
  /** As it is passed on. */
  readonly metadata: Uint8Array;
  readonly gossip: Partial<GossipTiming>;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const MIN_SECRET_BYTES = 16;
const MAX_JOIN_ADDRESSES = 100;
const ROLES = ['voter', 'learner', 'agent'] as const;
/** Hosts that say where to listen, and nothing about how to be reached. */
const WILDCARD = /^(?:0\.0\.0\.0|\[::\]):/;

function bad(message: string): KvorumError {
  return new KvorumError('ERR_CONFIG', message);
}

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** True for what the transport can dial or listen on: `HOST:PORT`; an IPv6 host stands in brackets. */
export function isAddress(text: string, zeroPort: boolean): boolean {
  return isPeerAddress(text) && (zeroPort || parseAddress(text).port > 0);
}

function numbers<T extends { readonly [K in keyof T]?: number }>(
  what: string,
  defaults: T,
  given: Partial<T> | undefined,
  bounds: Readonly<Record<keyof T, readonly [number, number]>>,
): T {
  const result: { -readonly [K in keyof T]: number | undefined } = { ...defaults };
  for (const key of Object.keys(given ?? {}) as (keyof T)[]) {
    const value = given?.[key];
    if (value === undefined) continue;
    if (!Object.hasOwn(bounds, key)) throw bad(`${what}.${String(key)} is not an option`);
    const [least, most] = bounds[key];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      throw bad(`${what}.${String(key)} must be a whole number from ${least} to ${most}, not ${String(value)}`);
    }
    result[key] = value;
  }
  return result as T;
}

const KNOWN: readonly (keyof NodeOptions)[] = [
  'name',
  'dataDir',
  'listen',
  'initialCluster',
  'join',
  'role',
  'replaces',
  'joinToken',
  'advertise',
  'secret',
  'http',
  'logger',
  'registry',
  'limits',
  'store',
  'timing',
  'signal',
  'metadata',
  'gossip',
];

/** Throws ERR_CONFIG with a message that names the option. */
export function resolveOptions(options: NodeOptions): ResolvedOptions {
  for (const key of Object.keys(options)) {
    if (!(KNOWN as readonly string[]).includes(key)) throw bad(`${key} is not an option of startNode()`);
  }
  const name = options.name ?? 'n1';
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw bad(`name must be 1 to 63 letters, digits, '-', '_' or '.', not ${JSON.stringify(name)}`);
  }
  const addresses = resolveJoin(options);
  const initialCluster = resolveCluster(name, options);
  const own = initialCluster[name] as string;
  const listen = options.listen ?? own;
  if (!isAddress(listen, true)) throw bad(`listen must be HOST:PORT, not ${JSON.stringify(listen)}`);
  const secret = options.secret ?? null;
  if (secret !== null && Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    throw bad(`secret must have at least ${MIN_SECRET_BYTES} bytes`);
  }
  if (secret === null && Object.keys(initialCluster).length > 1) {
    throw bad('a cluster of more than one node needs a secret, the same on every node');
  }
  const timing = numbers('timing', DEFAULT_TIMING, options.timing, TIMING_BOUNDS);
  if (timing.heartbeatMs < timing.tickMs) throw bad('timing.heartbeatMs must be at least timing.tickMs');
  if (timing.electionTimeoutMs < 2 * timing.heartbeatMs) {
    throw bad('timing.electionTimeoutMs must be at least twice timing.heartbeatMs');
  }
  const limits = numbers('limits', DEFAULT_LIMITS, options.limits, LIMIT_BOUNDS);
  const http = options.http === undefined || options.http === false ? null : options.http;
  if (http !== null && http.port !== undefined) {
    if (!Number.isInteger(http.port) || http.port < 0 || http.port > 65_535) {
      throw bad(`http.port must be a port number, not ${String(http.port)}`);
    }
  }
  return {
    name,
    dataDir: options.dataDir ?? join('.kvorum', name),
    listen,
    initialCluster,
    join: addresses,
    role: options.role ?? 'voter',
    replaces: options.replaces ?? null,
    joinToken: options.joinToken ?? null,
    advertise: options.advertise ?? null,
    secret,
    http,
    logger: options.logger ?? silent,
    registry: options.registry,
    limits,
    store: numbers<Partial<StoreSettings>>('store', {}, options.store, STORE_BOUNDS),
    timing,
    signal: options.signal,
    metadata: encodeMetadata(options.metadata ?? {}),
    gossip: resolveGossip(options.gossip),
  };
}

function resolveGossip(given: Partial<GossipTiming> | undefined): Partial<GossipTiming> {
  const gossip = numbers<Partial<GossipTiming>>('gossip', {}, given, GOSSIP_BOUNDS);
  const { probeIntervalMs = DEFAULT_SETTINGS.probeIntervalMs, probeTimeoutMs = DEFAULT_SETTINGS.probeTimeoutMs } =
    gossip;
  if (probeTimeoutMs >= probeIntervalMs) throw bad('gossip.probeTimeoutMs must be less than gossip.probeIntervalMs');
  return gossip;
}

/** Throws for what is only about joining and stands without it. */
function resolveJoin({
  join,
  initialCluster,
  role,
  replaces,
  joinToken,
  advertise,
  listen,
}: NodeOptions): readonly string[] | null {
  if (advertise !== undefined && !isAddress(advertise, false)) {
    throw bad(`advertise must be HOST:PORT, not ${JSON.stringify(advertise)}`);
  }
  if (join === undefined) {
    if (role !== undefined && role !== 'voter') throw bad(`role ${role} is for a node that joins a cluster: give join`);
    if (replaces !== undefined) throw bad('replaces is for a node that joins a cluster: give join');
    if (joinToken !== undefined) throw bad('joinToken is for a node that joins a cluster: give join');
    return null;
  }
  if (initialCluster !== undefined)
    throw bad('join and initialCluster exclude each other: a cluster is either formed or joined');
  if (!Array.isArray(join) || join.length === 0 || join.length > MAX_JOIN_ADDRESSES) {
    throw bad(`join must be a list of 1 to ${MAX_JOIN_ADDRESSES} addresses`);
  }
  for (const address of join as unknown[]) {
    if (typeof address !== 'string' || !isAddress(address, false)) {
      throw bad(`join must be a list of HOST:PORT, not ${JSON.stringify(address)}`);
    }
  }
  if (role !== undefined && !ROLES.includes(role)) throw bad(`role must be one of ${ROLES.join(', ')}, not ${role}`);
  if (replaces !== undefined && (typeof replaces !== 'string' || replaces === ''))
    throw bad('replaces must be the id or name of a member');
  if (advertise === undefined && listen !== undefined && WILDCARD.test(listen)) {
    throw bad(`others cannot reach ${listen}: say how they reach this node with advertise`);
  }
  return join;
}

function resolveCluster(name: string, options: NodeOptions): Readonly<Record<string, string>> {
  if (options.initialCluster === undefined) return { [name]: options.listen ?? '127.0.0.1:0' };
  const entries = Object.entries(options.initialCluster);
  const seen = new Map<string, string>();
  for (const [member, address] of entries) {
    if (!NAME.test(member)) throw bad(`initialCluster: ${JSON.stringify(member)} is not a name`);
    if (typeof address !== 'string' || !isAddress(address, entries.length === 1)) {
      throw bad(`initialCluster.${member} must be HOST:PORT, not ${JSON.stringify(address)}`);
    }
    const other = seen.get(address);
    if (other !== undefined && !address.endsWith(':0'))
      throw bad(`initialCluster: ${other} and ${member} have the same address ${address}`);
    seen.set(address, member);
  }
  if (!Object.hasOwn(options.initialCluster, name)) {
    throw bad(
      `initialCluster does not name this node, ${name}: it has ${entries.map(([member]) => member).join(', ') || 'nobody'}`,
    );
  }
  return options.initialCluster;
}
