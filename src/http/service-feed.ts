/**
 * Services as streams tell of them. All streams of a service on this node share what they tell: one watch, one list of its instances, one piece of JSON a change; each of
 * them costs a number. What changes several times before a stream has room is told once, as it is then.
 */
import { Buffer } from 'node:buffer';

import { textOfByteKey } from '../client/bytes.ts';
import { listedAnew } from '../client/listing.ts';
import { servicePrefix } from '../client/services/instance.ts';
import type { ServiceView, StoredInstance } from '../client/services/instance.ts';
import { Roster } from '../client/services/roster.ts';
import type { KvEntry } from '../kv/types.ts';
import type { Watch } from '../node/coordination.ts';
import type { CallOptions, KvorumNode, ListAnswer, ListOptions } from '../node/types.ts';
import type { EventSource } from './event-stream.ts';

const PAGE = 1000;

/** A key that is not UTF-8 is nobody's: '' is none either. */
export function storedOf(entry: KvEntry): StoredInstance {
  return { ...entry, key: textOfByteKey(entry.key) ?? '' };
}

/** All pages of a list, of one revision. */
export async function* pagesOf(
  node: KvorumNode,
  options: Omit<ListOptions, 'limit' | 'cursor'>,
): AsyncGenerator<ListAnswer, undefined> {
  let page = await node.list({ ...options, limit: PAGE });
  for (;;) {
    yield page;
    if (page.nextCursor === null) return undefined;
    page = await node.list({ ...options, limit: PAGE, cursor: page.nextCursor });
  }
}

/** The instances of a service, in one revision. Rejects ERR_TOO_LARGE for more than 10,000 of them. */
export async function rosterOf(
  node: KvorumNode,
  name: string,
  options: Pick<ListOptions, 'timeoutMs' | 'signal' | 'consistency'>,
): Promise<Roster> {
  return listedAnew(async () => {
    const roster = new Roster(name);
    for await (const { revision, entries } of pagesOf(node, { ...options, prefix: servicePrefix(name) })) {
      roster.add(
        revision,
        entries.map((entry) => storedOf(entry as KvEntry)),
      );
    }
    return roster;
  });
}

export function serviceJson({ name, revision, instances }: ServiceView): string {
  return `{"name":${JSON.stringify(name)},"revision":${revision},"instances":${instancesJson(instances)}}`;
}

function instancesJson(instances: ServiceView['instances']): string {
  return JSON.stringify(
    instances.map(
      ({ instance, address, version, weight, metadata, status, note, node, lease, createRevision, modRevision }) => ({
        ...{ instance, address, version, weight, metadata, status, note, node },
        ...{ lease, createRevision, modRevision },
      }),
    ),
  );
}

/** What is told to those who want all instances, or the passing ones only. */
interface Telling {
  instances: string;
  frame: Buffer;
  /** Of its changes. */
  number: number;
}

class Feed {
  readonly #roster: Roster;
  readonly #watch: Watch;
  readonly #tellings = new Map<boolean, Telling>();
  readonly #resting = new Set<() => void>();
  #listening = false;
  #closed = false;
  #failure: { readonly thrown: unknown } | null = null;
  /** Streams, and those who are about to be. */
  users = 0;

  constructor(roster: Roster, watch: Watch) {
    this.#roster = roster;
    this.#watch = watch;
  }

  /** Throws what ended the watch. */
  telling(passing: boolean): Telling {
    this.#catchUp();
    if (this.#failure !== null) throw this.#failure.thrown;
    let telling = this.#tellings.get(passing);
    if (telling === undefined) {
      telling = this.#tell(this.#roster.view(passing), 1);
      this.#tellings.set(passing, telling);
    }
    return telling;
  }

  /** Calls `wake` once, when there may be more. */
  rest(wake: () => void): void {
    this.#resting.add(wake);
    if (this.#listening) return;
    this.#listening = true;
    this.#watch.changed(() => {
      this.#listening = false;
      this.#catchUp();
      const resting = [...this.#resting];
      this.#resting.clear();
      for (const each of resting) each();
    });
  }

  leave(wake: () => void): void {
    this.#resting.delete(wake);
  }

  /** Nothing will be told any more. */
  get over(): boolean {
    return this.#closed || this.#failure !== null;
  }

  close(): void {
    this.#closed = true;
    this.#watch.close();
  }

  #catchUp(): void {
    if (this.#failure !== null) return;
    try {
      let changed = false;
      for (let batch = this.#watch.poll(); batch !== null; batch = this.#watch.poll()) {
        if (batch.events.length === 0) continue;
        changed = true;
        const events = batch.events.map(({ type, entry }) => ({ ...storedOf(entry), type }));
        this.#roster.apply(batch.revision, events);
      }
      if (!changed) return;
      for (const [passing, telling] of this.#tellings) {
        const view = this.#roster.view(passing);
        if (instancesJson(view.instances) === telling.instances) continue;
        this.#tellings.set(passing, this.#tell(view, telling.number + 1));
      }
    } catch (thrown) {
      this.#failure = { thrown };
    }
  }

  #tell(view: ServiceView, number: number): Telling {
    const frame = Buffer.from(`data: ${serviceJson(view)}\n\n`);
    return { instances: instancesJson(view.instances), frame, number };
  }
}

/** The feeds of a node, each for as long as somebody uses it. */
class Feeds {
  readonly #node: KvorumNode;
  readonly #open = new Map<string, Promise<Feed>>();

  constructor(node: KvorumNode) {
    this.#node = node;
  }

  /** Resolves when it knows everything that was written before this call. */
  async enter(name: string, options: CallOptions): Promise<Feed> {
    const known = this.#open.get(name);
    if (known !== undefined) {
      // This node may be behind: from here on it is not.
      const [feed] = await Promise.all([
        known.catch(() => null),
        this.#node.list({ ...options, prefix: servicePrefix(name), countOnly: true }),
      ]);
      if (feed !== null && !feed.over && this.#open.get(name) === known) {
        feed.users++;
        return feed;
      }
    }
    const opening = this.#start(name, options);
    this.#open.set(name, opening);
    try {
      const feed = await opening;
      feed.users++;
      return feed;
    } catch (error) {
      if (this.#open.get(name) === opening) this.#open.delete(name);
      throw error;
    }
  }

  leave(name: string, feed: Feed): void {
    if (--feed.users > 0) return;
    feed.close();
    void this.#forget(name, feed);
  }

  async #forget(name: string, feed: Feed): Promise<void> {
    const known = this.#open.get(name);
    if (known === undefined || (await known.catch(() => null)) !== feed || feed.users > 0) return;
    if (this.#open.get(name) === known) this.#open.delete(name);
  }

  async #start(name: string, options: CallOptions): Promise<Feed> {
    const roster = await rosterOf(this.#node, name, options);
    const { timeoutMs } = options;
    const watch = await this.#node.watch({
      prefix: servicePrefix(name),
      from: roster.revision + 1,
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
    return new Feed(roster, watch);
  }
}

const feeds = new WeakMap<KvorumNode, Feeds>();

/** What one stream tells. Resolves when it begins with what is, linearizably. */
export async function openServiceSource(
  node: KvorumNode,
  name: string,
  passing: boolean,
  options: CallOptions,
): Promise<EventSource> {
  let all = feeds.get(node);
  if (all === undefined) {
    all = new Feeds(node);
    feeds.set(node, all);
  }
  return new ServiceSource(all, name, await all.enter(name, options), passing);
}

class ServiceSource implements EventSource {
  readonly #feeds: Feeds;
  readonly #name: string;
  readonly #feed: Feed;
  readonly #passing: boolean;
  #told = 0;
  #wake: (() => void) | null = null;
  #closed = false;

  constructor(all: Feeds, name: string, feed: Feed, passing: boolean) {
    this.#feeds = all;
    this.#name = name;
    this.#feed = feed;
    this.#passing = passing;
  }

  take(): Buffer | null {
    const { frame, number } = this.#feed.telling(this.#passing);
    if (number === this.#told) return null;
    this.#told = number;
    return frame;
  }

  rest(wake: () => void): void {
    this.#wake = wake;
    this.#feed.rest(wake);
  }

  beat(): null {
    return null;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#wake !== null) this.#feed.leave(this.#wake);
    this.#feeds.leave(this.#name, this.#feed);
  }
}
