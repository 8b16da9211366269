import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../../src/machine/command.ts';
import { StateDigest } from '../../src/machine/digest.ts';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { decodeMeta, encodeMeta } from '../../src/machine/meta.ts';
import type { AppliedEntry, Command, Operation } from '../../src/machine/types.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration } from '../../src/raft/types.ts';
import { operationArbitrary } from '../kv/arbitraries.ts';
import { MemoryView, bytes } from '../kv/memory-view.ts';

const NOTHING = new Uint8Array(0);

const MEMBERS = [
  { id: '1', name: 'n1', peerId: '12D3a', address: '127.0.0.1:7201' },
  { id: '2', name: 'n2', peerId: '12D3b', address: '127.0.0.1:7202' },
];

const CONFIGURATION: Configuration = {
  voters: ['1', '2'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
  context: { clusterId: '99', members: MEMBERS },
};

function start(view: MemoryView, options?: MachineOptions): Machine {
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

function put(key: string, value = 'v'): Operation {
  return { type: 'put', key, value: bytes(value), contentType: null, lease: null, prev: false, condition: null };
}

function command(operation: Operation, more: Partial<Command> = {}): Uint8Array {
  const head = { version: 1, group: 0, time: 0, principal: null, authRevision: 0, session: null, sequence: 0 } as const;
  return encodeCommand({ ...head, operation, ...more });
}

function entry(index: number, kind: AppliedEntry['kind'], data = NOTHING as Uint8Array, term = 1): AppliedEntry {
  return { index, term, kind, data };
}

describe('Machine', () => {
  it('applies noops, configurations and commands in order', () => {
    const machine = start(new MemoryView());
    expect(machine.apply(entry(1, 'config', encodeConfiguration(CONFIGURATION)))).toBeNull();
    expect(machine.apply(entry(2, 'noop', NOTHING, 2))).toBeNull();
    expect(machine.apply(entry(3, 'command', command(put('a')), 2))).toEqual({ ok: true, revision: 1, created: true });
    expect(
      machine.apply(entry(4, 'command', command({ type: 'delete', key: 'b', prev: true, condition: null }), 2)),
    ).toEqual({ ok: true, revision: 1, deleted: 0, prev: null });
    expect(machine.apply(entry(5, 'command', command({ type: 'deleteRange', start: '', end: null }), 2))).toEqual({
      ok: true,
      revision: 2,
      deleted: 1,
    });
    expect(machine.meta).toEqual({
      appliedIndex: 5,
      appliedTerm: 2,
      revision: 2,
      time: 0,
      featureLevel: 1,
      configuration: CONFIGURATION,
      compactedRevision: 0,
      keepRevisions: 100_000,
    });
    expect(machine.members).toEqual(MEMBERS);
    expect(machine.clusterId).toBe('99');
  });

  it('never lets time go back', () => {
    const machine = start(new MemoryView());
    machine.apply(entry(1, 'command', command(put('a'), { time: 1000 })));
    machine.apply(entry(2, 'command', command(put('a'), { time: 400 })));
    expect(machine.time).toBe(1000);
    machine.apply(entry(3, 'command', command(put('a'), { time: 1001.5 })));
    expect(machine.time).toBe(1001.5);
  });

  it('stops at what must not happen', () => {
    const machine = start(new MemoryView(), { group: 3 });
    const invariantError = expect.objectContaining({ code: 'ERR_INVARIANT' });
    expect(() => machine.apply(entry(2, 'noop'))).toThrow(invariantError);
    expect(() => machine.apply(entry(0, 'noop'))).toThrow(invariantError);
    expect(() => machine.apply(entry(1, 'command', bytes('nonsense that is long enough')))).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_VERSION' }),
    );
    expect(() => machine.apply(entry(1, 'command', command(put('a'), { group: 4 })))).toThrow(invariantError);
    machine.apply(entry(1, 'command', command(put('a'), { group: 3 }), 5));
    expect(() => machine.apply(entry(1, 'noop', NOTHING, 5))).toThrow(invariantError);
    expect(() => machine.apply(entry(2, 'noop', NOTHING, 4))).toThrow(invariantError);
    expect(() => machine.restore({ key: NOTHING, value: NOTHING })).toThrow(invariantError);
    expect(() => machine.restored()).toThrow(invariantError);
    const context = { clusterId: '1', members: [{ id: 1 }] };
    expect(() => machine.apply(entry(2, 'config', encodeConfiguration({ ...CONFIGURATION, context }), 5))).toThrow(
      invariantError,
    );
    const fresh = new Machine(new MemoryView());
    expect(() => fresh.apply(entry(1, 'noop'))).toThrow(invariantError);
    expect(() => fresh.writeMeta()).toThrow(invariantError);
  });

  it('refuses stored records that it does not know, damaged ones, and history without a position', () => {
    const view = new MemoryView();
    const machine = start(view);
    machine.apply(entry(1, 'command', command(put('a'))));
    expect(() => start(view)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    machine.writeMeta();
    expect(start(view).revision).toBe(1);
    view.put(bytes('z'), bytes('?'));
    expect(() => start(view)).toThrow(expect.objectContaining({ code: 'ERR_DATA_VERSION' }));
    view.delete(bytes('z'));
    view.get(bytes('m'))![20]! ^= 4;
    expect(() => start(view)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });

  it('keeps all of its meta record, whatever is in it', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat(), { minLength: 8, maxLength: 8 }), fc.uint8Array(), (n, data) => {
        const [appliedIndex, appliedTerm, time, revision, compactedRevision, keepRevisions] = n as [
          number,
          number,
          number,
          number,
          number,
          number,
        ];
        const digest = [n[6]! >>> 0, n[7]! >>> 0] as const;
        const kv = { revision, compactedRevision, keepRevisions, digest };
        const meta = { appliedIndex, appliedTerm, time, featureLevel: 513, kv, configurationData: data };
        const encoded = encodeMeta(meta);
        expect(decodeMeta(encoded)).toEqual(meta);
        expect(() => decodeMeta(encoded.subarray(1))).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
      }),
    );
  });
});

const entryArbitrary = fc.oneof(
  { weight: 12, arbitrary: operationArbitrary.map((operation) => ({ kind: 'command' as const, operation })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'noop' as const }) },
  { weight: 1, arbitrary: fc.nat(3).map((learners) => ({ kind: 'config' as const, learners })) },
);

const logArbitrary = fc.array(
  fc.record({
    what: entryArbitrary,
    time: fc.nat(1000),
    endOfUnit: fc.boolean(),
    crash: fc.nat(9).map((n) => n === 0),
  }),
  { minLength: 1, maxLength: 60 },
);

describe('replicas with the same log', () => {
  it('give the same results and hold the same bytes, whatever their units and restarts', () => {
    fc.assert(
      fc.property(logArbitrary, fc.nat(15), (steps, keepRevisions) => {
        const log: AppliedEntry[] = steps.map(({ what, time }, i) => {
          if (what.kind === 'noop') return entry(i + 1, 'noop');
          if (what.kind === 'command') return entry(i + 1, 'command', command(what.operation, { time }));
          const learners = ['7', '8', '9'].slice(0, what.learners);
          return entry(i + 1, 'config', encodeConfiguration({ ...CONFIGURATION, learners }));
        });

        const steadyView = new MemoryView();
        const steady = start(steadyView, { keepRevisions });
        const results = log.map((entry) => steady.apply(entry));
        steady.writeMeta();

        // The other one flushes at the end of a unit, and a crash throws away what came after the last flush.
        let view = new MemoryView();
        let flushed = view.copy();
        let machine = start(view, { keepRevisions });
        const crashesLeft = new Set(steps.flatMap(({ crash }, i) => (crash ? [i] : [])));
        for (let next = 0; next < log.length;) {
          expect(machine.apply(log[next]!)).toEqual(results[next]);
          if (steps[next]!.endOfUnit) {
            machine.writeMeta();
            flushed = view.copy();
          }
          next++;
          if (crashesLeft.delete(next - 1)) {
            view = flushed.copy();
            machine = start(view, { keepRevisions });
            next = machine.appliedIndex;
          }
        }
        machine.writeMeta();
        expect(machine.meta).toEqual(steady.meta);
        expect(machine.members).toEqual(steady.members);
        expect(machine.digest()).toBe(steady.digest());
        expect(view.records()).toEqual(steadyView.records());
        expect(digestOf(view)).toBe(digestOf(steadyView));
      }),
      { numRuns: 300 },
    );
  });

  it('have another digest as soon as anything differs', () => {
    const digests = new Set<string>();
    const run = (...operations: Operation[]) => {
      const view = new MemoryView();
      const machine = start(view, { keepRevisions: 1 });
      operations.forEach((operation, i) => machine.apply(entry(i + 1, 'command', command(operation))));
      machine.writeMeta();
      digests.add(machine.digest());
      digests.add(digestOf(view));
    };
    run();
    run(put('a'));
    run(put('b'));
    run(put('a', 'w'));
    run(put('a'), put('a'), put('a'), put('a'));
    run(put('a'), put('a'), put('b'), put('a'));
    expect(digests.size).toBe(12);
  });
});

function digestOf(view: MemoryView): string {
  const digest = new StateDigest();
  for (const record of view.records()) digest.add(record);
  return digest.value();
}
