/** Members of a fake node: a table, with the rules that the HTTP contract shows. Nobody waits: a learner has caught up when the test says so. */
import { KvorumError } from '../../src/errors.ts';
import type {
  CallOptions,
  JoinToken,
  JoinTokenOptions,
  MemberAnswer,
  MemberInfo,
  Members,
  NewMember,
} from '../../src/node/types.ts';
import { textOfMembers } from '../../src/node/member-service.ts';
import { Observation } from '../../src/node/observation.ts';
import type { Enter } from './fake-coordination.ts';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

export class FakeMembers implements Members {
  /** Names of learners that lag. */
  readonly behind = new Set<string>();
  /** Aborted: the node closes. */
  readonly closed = new AbortController();
  readonly #watchers = new Set<() => void>();
  readonly #enter: Enter;
  readonly #members: MemberInfo[];
  readonly #removedPeers = new Set<string>();
  #nextId = 102;

  constructor(enter: Enter, first: MemberInfo) {
    this.#enter = enter;
    this.#members = [first];
  }

  get current(): readonly MemberInfo[] {
    return this.#members;
  }

  list(options?: CallOptions): Promise<readonly MemberInfo[]> {
    return this.#call('members.list', [], options, () => [...this.#members]);
  }

  watch(options: { readonly signal?: AbortSignal } = {}): Observation<readonly MemberInfo[]> {
    return new Observation<readonly MemberInfo[]>({
      begin: async () => void (await this.list(options)),
      read: () => [...this.#members],
      text: textOfMembers,
      subscribe: (changed) => {
        this.#watchers.add(changed);
        return () => this.#watchers.delete(changed);
      },
      signals: options.signal === undefined ? [this.closed.signal] : [options.signal, this.closed.signal],
    });
  }

  /** Somebody else is seen so from now on. */
  show(name: string, change: Partial<MemberInfo>): void {
    const found = this.#find(name);
    this.#members[this.#members.indexOf(found)] = { ...found, ...change };
    for (const changed of this.#watchers) changed();
  }

  add(member: NewMember, options?: CallOptions): Promise<MemberAnswer> {
    return this.#call('members.add', [member], options, () => {
      const { name, peerId, address, replaces } = member;
      const same = this.#members.find((one) => one.name === name || one.peerId === peerId);
      if (same?.name === name && same.peerId === peerId) return answerOf(same);
      if (this.#removedPeers.has(peerId)) throw new KvorumError('ERR_MEMBER_REMOVED', `${peerId} was removed`);
      const old = replaces === undefined ? undefined : this.#find(replaces);
      if (same !== undefined && same !== old) throw new KvorumError('ERR_MEMBER_EXISTS', `${name} is a member`);
      const added: MemberInfo = {
        id: String(this.#nextId++),
        name,
        peerId,
        role: 'learner',
        addresses: [address],
        http: null,
        pid: null,
        health: 'suspect',
        matchIndex: null,
        appliedIndex: null,
        metadata: null,
        incarnation: null,
      };
      if (old !== undefined) this.#drop(old);
      this.#members.push(added);
      return answerOf(added);
    });
  }

  promote(member: string, options?: CallOptions): Promise<MemberAnswer> {
    return this.#call('members.promote', [member], options, () => {
      const found = this.#find(member);
      this.#checkCaughtUp(found);
      return answerOf(this.#become(found, 'voter'));
    });
  }

  demote(member: string, options?: CallOptions): Promise<MemberAnswer> {
    return this.#call('members.demote', [member], options, () => {
      const found = this.#find(member);
      this.#checkNotLast(found);
      return answerOf(this.#become(found, 'learner'));
    });
  }

  replace(member: string, by: string, options?: CallOptions): Promise<MemberAnswer> {
    return this.#call('members.replace', [member, by], options, () => {
      const [old, other] = [this.#find(member), this.#find(by)];
      this.#checkCaughtUp(other);
      this.#drop(old);
      return answerOf(this.#become(other, 'voter'));
    });
  }

  remove(member: string, options?: CallOptions): Promise<{ readonly removed: boolean }> {
    return this.#call('members.remove', [member], options, () => {
      const found = this.#members.find(({ id, name }) => id === member || name === member);
      if (found === undefined) return { removed: false };
      this.#checkNotLast(found);
      this.#drop(found);
      return { removed: true };
    });
  }

  createToken(options: JoinTokenOptions = {}): Promise<JoinToken> {
    const { ttlMs = HOUR_MS, role = 'any' } = options;
    return this.#call('members.createToken', [], options, () => ({ token: `kvt-${role}`, expiresMs: NOW + ttlMs }));
  }

  async #call<T>(method: string, args: unknown[], options: CallOptions | undefined, answer: () => T): Promise<T> {
    const scripted = await this.#enter(method, args, options ?? {});
    return scripted === undefined ? answer() : (scripted as T);
  }

  #find(member: string): MemberInfo {
    const found = this.#members.find(({ id, name }) => id === member || name === member);
    if (found === undefined) throw new KvorumError('ERR_NOT_FOUND', `there is no member "${member}"`);
    return found;
  }

  #become(member: MemberInfo, role: 'voter' | 'learner'): MemberInfo {
    const changed = { ...member, role };
    this.#members[this.#members.indexOf(member)] = changed;
    return changed;
  }

  #drop(member: MemberInfo): void {
    this.#removedPeers.add(member.peerId);
    this.#members.splice(this.#members.indexOf(member), 1);
  }

  #checkCaughtUp({ name }: MemberInfo): void {
    if (this.behind.has(name)) throw new KvorumError('ERR_NOT_CAUGHT_UP', `${name} has not caught up`);
  }

  #checkNotLast(member: MemberInfo): void {
    const others = this.#members.filter((one) => one !== member && one.role === 'voter');
    if (others.length === 0) throw new KvorumError('ERR_LAST_VOTER', `${member.name} is the last voter`);
  }
}

function answerOf({ id, name, role }: MemberInfo): MemberAnswer {
  return { id, name, role: role === 'voter' ? 'voter' : 'learner' };
}
