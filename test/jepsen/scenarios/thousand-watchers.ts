import { createHash } from 'node:crypto';

import { connect, type Client, type Fetch } from '../../../src/client/index.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';
import { Follower, WatchRecord } from './watching.ts';

const WATCHERS = 1000;
/** Each of its own connections and nodes: those of one client go to one node, as long as that answers. */
const CLIENTS = 20;
const KILLS = 10;
const PREFIX = 'crowd/';
const KEYS = 50;
/** At once, so that one that waits for a new leader does not hold up the others; 20 writes a second in all. */
const WRITERS = 5;
const WRITE_EVERY_MS = 250;
const DOWN_MS = 1500;
/** Time to be seen to work before the next leader goes. */
const BETWEEN_MS = 1500;
const BEGIN_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 90_000;

export const thousandWatchers: Scenario = {
  number: 16,
  name: 'watchers',
  about: `${WATCHERS} watchers over the nodes see every revision once and in order, while the leader is killed ${KILLS} times under a steady write load`,
  nodes: 5,
  probe: everywhere,
  async run(stage) {
    const crowd = new Crowd(stage);
    try {
      await crowd.begin();
      for (let kill = 1; kill <= KILLS; kill++) {
        const leader = await stage.leader();
        await leader.kill('SIGKILL');
        const [killedAt, before] = [performance.now(), crowd.record.lastRevision];
        // Of those that were under way some answers may still be read.
        await stage.until(() => crowd.record.lastRevision > before + WRITERS, 'writes go on');
        const backMs = performance.now() - killedAt;
        await stage.pause(DOWN_MS);
        leader.start();
        await stage.whole();
        await stage.pause(BETWEEN_MS);
        stage.say(`kill ${kill}: ${leader.name}; written again after ${Math.round(backMs)} ms; ${crowd.text()}`);
      }
      await crowd.end();
    } finally {
      await crowd.close();
    }
  },
};

/** One of many: only what is needed to say that it was told the same as the others. */
interface Member {
  upTo: number;
  events: number;
  lastAtMs: number;
  longestGapMs: number;
  /** Of all that it was told, in order. */
  digest: string;
  problem: string | null;
}

class Crowd {
  readonly record: WatchRecord;
  readonly #stage: Stage;
  readonly #clients: Client[] = [];
  readonly #members: Member[] = [];
  readonly #ended = new AbortController();
  readonly #stopWriting = new AbortController();
  #connections = 0;
  #from = 0;
  #until = Infinity;
  #reference: Follower | null = null;
  #all: Promise<unknown>[] = [];
  #writing: Promise<unknown> = Promise.resolve();

  constructor(stage: Stage) {
    this.#stage = stage;
    this.record = new WatchRecord(stage, PREFIX);
  }

  text(): string {
    const events = this.#members.reduce((sum, member) => sum + member.events, 0);
    return `${events.toLocaleString('en-US')} events so far, ${this.#reconnects} reconnects`;
  }

  async begin(): Promise<void> {
    const { lab } = this.#stage;
    const counted: Fetch = (url, init) => {
      if (url.includes('/v1/watch')) this.#connections++;
      return fetch(url, init);
    };
    for (let number = 0; number < CLIENTS; number++) {
      // Begins anywhere, so that the crowd is spread.
      this.#clients.push(
        connect(
          lab.nodes.map(({ url }) => url),
          { fetch: counted, timeout: '30s' },
        ),
      );
    }
    await this.#stage.until(async () => await this.record.write(await this.#stage.leader(), KEYS), 'a first write');
    this.#from = this.record.lastRevision;
    this.#reference = new Follower(this.record, 'the one whose stream is checked', this.#from);
    const reference = this.#reference;
    this.#all.push(reference.follow(this.#client(0), () => reference.upTo >= this.#until, this.#ended.signal));
    for (let number = 0; number < WATCHERS; number++) {
      const member: Member = {
        upTo: 0,
        events: 0,
        lastAtMs: performance.now(),
        longestGapMs: 0,
        digest: '',
        problem: null,
      };
      this.#members.push(member);
      this.#all.push(this.#follow(member, this.#client(number)));
    }
    await this.#stage.until(
      () => this.#members.every(({ events }) => events > 0),
      'every watcher is told something',
      BEGIN_TIMEOUT_MS,
    );
    for (const member of this.#members) [member.lastAtMs, member.longestGapMs] = [performance.now(), 0];
    this.#stage.say(`${WATCHERS} watchers stand`);
    this.#writing = Promise.all(Array.from({ length: WRITERS }, async () => await this.#write()));
  }

  /** The last write is told to all, and all were told the same. */
  async end(): Promise<void> {
    const stage = this.#stage;
    this.#stopWriting.abort();
    await this.#writing;
    this.#until = await stage.until(async () => await this.record.write(await stage.leader(), KEYS), 'a last write');
    const reference = this.#reference;
    if (reference === null) throw new Error('unreachable: it was begun');
    const complete = (): boolean => [...this.#members, reference].every(({ upTo }) => upTo >= this.#until);
    const all = await stage.comes(complete, END_TIMEOUT_MS);
    const behind = this.#members.filter(({ upTo }) => upTo < this.#until);
    stage.must(
      all,
      `every watcher was told of everything up to ${this.#until}${all ? '' : `; ${behind.length} were not`}`,
    );
    this.#ended.abort();
    const ends = await Promise.allSettled(this.#all);
    for (const end of ends)
      if (end.status === 'rejected') stage.must(false, `no watch ends with an error: ${String(end.reason)}`);
    const wrong = this.record.judge();
    stage.must(
      wrong === null,
      wrong ?? `one of them got ${reference.batches.length} revisions, each written one once and in order`,
    );
    const expected = reference.batches.reduce((digest, batch) => added(digest, batch.revision, batch.events), '');
    const different = this.#members.filter(({ digest }) => digest !== expected);
    const [problem] = this.#members.flatMap((member) => member.problem ?? []);
    stage.must(
      different.length === 0,
      `and all the others got the same, in the same order${different.length === 0 ? '' : `; ${different.length} did not: ${problem ?? 'something is missing'}`}`,
    );
    const events = this.#members.reduce((sum, member) => sum + member.events, 0);
    const gap = Math.max(...this.#members.map(({ longestGapMs }) => longestGapMs));
    stage.say(
      `${WATCHERS} watchers, ${KILLS} leaders killed: ${events.toLocaleString('en-US')} events of ${reference.batches.length} revisions, ` +
        `${this.#reconnects} reconnects, ${(gap / 1000).toFixed(1)} s the longest that any of them heard nothing`,
    );
  }

  async close(): Promise<void> {
    this.#ended.abort();
    this.#stopWriting.abort();
    await Promise.allSettled([
      ...this.#all,
      this.#writing,
      ...this.#clients.map(async (client) => await client.close()),
    ]);
  }

  get #reconnects(): number {
    return Math.max(0, this.#connections - WATCHERS - 1);
  }

  #client(number: number): Client {
    const client = this.#clients[number % CLIENTS];
    if (client === undefined) throw new Error('unreachable: there are some');
    return client;
  }

  async #follow(member: Member, client: Client): Promise<void> {
    for await (const { revision, events } of client.watch({
      prefix: PREFIX,
      from: this.#from,
      signal: this.#ended.signal,
    })) {
      const now = performance.now();
      member.longestGapMs = Math.max(member.longestGapMs, now - member.lastAtMs);
      member.lastAtMs = now;
      if (revision <= member.upTo) member.problem ??= `revision ${revision} came after ${member.upTo}`;
      member.upTo = revision;
      member.events += events.length;
      member.digest = added(
        member.digest,
        revision,
        events.map(({ type, key, ...more }) => ({ type, key, value: 'value' in more ? more.value : null })),
      );
      if (revision >= this.#until) return;
    }
  }

  async #write(): Promise<void> {
    const { lab, chance } = this.#stage;
    while (!this.#stopWriting.signal.aborted) {
      const awake = lab.nodes.filter((node) => node.alive);
      const began = performance.now();
      if (awake.length > 0) await this.record.write(chance.pick(awake), KEYS);
      await this.#stage.pause(Math.max(1, WRITE_EVERY_MS - (performance.now() - began)));
    }
  }
}

function added(
  digest: string,
  revision: number,
  events: readonly { type: string; key: string; value: string | null }[],
): string {
  const text = events.map(({ type, key, value }) => `${type} ${key} ${value}`).join('\n');
  return createHash('sha1').update(`${digest}\n${revision}\n${text}`).digest('base64');
}
