/** What a remote caller can ask for beside single keys: arguments as they come, the call, and the answer as it goes. One line a method. */
import type { KeyEntry, KvEntry } from '../../kv/types.ts';
import type { KvorumNode, ListAnswer } from '../types.ts';
import * as args from './arguments.ts';
import { encodeEntry } from './entries.ts';
import { METHOD } from './protocol.ts';

/** The part of a node that is called from elsewhere. */
export type RemoteTarget = Pick<
  KvorumNode,
  | 'put'
  | 'get'
  | 'delete'
  | 'deleteRange'
  | 'list'
  | 'txn'
  | 'watch'
  | 'compact'
  | 'leases'
  | 'locks'
  | 'elections'
  | 'barriers'
  | 'counters'
  | 'members'
  | 'dht'
  | 'cluster'
  | 'transferLeadership'
  | 'head'
>;

/** `a` is the whole request: its arguments begin at 2. Throws ERR_INVALID_ARGUMENT, or rejects as the call. */
export type Method = (node: RemoteTarget, a: readonly unknown[], signal: AbortSignal) => Promise<unknown>;

const { OPTIONS, options, text, number, holder } = args;
const name = (field: unknown): string => text(field, 'name');
const lease = (field: unknown): string => text(field, 'lease');
const member = (field: unknown): string => text(field, 'member');
const dhtKey = (field: unknown): string => text(field, 'key');

/** Those that may stand in a queue on the node, wait for a learner, or ask one peer after another: they are told when nobody waits for the answer any more. */
export const WAITING: ReadonlyMap<number, Method> = new Map<number, Method>([
  [METHOD.lockAcquire, (node, a, signal) => node.locks.acquire(name(a[2]), waiting(a[3], OPTIONS.lock, signal))],
  [
    METHOD.electionCampaign,
    (node, a, signal) => node.elections.campaign(name(a[2]), waiting(a[3], OPTIONS.campaign, signal)),
  ],
  [
    METHOD.barrierEnter,
    (node, a, signal) => {
      const entering = waiting(a[3], OPTIONS.enter, signal);
      return node.barriers.enter(name(a[2]), { ...entering, parties: number(entering.parties, 'parties') });
    },
  ],

  [METHOD.memberAdd, (node, a, signal) => node.members.add(args.newMember(a[2]), waiting(a[3], OPTIONS.call, signal))],
  [METHOD.memberPromote, (node, a, signal) => node.members.promote(member(a[2]), waiting(a[3], OPTIONS.call, signal))],
  [METHOD.memberDemote, (node, a, signal) => node.members.demote(member(a[2]), waiting(a[3], OPTIONS.call, signal))],
  [
    METHOD.memberReplace,
    (node, a, signal) => node.members.replace(member(a[2]), text(a[3], 'by'), waiting(a[4], OPTIONS.call, signal)),
  ],
  [METHOD.memberRemove, (node, a, signal) => node.members.remove(member(a[2]), waiting(a[3], OPTIONS.call, signal))],

  [METHOD.dhtGet, (node, a, signal) => node.dht.get(dhtKey(a[2]), waiting(a[3], OPTIONS.query, signal))],
  [
    METHOD.dhtPut,
    (node, a, signal) => node.dht.put(dhtKey(a[2]), args.value(a[3]), waiting(a[4], OPTIONS.dhtPut, signal)),
  ],
  [METHOD.dhtProviders, (node, a, signal) => node.dht.providers(name(a[2]), waiting(a[3], OPTIONS.query, signal))],
  [METHOD.dhtLookup, (node, a, signal) => node.dht.lookup(args.target(a[2]), waiting(a[3], OPTIONS.query, signal))],
]);

function waiting<S extends Parameters<typeof options>[1]>(given: unknown, spec: S, signal: AbortSignal) {
  return { ...options(given, spec), signal };
}

export const QUICK: ReadonlyMap<number, (node: RemoteTarget, a: readonly unknown[]) => Promise<unknown>> = new Map([
  [METHOD.deleteRange, (node, a) => node.deleteRange(args.span(a[2]), options(a[3], OPTIONS.mutation))],
  [METHOD.list, async (node, a) => encodeList(await node.list(options(a[2], OPTIONS.list)))],
  [METHOD.txn, (node, a) => node.txn(args.txnRequest(a[2]), options(a[3], OPTIONS.mutation))],
  [METHOD.compact, (node, a) => node.compact(number(a[2], 'revision'), options(a[3], OPTIONS.mutation))],
  [METHOD.cluster, (node) => Promise.resolve(node.cluster())],
  [
    METHOD.transferLeadership,
    (node, a) => node.transferLeadership(typeof a[2] === 'string' ? a[2] : undefined, options(a[3], OPTIONS.call)),
  ],

  [METHOD.leaseGrant, (node, a) => node.leases.grant(options(a[2], OPTIONS.grant))],
  [METHOD.leaseRenew, (node, a) => node.leases.renew(lease(a[2]), options(a[3], OPTIONS.call))],
  [METHOD.leaseRevoke, (node, a) => node.leases.revoke(lease(a[2]), options(a[3], OPTIONS.mutation))],
  [METHOD.leaseGet, (node, a) => node.leases.get(lease(a[2]), options(a[3], OPTIONS.call))],
  [METHOD.leaseList, (node, a) => node.leases.list(options(a[2], OPTIONS.after))],

  [METHOD.lockRenew, (node, a) => node.locks.renew(name(a[2]), holder(a[3]), options(a[4], OPTIONS.call))],
  [METHOD.lockRelease, (node, a) => node.locks.release(name(a[2]), holder(a[3]), options(a[4], OPTIONS.mutation))],
  [METHOD.lockGet, (node, a) => node.locks.get(name(a[2]), options(a[3], OPTIONS.call))],
  [METHOD.lockList, (node, a) => node.locks.list(options(a[2], OPTIONS.after))],
  [METHOD.lockBreak, (node, a) => node.locks.break(name(a[2]), options(a[3], OPTIONS.mutation))],

  [
    METHOD.electionProclaim,
    (node, a) => {
      const proclamation = { token: number(a[3], 'token'), value: text(a[4], 'value') };
      return node.elections.proclaim(name(a[2]), proclamation, options(a[5], OPTIONS.mutation));
    },
  ],
  [
    METHOD.electionResign,
    (node, a) => node.elections.resign(name(a[2]), { token: number(a[3], 'token') }, options(a[4], OPTIONS.mutation)),
  ],
  [METHOD.electionGet, (node, a) => node.elections.get(name(a[2]), options(a[3], OPTIONS.call))],

  [METHOD.barrierGet, (node, a) => node.barriers.get(name(a[2]), options(a[3], OPTIONS.call))],

  [
    METHOD.counterAdd,
    (node, a) => node.counters.add(name(a[2]), number(a[3], 'delta'), options(a[4], OPTIONS.mutation)),
  ],
  [METHOD.counterGet, (node, a) => node.counters.get(name(a[2]), options(a[3], OPTIONS.call))],
  [METHOD.counterDelete, (node, a) => node.counters.delete(name(a[2]), options(a[3], OPTIONS.mutation))],

  [METHOD.memberList, (node, a) => node.members.list(options(a[2], OPTIONS.call))],
  [METHOD.createToken, (node, a) => node.members.createToken(options(a[2], OPTIONS.token))],
] as readonly (readonly [number, (node: RemoteTarget, a: readonly unknown[]) => Promise<unknown>])[]);

/** Entries as arrays: there may be a thousand. */
function encodeList({ revision, entries, count, nextCursor }: ListAnswer): unknown[] {
  return [revision, count, nextCursor, entries.map(encodeListed)];
}

function encodeListed(entry: KvEntry | KeyEntry): unknown[] {
  if ('value' in entry) return encodeEntry(entry);
  const { key, createRevision, modRevision, version, lease: held } = entry;
  return [key, createRevision, modRevision, version, held];
}
