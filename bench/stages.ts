/**
 * What a numbered put costs the main thread of a node, stage by stage: in one process, without network and without clients, a leader's and a follower's log and
 * state on LevelDB. Each stage of each batch is timed by the clock and the lowest tenth is shown, because whoever else is on the machine makes
 * a stage longer and never shorter; garbage collection, which falls on a few of them, is shown apart.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { encodeProposal, stampTime } from '../src/machine/command.ts';
import { Machine } from '../src/machine/machine.ts';
import type { Once, Operation } from '../src/machine/types.ts';
import { clusterIdBytes, decodeMessage, MessageEncoder } from '../src/node/wire.ts';
import type { Entry } from '../src/raft/types.ts';
import { openLevelStore } from '../src/storage/level-store.ts';
import type { GroupStore, Store } from '../src/storage/types.ts';

const GROUP = 1;
const CLUSTER_ID = '1';
const KEYS = 100_000;
const VALUE_BYTES = 256;
/** As the replica loop does it: state rides with a log write once there is so much of it. */
const FLUSH_BYTES = 512 * 1024;
const QUANTILE = 0.1;

export type Stage = 'propose' | 'encode' | 'decode' | 'append' | 'apply' | 'flush';

export interface StageOptions {
  readonly folder: string;
  /** Puts that are appended and applied together. */
  readonly batch: number;
  readonly batches: number;
}

export interface StageFigures {
  /** Microseconds a put. `append`, `apply` and `flush`: of one node. */
  readonly us: Readonly<Record<Stage, number>>;
  /** Both nodes and all threads: user and system time a put, and of it what the garbage collector kept the main thread for. */
  readonly cpuUs: number;
  readonly gcUs: number;
}

interface Member {
  readonly store: Store;
  readonly group: GroupStore;
  readonly machine: Machine;
}

export async function measureStages({ folder, batch, batches }: StageOptions): Promise<StageFigures> {
  const leader = await openMember(join(folder, 'leader'));
  const follower = await openMember(join(folder, 'follower'));
  const clock = new StageClock(batch);
  const encoder = new MessageEncoder(CLUSTER_ID);
  const cluster = clusterIdBytes(CLUSTER_ID);
  const values = Array.from({ length: 64 }, () => new Uint8Array(randomBytes(VALUE_BYTES)));
  const { applied: session } = await begin(leader, follower);
  let index = 1;
  let sequence = 0;
  let time = Date.now();

  const round = async (): Promise<void> => {
    time += 5;
    clock.start();
    const proposals: Uint8Array[] = [];
    for (let i = 0; i < batch; i++) {
      sequence++;
      const lowestUnanswered = Math.max(0, sequence - 2 * batch);
      const key = `k${String(sequence % KEYS).padStart(7, '0')}`;
      const value = values[sequence % values.length] as Uint8Array;
      const operation = {
        type: 'put',
        key,
        value,
        contentType: null,
        lease: null,
        prev: false,
        condition: null,
      } as const;
      proposals.push(encode(operation, { session, sequence, lowestUnanswered }));
    }
    clock.end('propose');
    const prevIndex = index;
    const entries = proposals.map((data): Entry => {
      stampTime(data, time);
      return { index: ++index, term: 1, kind: 'command', data };
    });
    clock.start();
    const parts = encoder.encode({
      type: 'Append',
      group: GROUP,
      from: '1',
      to: '2',
      term: 1,
      prevIndex,
      prevTerm: 1,
      commit: prevIndex,
      entries,
    });
    clock.end('encode');
    const frame = Buffer.concat(parts);
    clock.start();
    const message = decodeMessage(frame, '1', '2', cluster);
    clock.end('decode');
    if (message.type !== 'Append') throw new Error(`an Append came back as ${message.type}`);
    await take(leader, entries, clock);
    await take(follower, message.entries, clock);
  };

  for (let i = 0; i < batches / 4; i++) await round();
  clock.reset();
  let gcMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gcMs += duration;
  });
  observer.observe({ entryTypes: ['gc'] });
  const before = process.cpuUsage();
  for (let i = 0; i < batches; i++) await round();
  const { user, system } = process.cpuUsage(before);
  observer.disconnect();
  const puts = batch * batches;
  if (leader.machine.digest() !== follower.machine.digest()) throw new Error('leader and follower differ');
  await leader.store.close();
  await follower.store.close();
  return { us: clock.figures(batches), cpuUs: (user + system) / puts, gcUs: (gcMs * 1000) / puts };
}

async function openMember(directory: string): Promise<Member> {
  const store = await openLevelStore({ directory });
  const group = store.group(GROUP);
  const machine = new Machine(group.state);
  machine.restored();
  return { store, group, machine };
}

/** The session of the puts. */
async function begin(...members: readonly Member[]): Promise<{ applied: string }> {
  const data = encode({ type: 'leaseGrant', ttlMs: 86_400_000, owner: null }, null);
  let applied = '';
  for (const { store, group, machine } of members) {
    const entry: Entry = { index: 1, term: 1, kind: 'command', data };
    group.log.append([entry]);
    await commit(store);
    const result = machine.apply(entry);
    if (result === null || !result.ok || !('type' in result) || result.type !== 'lease') throw new Error('no lease');
    applied = result.id;
    seal(group, machine);
  }
  return { applied };
}

function encode(operation: Operation, once: Once | null): Uint8Array {
  return encodeProposal({ version: 1, group: GROUP, time: 0, principal: null, authRevision: 0, once, operation });
}

async function take({ store, group, machine }: Member, entries: readonly Entry[], clock: StageClock): Promise<void> {
  const { log, state } = group;
  clock.start();
  log.append(entries);
  clock.end('append');
  if (state.overlayBytes > FLUSH_BYTES) {
    clock.start();
    state.stageFlush(FLUSH_BYTES);
    clock.end('flush');
  }
  await commit(store);
  clock.start();
  for (const entry of entries) machine.apply(entry);
  seal(group, machine);
  clock.end('apply');
}

function seal({ state }: GroupStore, machine: Machine): void {
  machine.writeMeta();
  state.seal({ index: machine.appliedIndex, term: machine.appliedTerm });
  machine.takeEffects();
}

function commit(store: Store): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(true, (error) => (error === null ? resolve() : reject(error)));
  });
}

class StageClock {
  readonly #batch: number;
  readonly #times: Record<Stage, number[]> = { propose: [], encode: [], decode: [], append: [], apply: [], flush: [] };
  #began = 0;

  constructor(batch: number) {
    this.#batch = batch;
  }

  start(): void {
    this.#began = performance.now();
  }

  end(stage: Stage): void {
    this.#times[stage].push(((performance.now() - this.#began) * 1000) / this.#batch);
  }

  reset(): void {
    for (const times of Object.values(this.#times)) times.length = 0;
  }

  /** A flush comes once in many batches. Of leader and follower there are two times a batch, and the figure is of one. */
  figures(batches: number): Record<Stage, number> {
    const figures = {} as Record<Stage, number>;
    for (const [stage, times] of Object.entries(this.#times) as [Stage, number[]][]) {
      const low = times.toSorted((a, b) => a - b)[Math.floor(times.length * QUANTILE)] ?? 0;
      figures[stage] = stage === 'flush' ? (low * times.length) / (2 * batches) : low;
    }
    return figures;
  }
}
