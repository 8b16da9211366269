import { encodeCommand } from '../../src/machine/command.ts';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import type { AppliedEntry, Command, CommandResult, Effect, Once, Operation } from '../../src/machine/types.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration } from '../../src/raft/types.ts';
import { MemoryView, bytes } from '../kv/memory-view.ts';

const NOTHING: Uint8Array = new Uint8Array(0);

export const MEMBERS = [
  { id: '1', name: 'n1', peerId: '12D3a', address: '127.0.0.1:7201' },
  { id: '2', name: 'n2', peerId: '12D3b', address: '127.0.0.1:7202' },
];

export const CONFIGURATION: Configuration = {
  voters: ['1', '2'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
  context: { clusterId: '99', members: MEMBERS },
};

/** As a node starts: from the records that there are. */
export function start(view: MemoryView, options?: MachineOptions): Machine {
  const machine = new Machine(view, options);
  for (const record of view.records()) {
    machine.restore(record);
    // A machine must not hold on to what a scan lends it.
    record.key.fill(0xee);
    record.value.fill(0xee);
  }
  machine.restored();
  return machine;
}

export function put(key: string, value = 'v', lease: string | null = null): Operation & { type: 'put' } {
  return { type: 'put', key, value: bytes(value), contentType: null, lease, prev: false, condition: null };
}

export function command(operation: Operation, more: Partial<Command> = {}): Uint8Array {
  const head = { version: 1, group: 0, time: 0, principal: null, authRevision: 0, once: null } as const;
  return encodeCommand({ ...head, operation, ...more });
}

export function entry(index: number, kind: AppliedEntry['kind'], data = NOTHING, term = 1): AppliedEntry {
  return { index, term, kind, data };
}

export function configuration(learners: readonly string[] = []): Uint8Array {
  return encodeConfiguration({ ...CONFIGURATION, learners: [...learners] });
}

/** A machine that is given one operation after the other, with a clock and a term that are set. */
export class Driver {
  view = new MemoryView();
  machine: Machine;
  time = 1_000_000;
  term = 1;
  /** Of the last operation. */
  effects: readonly Effect[] = [];
  readonly #options: MachineOptions;

  constructor(options: MachineOptions = {}) {
    this.#options = options;
    this.machine = start(this.view, options);
  }

  get locks() {
    return this.machine.coordinator.locks;
  }

  get leases() {
    return this.machine.coordinator.leases;
  }

  do(operation: Operation, once: Once | null = null): CommandResult {
    const data = command(operation, { time: this.time, once });
    const result = this.machine.apply(entry(this.machine.appliedIndex + 1, 'command', data, this.term));
    this.effects = this.machine.takeEffects();
    return result as CommandResult;
  }

  /** Of something that has to be done. */
  done<T extends (CommandResult & { ok: true; type: string })['type']>(type: T, operation: Operation, once?: Once) {
    const result = this.do(operation, once);
    if (!result.ok || !('type' in result) || result.type !== type) {
      throw new Error(`${operation.type} was answered with ${JSON.stringify(result)}`);
    }
    return result as Extract<CommandResult, { readonly ok: true; readonly type: T }>;
  }

  grant(ttlMs = 10_000, owner: string | null = null): string {
    return this.done('lease', { type: 'leaseGrant', ttlMs, owner }).id;
  }

  acquire(name: string, more: Partial<Operation & { type: 'lockAcquire' }> = {}): CommandResult {
    return this.do({ ...ACQUIRE, name, ...more });
  }

  /** Token and lease of one who has to be let in. */
  hold(name: string, more: Partial<Operation & { type: 'lockAcquire' }> = {}): { token: number; lease: string } {
    const { token, lease } = this.done('lock', { ...ACQUIRE, name, wait: false, ...more });
    if (token === null) throw new Error(`${name} is not held`);
    return { token, lease };
  }

  wait(name: string, more: Partial<Operation & { type: 'lockAcquire' }> = {}): { ticket: number; lease: string } {
    const { token, ticket, lease } = this.done('lock', { ...ACQUIRE, name, ...more });
    if (token !== null) throw new Error(`${name} is free`);
    return { ticket, lease };
  }

  expire(...leases: string[]): CommandResult {
    return this.do({
      type: 'leaseExpire',
      term: this.term,
      leases: leases.map((lease) => ({ lease, counter: this.leases.get(lease)?.counter ?? 0 })),
    });
  }

  restart(): void {
    this.machine.writeMeta();
    this.view = this.view.copy();
    this.machine = start(this.view, this.#options);
  }
}

export const ACQUIRE: Operation & { type: 'lockAcquire' } = {
  type: 'lockAcquire',
  name: 'l',
  kind: 'lock',
  lease: { ttlMs: 10_000 },
  mode: 'write',
  limit: 1,
  delayMs: 0,
  owner: null,
  value: null,
  wait: true,
};

/** For comparisons: bytes are bytes, whatever their class, and what is undefined is not there. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [name, plain(member)]),
  );
}
