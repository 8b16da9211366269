/**
 * What this node says of itself to peers, and whom it lets in: first members while a cluster comes into being, members and those who would join once it is there, and callers that are neither.
 */
import type { GroupStore } from '../storage/types.ts';
import { PROTOCOL_VERSION } from '../transport/limits.ts';
import type { Hello, PeerCredential, Verdict } from '../transport/types.ts';
import { isAgent } from './agents.ts';
import { judgeClient, judgeHello, judgeProtocol } from './admission.ts';
import type { Bootstrap } from './bootstrap.ts';
import type { Identity } from './identity.ts';
import type { Joining } from './joining.ts';
import { joinRoleOf } from './join-frames.ts';
import type { MemberMap } from '../machine/members.ts';
import type { PeerMemory } from './peer-memory.ts';
import { isClient } from './remote/server.ts';

export interface DoorkeeperOptions {
  readonly name: string;
  readonly identity: Identity;
  /** Tells this process from the one before and the one after it. */
  readonly process: string;
  readonly pid: number;
  /** By number. */
  readonly groups: ReadonlyMap<number, GroupStore>;
  readonly bootstrap: Bootstrap;
  /** Set on a node that is to join a running cluster. */
  readonly joining: Joining | null;
  readonly memory: PeerMemory;
  readonly address: () => string;
  readonly http: () => string;
  /** As the state machine has them; null before this node has joined. */
  readonly members: () => MemberMap | null;
  readonly judgeCaller: (hello: Hello) => Verdict;
}

/** More do not come to be members at a time. */
const MAX_ASKING = 256;

export class Doorkeeper {
  readonly #options: DoorkeeperOptions;
  /**
   * By member: the process that was admitted last. What it says of its disk may be older than what it has acknowledged since, when its hello lay unread while another
   * link was up: then it is to say it again.
   */
  readonly #admitted = new Map<string, string>();
  /** The same of those that were asking to be let in, who may have become members by the time that an older hello of theirs comes; the last of them. */
  readonly #asking = new Map<string, string>();

  constructor(options: DoorkeeperOptions) {
    this.#options = options;
  }

  hello(): Hello {
    const { name, identity, bootstrap, joining, groups, process, pid, address, http } = this.#options;
    const clusterId = bootstrap.map?.clusterId ?? null;
    const lastIndex = Object.fromEntries([...groups].map(([group, { log }]) => [group, log.lastIndex()]));
    return {
      clusterId,
      id: identity.id,
      name,
      peerId: identity.peerId,
      bootEpoch: identity.bootEpoch,
      address: address(),
      http: http(),
      pid,
      protocol: PROTOCOL_VERSION,
      extra: {
        bootstrap: bootstrap.facts(),
        lastIndex,
        process,
        ...(clusterId === null && joining !== null ? { join: joining.role, role: joining.role } : {}),
      },
    };
  }

  admit(hello: Hello, credential: PeerCredential): Verdict {
    const { bootstrap, joining, judgeCaller } = this.#options;
    const { map } = bootstrap;
    const known = this.#options.members();
    const members = known === null || known.members.length === 0 ? (map?.members ?? []) : known.members;
    // It goes on to ask others, and may come again.
    if (credential.type === 'token' && map === null && joinRoleOf(hello) !== null) return NOT_FORMED;
    // A ticket opens the door once, to ask to be let in; whoever belongs here has the secret.
    if (credential.type === 'token' && (map === null || hello.clusterId !== null || joinRoleOf(hello) === null)) {
      const message = `a join token is for a node that joins a formed cluster: ${hello.name} needs the secret`;
      return { ok: false, code: 'ERR_BAD_TOKEN', message };
    }
    if (isClient(hello)) {
      return judgeClient({ clusterId: map?.clusterId ?? null, members }, hello) ?? judgeCaller(hello);
    }
    const process = hello.extra['process'];
    if (map === null) {
      const verdict =
        judgeProtocol(hello) ??
        (joining !== null ? joining.judge(hello) : joinRoleOf(hello) !== null ? NOT_FORMED : bootstrap.judge(hello));
      if (verdict.ok && typeof process === 'string') this.#admitted.set(hello.id, process);
      return verdict;
    }
    const verdict = judgeHello(
      {
        clusterId: map.clusterId,
        members,
        removed: known?.removed ?? [],
        remembered: (id) => this.#options.memory.get(id),
      },
      hello,
    );
    if (!verdict.ok) {
      const same = [this.#admitted, this.#asking].some((of) => of.get(hello.id) === process);
      if (verdict.code !== 'ERR_MEMBER_REPLACED' || typeof process !== 'string' || !same) return verdict;
      const message = `what ${hello.name} says of its disk is older than what it has acknowledged since: dial again`;
      return { ok: false, code: 'ERR_UNAVAILABLE', message };
    }
    // Agents promise nothing, and there is no end of them.
    if (isAgent(hello)) return verdict;
    // A node that only asks to be let in has promised nothing yet, and may be wiped and come again.
    if (hello.clusterId === null) {
      if (typeof process === 'string') this.#noteAsking(hello.id, process);
      return verdict;
    }
    this.#options.memory.noteEpoch(hello.id, hello.bootEpoch);
    if (typeof process === 'string') this.#admitted.set(hello.id, process);
    return verdict;
  }

  #noteAsking(id: string, process: string): void {
    this.#asking.delete(id);
    this.#asking.set(id, process);
    const [oldest] = this.#asking.keys();
    if (this.#asking.size > MAX_ASKING && oldest !== undefined) this.#asking.delete(oldest);
  }

  /** Identities that never come back need not be known again. */
  forget(id: string): void {
    this.#admitted.delete(id);
    this.#asking.delete(id);
    this.#options.memory.forget(id);
  }
}

const NOT_FORMED: Verdict = {
  ok: false,
  code: 'ERR_UNAVAILABLE',
  message: 'this node belongs to no cluster yet: a node can join by it when it does',
};
