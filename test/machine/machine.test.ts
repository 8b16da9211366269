import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateDigest } from '../../src/machine/digest.ts';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { decodeMeta, encodeMeta } from '../../src/machine/meta.ts';
import type { CommandResult, Effect, Operation } from '../../src/machine/types.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import { MemoryView, bytes } from '../kv/memory-view.ts';
import { CONFIGURATION, MEMBERS, command, entry, plain, put, start } from './harness.ts';
import { RandomLog, stepArbitrary } from './random-log.ts';
import { Rules } from './rules.ts';

const NOTHING = new Uint8Array(0);

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
      featureLevel: 2,
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

describe('replicas with the same log', () => {
  it('give the same results and hold the same bytes, whatever their units and restarts', () => {
    fc.assert(
      fc.property(
        fc.array(stepArbitrary, { minLength: 1, maxLength: 150, size: 'max' }),
        fc.nat(15),
        (steps, keepRevisions) => {
          const options: MachineOptions = { keepRevisions, keepMs: 500, quotaBytes: 60_000 };
          const steadyView = new MemoryView();
          const steady = start(steadyView, options);
          const log = new RandomLog();
          const told: { result: CommandResult | null; effects: readonly Effect[] }[] = [];
          const rules = new Rules();

          // The other one writes its position now and then; a crash throws away what came after that.
          let view = new MemoryView();
          let written = view.copy();
          let shaky = start(view, options);
          const restart = (from: MemoryView) => {
            view = from.copy();
            written = from.copy();
            shaky = start(view, options);
          };
          const catchUp = () => {
            for (let next = shaky.appliedIndex; next < log.entries.length; next++) {
              expect(plain(shaky.apply(log.entries[next]!))).toEqual(plain(told[next]!.result));
              expect(shaky.takeEffects()).toEqual(told[next]!.effects);
            }
          };
          for (const step of steps) {
            const entry = log.next(step, steady);
            const result = steady.apply(entry);
            told.push({ result, effects: steady.takeEffects() });
            rules.check(entry, result, steady);
            catchUp();
            expect(shaky.digest()).toBe(steady.digest());
            if (step.then === 'write') {
              shaky.writeMeta();
              written = view.copy();
            } else if (step.then === 'crash') {
              restart(written);
            } else if (step.then === 'snapshot') {
              steady.writeMeta();
              restart(steadyView);
            }
          }
          catchUp();

          steady.writeMeta();
          shaky.writeMeta();
          expect(shaky.meta).toEqual(steady.meta);
          expect(shaky.members).toEqual(steady.members);
          expect(view.records()).toEqual(steadyView.records());
          expect(digestOf(view)).toBe(digestOf(steadyView));
          expect(start(steadyView, options).digest()).toBe(steady.digest());
        },
      ),
      { numRuns: Number(process.env['KVORUM_TEST_RUNS'] ?? 100) },
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
