/**
 * Whom this node keeps links to, by the configuration in force: every member is dialled at its address, a newcomer as soon as its entry is in the log, since without a link it would never
 * have it. Who was removed is told so, once that is committed and it has had time to hear it from the log.
 */
import type { MemberMap } from '../machine/members.ts';
import type { NodeId } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import type { Transport } from '../transport/types.ts';
import type { Environment } from './env.ts';
import { contactsOf } from './join-frames.ts';
import type { LinkPool } from './links.ts';
import { loadContacts, stageContacts } from './join-records.ts';
import { wasRemoved } from './member-changes.ts';

export interface RosterOptions {
  readonly env: Environment;
  readonly store: Store;
  readonly transport: Transport;
  readonly links: LinkPool;
  readonly ownId: NodeId;
  /** Addresses of the first members: where to begin when nothing newer is known. */
  readonly first: readonly string[];
  readonly electionTimeoutMs: number;
  /** Something was staged for the next commit. */
  readonly staged: () => void;
}

/** A removed member hears of it from the log, for two election time-outs (ADR 0009), unless it lags or is cut off: then it is told by the door. */
const MIN_PARTING_MS = 3000;

export class Roster {
  readonly #options: RosterOptions;
  readonly #dialled = new Set<string>();
  /** Members, by the configuration in force. */
  #members: ReadonlySet<NodeId> = new Set();
  readonly #parting = new Map<NodeId, () => void>();
  #contacts: readonly string[];
  #closed = false;

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#contacts = loadContacts(options.store);
  }

  /** `force`: members as the configuration in force says; `committed`: as the applied one says. */
  update(inForce: MemberMap, committed: MemberMap): void {
    if (this.#closed) return;
    const { ownId, first } = this.#options;
    this.#members = new Set(inForce.members.map(({ id }) => id));
    const known = contactsOf(inForce.members, ownId);
    // A node that has no configuration yet looks for those that it was told of.
    if (inForce.members.length === 0) this.#dial([...this.#contacts, ...first]);
    else this.#dial(known);
    if (committed.members.length > 0) this.#note(contactsOf(committed.members, ownId));
    for (const removed of committed.removed) this.#part(removed.id, wasRemoved(removed).message);
  }

  /** True for those whom links are kept to. */
  has(id: NodeId): boolean {
    return this.#members.has(id);
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#parting.values()) cancel();
    this.#parting.clear();
  }

  #dial(addresses: readonly string[]): void {
    const { links } = this.#options;
    for (const address of addresses) {
      if (this.#dialled.has(address)) continue;
      this.#dialled.add(address);
      links.keep(address);
    }
    for (const address of this.#dialled) {
      if (addresses.includes(address)) continue;
      this.#dialled.delete(address);
      links.release(address);
    }
  }

  #note(contacts: readonly string[]): void {
    if (contacts.length === 0 || contacts.join() === this.#contacts.join()) return;
    this.#contacts = contacts;
    stageContacts(this.#options.store, contacts);
    this.#options.staged();
  }

  #part(id: NodeId, message: string): void {
    const { electionTimeoutMs, env, transport, ownId } = this.#options;
    if (id === ownId || this.#parting.has(id) || transport.peer(id) === undefined) return;
    const cancel = env.after(Math.max(MIN_PARTING_MS, 3 * electionTimeoutMs), () => {
      this.#parting.delete(id);
      transport.drop(id, 'ERR_MEMBER_REMOVED', message);
    });
    this.#parting.set(id, cancel);
  }
}
