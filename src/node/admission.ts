/** Whom a member of a formed cluster lets in. Pure: the transport asks after a peer has proved the cluster secret. */
import type { MemberRecord, RemovedMember } from '../machine/types.ts';
import { PROTOCOL_VERSION } from '../transport/limits.ts';
import type { Hello, Verdict } from '../transport/types.ts';
import { replaced } from './bootstrap-decision.ts';
import { joinRoleOf } from './join-frames.ts';
import { wasRemoved } from './member-changes.ts';
import type { PeerRecord } from './peer-memory.ts';

export interface AdmissionContext {
  readonly clusterId: string;
  /** Members as this node knows them now: the first map, or what the state machine has. */
  readonly members: readonly MemberRecord[];
  readonly removed: readonly RemovedMember[];
  /** What is remembered of the peer, when anything is. */
  remembered(id: string): PeerRecord | undefined;
}

/** `Hello.extra.lastIndex`: by group, the last index in the log of who says it. Without it age is judged by the boot epoch alone. */
export type LastIndexes = Readonly<Record<string, number>>;

/** Hello of another wire format; asked first, because nothing else in it can be relied on. Null when it is ours. */
export function judgeProtocol(hello: Hello): Verdict | null {
  if (hello.protocol === PROTOCOL_VERSION) return null;
  const [older, newer] = hello.protocol < PROTOCOL_VERSION ? [hello.name, 'this node'] : ['this node', hello.name];
  return refusal(
    'ERR_WRONG_PROTOCOL',
    `${hello.name} speaks version ${hello.protocol} of the protocol, this node version ${PROTOCOL_VERSION}: upgrade ${older} to the version of ${newer}`,
  );
}

/** Hello of one that wants to be no member, only to call: whom else the secret lets in. Null: nothing speaks against it. */
export function judgeClient(
  { clusterId, members }: Pick<AdmissionContext, 'members'> & { readonly clusterId: string | null },
  hello: Hello,
): Verdict | null {
  const protocol = judgeProtocol(hello);
  if (protocol !== null) return protocol;
  if (hello.clusterId !== null && hello.clusterId !== clusterId) {
    return refusal('ERR_WRONG_CLUSTER', `${hello.name} wants to call cluster ${hello.clusterId}, this is another one`);
  }
  const member = members.find(({ name, peerId }) => name === hello.name || peerId === hello.peerId);
  if (member === undefined) return null;
  return refusal('ERR_FORBIDDEN', `${member.name} is a member: a client has a name and a key of its own`);
}

export function judgeHello(context: AdmissionContext, hello: Hello): Verdict {
  const protocol = judgeProtocol(hello);
  if (protocol !== null) return protocol;
  const { clusterId, members } = context;
  // Another cluster's n1 is no wiped n1 of ours: whose it says that it is comes first.
  if (hello.clusterId !== null && hello.clusterId !== clusterId) {
    return refusal(
      'ERR_WRONG_CLUSTER',
      `${hello.name} belongs to cluster ${hello.clusterId}, this is cluster ${clusterId}: check the addresses of peers, and give each cluster ` +
        'its own secret. If it is to join this cluster, start it with an empty data directory',
    );
  }
  const gone = context.removed.find(({ id }) => id === hello.id);
  if (gone !== undefined) {
    const { code, message } = wasRemoved(gone);
    return refusal(code, message);
  }
  const member = members.find((one) => one.peerId === hello.peerId);
  if (member !== undefined) {
    if (member.name === hello.name) return judgeAge(context.remembered(hello.id), hello);
    return refusal(
      'ERR_MEMBER_REPLACED',
      `this peer id belongs to the member ${member.name}, but the node calls itself ${hello.name}: start it under its own name`,
    );
  }
  // A peer of this cluster that this node does not know: it was added, and this node has not heard of it yet. The core decides by term, never by
  // its own configuration, which may be the stale one (Raft §6).
  if (hello.clusterId !== null) return judgeAge(context.remembered(hello.id), hello);
  // Whether it becomes a member is decided where members are: at the leader, when it asks.
  if (joinRoleOf(hello) !== null) return { ok: true };
  const named = members.find((one) => one.name === hello.name);
  if (named !== undefined) {
    const { code, message } = replaced(hello.name, named.peerId, hello.peerId);
    return refusal(code, message);
  }
  const names = members.map(({ name }) => name).join(', ');
  return refusal(
    'ERR_BOOTSTRAP_CONFLICT',
    `cluster ${clusterId} is formed already, of ${names}; ${hello.name} is not among them: give it the initial cluster of its own ` +
      'cluster, or start it with --join to have it added to this one',
  );
}

/** An old copy of a member's disk has forgotten votes and acknowledgements: it must not count as that member. */
function judgeAge(remembered: PeerRecord | undefined, hello: Hello): Verdict {
  if (remembered === undefined) return { ok: true };
  if (hello.bootEpoch < remembered.bootEpoch) {
    return oldCopy(hello.name, `boot ${hello.bootEpoch}`, `boot ${remembered.bootEpoch}`);
  }
  const given = hello.extra['lastIndex'];
  if (typeof given !== 'object' || given === null) return { ok: true };
  const indexes = new Map<string, unknown>(Object.entries(given));
  for (const [group, index] of Object.entries(remembered.indexes)) {
    const theirs = indexes.get(group);
    const last = typeof theirs === 'number' ? theirs : 0;
    if (last < index) {
      return oldCopy(hello.name, `entry ${last} of group ${group}`, `entry ${index}, which it had acknowledged`);
    }
  }
  return { ok: true };
}

function oldCopy(name: string, found: string, expected: string): Verdict {
  return refusal(
    'ERR_MEMBER_REPLACED',
    `the data directory of ${name} is an old copy: it ends with ${found}, and was here before with ${expected}. It may have forgotten votes ` +
      `and acknowledged entries. If the newer data directory still exists, start ${name} with it; otherwise empty it, and start ${name} with --join and ` +
      `--replace ${name}, to take its own place as a new member`,
  );
}

function refusal(code: string, message: string): Verdict {
  return { ok: false, code, message };
}
