/** `node.members`: what callers give is checked here, and becomes a wish that the leader fulfils. */
import { peerIdFromString } from '@libp2p/peer-id';
import { KvorumError } from '../errors.ts';
import { createJoinToken } from '../transport/join-token.ts';
import { memberId } from '../transport/peer-id.ts';
import { checkTimeout, invalid } from './calls.ts';
import type { CallOptions } from './call-types.ts';
import { isJoinRole } from './join-frames.ts';
import type { Newcomer } from './member-changes.ts';
import type { MemberChanged, MemberOperation } from './member-frames.ts';
import type { JoinToken, JoinTokenOptions, MemberAnswer, MemberInfo, Members, NewMember } from './member-types.ts';
import { Observation } from './observation.ts';
import { isAddress, isName } from './options.ts';

export interface MemberServiceOptions {
  call(operation: MemberOperation, timeoutMs: number, signal?: AbortSignal): Promise<MemberChanged>;
  /** Rejects while there is nothing to tell. */
  list(): Promise<readonly MemberInfo[]>;
  /** What `list` gives, now. */
  current(): readonly MemberInfo[];
  /** Calls back when it may be another; gives what ends that. */
  subscribe(changed: () => void): () => void;
  /** Aborted when the node closes. */
  readonly closed: AbortSignal;
  /** Null: a cluster of one without a secret. */
  secret(): string | null;
  clusterId(): string;
  wallTime(): number;
  /** Uniform in [0, 1). */
  random(): number;
}

const MAX_TEXT = 128;
const DEFAULT_TOKEN_MS = 3_600_000;
const MIN_TOKEN_MS = 1000;
const MAX_TOKEN_MS = 30 * 86_400_000;
const NONCE_BYTES = 16;

export class MemberService implements Members {
  readonly #options: MemberServiceOptions;

  constructor(options: MemberServiceOptions) {
    this.#options = options;
  }

  async add(member: NewMember, options?: CallOptions): Promise<MemberAnswer> {
    return answered(await this.#call({ type: 'add', member: checkMember(member) }, options));
  }

  async promote(member: string, options?: CallOptions): Promise<MemberAnswer> {
    return answered(await this.#call({ type: 'promote', member: checkText('member', member) }, options));
  }

  async demote(member: string, options?: CallOptions): Promise<MemberAnswer> {
    return answered(await this.#call({ type: 'demote', member: checkText('member', member) }, options));
  }

  async replace(member: string, by: string, options?: CallOptions): Promise<MemberAnswer> {
    const operation = { type: 'replace', member: checkText('member', member), by: checkText('by', by) } as const;
    return answered(await this.#call(operation, options));
  }

  async remove(member: string, options?: CallOptions): Promise<{ readonly removed: boolean }> {
    const { changed } = await this.#call({ type: 'remove', member: checkText('member', member) }, options);
    return { removed: changed };
  }

  async list({ signal }: CallOptions = {}): Promise<readonly MemberInfo[]> {
    signal?.throwIfAborted();
    return await this.#options.list();
  }

  watch({ signal }: { readonly signal?: AbortSignal } = {}): Observation<readonly MemberInfo[]> {
    const { closed } = this.#options;
    return new Observation<readonly MemberInfo[]>({
      begin: async () => void (await this.#options.list()),
      read: () => this.#options.current(),
      text: textOfMembers,
      subscribe: (changed) => this.#options.subscribe(changed),
      signals: signal === undefined ? [closed] : [signal, closed],
    });
  }

  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async createToken({ ttlMs = DEFAULT_TOKEN_MS, role }: JoinTokenOptions = {}): Promise<JoinToken> {
    const options = this.#options;
    if (!Number.isInteger(ttlMs) || ttlMs < MIN_TOKEN_MS || ttlMs > MAX_TOKEN_MS) {
      throw invalid(`ttlMs must be a whole number from ${MIN_TOKEN_MS} to ${MAX_TOKEN_MS}, not ${String(ttlMs)}`);
    }
    if (role !== undefined && !isJoinRole(role))
      throw invalid(`role must be voter, learner or agent, not ${String(role)}`);
    const key = options.secret();
    if (key === null) {
      throw new KvorumError('ERR_FORBIDDEN', 'a cluster without a secret has no peers: nobody can join it');
    }
    const cluster = options.clusterId();
    if (cluster === '') throw new KvorumError('ERR_NO_LEADER', 'the node has not joined its cluster yet');
    const expiresMs = Math.floor(options.wallTime()) + ttlMs;
    // It keeps two tokens apart, and is no secret: the key follows from the secret of the cluster.
    const nonce = Uint8Array.from({ length: NONCE_BYTES }, () => Math.floor(options.random() * 256));
    const token = createJoinToken({ secret: key, clusterId: cluster, expiresMs, role: role ?? null, nonce });
    return { token, expiresMs };
  }

  async #call(operation: MemberOperation, options: CallOptions = {}): Promise<MemberChanged> {
    return await this.#options.call(operation, checkTimeout(options.timeoutMs), options.signal);
  }
}

/** What tells two lists apart: all but how far each is in the log, which never rests. */
export function textOfMembers(members: readonly MemberInfo[]): string {
  return JSON.stringify(members.map((member) => ({ ...member, matchIndex: null, appliedIndex: null })));
}

function answered({ id, name, role }: MemberChanged): MemberAnswer {
  return { id, name, role };
}

function checkText(what: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= MAX_TEXT) return value;
  throw invalid(`${what} must be the id or name of a member`);
}

function checkMember({ name, peerId, address, role = 'voter', replaces }: NewMember): Newcomer {
  if (typeof name !== 'string' || !isName(name)) {
    throw invalid(`name must be 1 to 63 letters, digits, '-', '_' or '.', not ${JSON.stringify(name)}`);
  }
  if (typeof address !== 'string' || !isAddress(address, false)) {
    throw invalid(`address must be HOST:PORT, not ${JSON.stringify(address)}`);
  }
  if (role !== 'voter' && role !== 'learner') throw invalid(`role must be voter or learner, not ${String(role)}`);
  const replaced = replaces === undefined ? null : checkText('replaces', replaces);
  return { id: idOf(peerId), name, peerId, address, role, replaces: replaced };
}

function idOf(peerId: unknown): string {
  try {
    if (typeof peerId === 'string' && peerId.length <= MAX_TEXT) return memberId(peerIdFromString(peerId));
  } catch (cause) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `peerId is no libp2p peer id: ${JSON.stringify(peerId)}`, { cause });
  }
  throw invalid('peerId must be a libp2p peer id, as the node shows when it starts');
}
