/** Whom an agent has a link with: whoever belongs to its cluster. It lets nobody in, and serves nobody. */
import type { Hello, PeerCredential, Verdict } from '../../transport/types.ts';
import { judgeProtocol } from '../admission.ts';
import type { Joining } from '../joining.ts';
import { isClient } from '../remote/server.ts';

export interface AgentStanding {
  /** Null until it was let in. */
  readonly clusterId: string | null;
  /** Set on one that is to be let in, or was in this life. */
  readonly joining: Pick<Joining, 'judge'> | null;
}

export function judgePeer({ clusterId, joining }: AgentStanding, hello: Hello, credential: PeerCredential): Verdict {
  const protocol = judgeProtocol(hello);
  if (protocol !== null) return protocol;
  if (isClient(hello)) return refusal('ERR_FORBIDDEN', 'an agent serves no callers: call a member');
  if (clusterId === null) return joining?.judge(hello) ?? { ok: true };
  // Its token may be good all the same: it goes on to ask the others.
  if (hello.clusterId === null) return refusal('ERR_UNAVAILABLE', 'an agent lets nobody in: ask a member');
  // It would be taken for a member otherwise, and given what is the members' to know.
  if (credential.type === 'token') {
    return refusal('ERR_BAD_TOKEN', 'an agent lets nobody in who has a join token only');
  }
  if (hello.clusterId === clusterId) return { ok: true };
  const { name, clusterId: theirs } = hello;
  return refusal('ERR_WRONG_CLUSTER', `${name} belongs to cluster ${theirs}, this is cluster ${clusterId}`);
}

function refusal(code: string, message: string): Verdict {
  return { ok: false, code, message };
}
