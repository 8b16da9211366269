import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import {
  COMMAND_KINDS,
  decodeCommand,
  encodeCommand,
  encodeProposal,
  faultOfCommand,
  stampTime,
} from '../../src/machine/command.ts';
import type { Command, Operation } from '../../src/machine/types.ts';
import { bytes } from '../kv/memory-view.ts';
import { anyOperation } from './arbitraries.ts';
import { plain } from './harness.ts';

function commandOf(operation: Operation, time = 0): Command {
  const head = { version: 1, group: 0, time, principal: null, authRevision: 0, once: null } as const;
  return { ...head, operation };
}

const put: Operation & { type: 'put' } = {
  type: 'put',
  key: 'k\xff',
  value: bytes('v'),
  contentType: 'text/plain',
  lease: null,
  prev: false,
  condition: { type: 'modRevision', revision: 7 },
};

const commandArbitrary: fc.Arbitrary<Command> = fc.record({
  version: fc.constant(1),
  group: fc.constantFrom(0, 1, 2 ** 32 - 1),
  time: fc.constantFrom(0, 1.5, 1_700_000_000_000),
  principal: fc.constantFrom(null, 'someone', 'ünïcode'),
  authRevision: fc.constantFrom(0, 2 ** 40),
  once: fc.constantFrom(
    null,
    { key: 'ünïque' },
    { session: '18446744073709551615', sequence: 5, lowestUnanswered: 0 },
    { session: '7', sequence: Number.MAX_SAFE_INTEGER, lowestUnanswered: Number.MAX_SAFE_INTEGER },
  ),
  operation: anyOperation,
});

describe('the command envelope', () => {
  it('gives back every command', () => {
    fc.assert(
      fc.property(fc.array(commandArbitrary, { minLength: 1, maxLength: 5 }), (commands) => {
        const encoded = commands.map(encodeCommand);
        for (const [i, command] of commands.entries()) {
          const decoded = decodeCommand(encoded[i]!);
          const { operation, body, ...head } = decoded;
          expect(body === null).toBe(command.once === null);
          expect(plain({ ...head, operation })).toEqual(plain(command));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('has the bytes that other versions count on', () => {
    expect(Buffer.from(encodeCommand(commandOf(put, 1))).toString('hex')).toBe(
      '01' +
        '0001' +
        '00000000' +
        '3ff0000000000000' +
        '95c000c000' +
        '96c4026bffc40176aa746578742f706c61696ec0c2920007',
    );
    expect(COMMAND_KINDS).toEqual({
      put: { kind: 1, featureLevel: 1 },
      delete: { kind: 2, featureLevel: 1 },
      deleteRange: { kind: 3, featureLevel: 1 },
      txn: { kind: 4, featureLevel: 2 },
      compact: { kind: 5, featureLevel: 2 },
      leaseGrant: { kind: 6, featureLevel: 2 },
      leaseRenew: { kind: 7, featureLevel: 2 },
      leaseRevoke: { kind: 8, featureLevel: 2 },
      leaseExpire: { kind: 9, featureLevel: 2 },
      leaseCheckpoint: { kind: 10, featureLevel: 2 },
      lockAcquire: { kind: 11, featureLevel: 2 },
      lockRelease: { kind: 12, featureLevel: 2 },
      lockCancel: { kind: 13, featureLevel: 2 },
      lockBreak: { kind: 14, featureLevel: 2 },
      lockWake: { kind: 15, featureLevel: 2 },
      electionProclaim: { kind: 16, featureLevel: 2 },
      counterAdd: { kind: 17, featureLevel: 2 },
      counterDelete: { kind: 18, featureLevel: 2 },
      settings: { kind: 19, featureLevel: 2 },
    });
  });

  it('takes a time stamp into its bytes', () => {
    const encoded = encodeCommand(commandOf(put));
    const before = encoded.slice();
    stampTime(encoded, 1_700_000_000_123);
    expect(decodeCommand(encoded)).toMatchObject({ time: 1_700_000_000_123, operation: { key: 'k\xff' } });
    expect(encoded.slice(15)).toEqual(before.slice(15));
    expect(() => stampTime(encoded, Number.NaN)).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
    expect(() => stampTime(encoded.subarray(0, 14), 1)).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
  });

  it('says so when a newer version is needed', () => {
    const kind = encodeCommand(commandOf(put)).slice();
    kind[2] = 77;
    expect(() => decodeCommand(kind)).toThrow(
      expect.objectContaining({
        code: 'ERR_DATA_VERSION',
        message: expect.stringContaining('kind 77 needs a newer version'),
      }),
    );
    const version = encodeCommand(commandOf(put)).slice();
    version[0] = 2;
    expect(() => decodeCommand(version)).toThrow(
      expect.objectContaining({
        code: 'ERR_DATA_VERSION',
        message: expect.stringContaining('version 2 needs a newer'),
      }),
    );
  });

  it('refuses malformed bytes with a KvorumError, whatever they are', () => {
    const refusedOrDecoded = (data: Uint8Array) => {
      try {
        decodeCommand(data);
      } catch (error) {
        if (!KvorumError.is(error, 'ERR_INVARIANT') && !KvorumError.is(error, 'ERR_DATA_VERSION')) throw error;
      }
    };
    const head = Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 19 }), (tail, kind) => {
        refusedOrDecoded(tail);
        const data = new Uint8Array([...head, ...tail]);
        data[2] = kind;
        refusedOrDecoded(data);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(commandArbitrary, fc.nat(), fc.nat(255), (command, place, byte) => {
        const data = encodeCommand(command).slice();
        data[place % data.length] = byte;
        refusedOrDecoded(data);
        refusedOrDecoded(data.slice(0, place % data.length));
      }),
      { numRuns: 5000 },
    );
  });

  it('refuses lengths that nothing stands behind, lists within themselves, and numbers that are none', () => {
    const head = [1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const bodies = {
      'a list of four billion': [0xdd, 0xff, 0xff, 0xff, 0xff],
      'bytes of four billion': [0xc6, 0xff, 0xff, 0xff, 0xff],
      'text of four billion': [0xdb, 0xff, 0xff, 0xff, 0xff],
      'a map of four billion': [0xdf, 0xff, 0xff, 0xff, 0xff],
      'a list in itself': [0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1],
      'lists in lists': Array.from({ length: 100_000 }, () => 0x91),
    };
    for (const [what, body] of Object.entries(bodies)) {
      const data = Uint8Array.from([...head, 0x95, 0xc0, 0, 0xc0, 0, ...body]);
      expect(() => decodeCommand(data), what).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
    }
    const wrong = [Number.NaN, Number.POSITIVE_INFINITY, 0.5, -1, 2 ** 53, 5n, '5', null];
    for (const ttlMs of wrong as number[]) {
      const data = encodeCommand(commandOf({ type: 'leaseGrant', ttlMs, owner: null }));
      expect(() => decodeCommand(data), String(ttlMs)).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
    }
    for (const time of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(() => decodeCommand(encodeCommand(commandOf(put, time)))).toThrow(
        expect.objectContaining({ code: 'ERR_INVARIANT' }),
      );
    }
  });

  it('has no zero below zero, and no text that is not Unicode', () => {
    // -0 as it may come from elsewhere: the encoder writes 0.
    const data = encodeCommand(commandOf({ type: 'counterAdd', name: 'a', delta: 0.5 }));
    new DataView(data.buffer, data.byteOffset, data.length).setFloat64(data.length - 8, -0);
    expect(decodeCommand(data).operation).toStrictEqual({ type: 'counterAdd', name: 'a', delta: 0 });
    // In short texts the encoder keeps half a pair, in long ones it does not; what is read is one thing on every replica, and well-formed.
    for (const name of ['\ud800', 'a\udc00b', `${'x'.repeat(100)}\ud800`]) {
      const { operation } = decodeCommand(encodeCommand(commandOf({ type: 'lockBreak', name })));
      expect(operation).toMatchObject({ type: 'lockBreak', name: expect.stringContaining('\ufffd') });
      expect((operation as { name: string }).name).not.toMatch(/\p{Surrogate}/u);
    }
  });

  it('tells the body of what happens once: the same for the same request, however it is numbered and when', () => {
    fc.assert(
      fc.property(anyOperation, (operation) => {
        const [one, two] = [
          { once: { key: 'a' }, time: 1 },
          { once: { session: '9', sequence: 3, lowestUnanswered: 2 }, time: 2 },
        ].map((more) => decodeCommand(encodeCommand({ ...commandOf(operation), ...more })));
        expect(plain(one!.body)).toEqual(plain(two!.body));
      }),
    );
    for (const [sequence, lowestUnanswered] of [
      [0, 0],
      [2, 3],
    ] as const) {
      const once = { session: '9', sequence, lowestUnanswered };
      expect(() => decodeCommand(encodeCommand({ ...commandOf(put), once }))).toThrow(
        expect.objectContaining({ code: 'ERR_INVARIANT' }),
      );
    }
  });

  it('refuses to propose what could not be applied', () => {
    expect(plain(encodeProposal(commandOf(put)))).toEqual(plain(encodeCommand(commandOf(put))));
    const wrong = [
      { prev: 'yes' },
      { prev: 1 },
      { contentType: 5 },
      { contentType: undefined },
      { lease: 7 },
      { value: 'text' },
      { condition: { type: 'modRevision', revision: 1.5 } },
      { condition: { type: 'modRevision', revision: -1 } },
      { condition: { type: 'of another kind' } },
      { condition: 'absent' },
    ] as unknown as Partial<Operation & { type: 'put' }>[];
    for (const more of wrong) {
      const command = commandOf({ ...put, ...more });
      for (const once of [null, { key: 'k' }]) {
        expect(() => encodeProposal({ ...command, once }), JSON.stringify(more)).toThrow(
          expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none' }),
        );
      }
    }
    const data = encodeCommand(commandOf(put));
    expect(faultOfCommand(data, 0)).toBeNull();
    expect(faultOfCommand(data, 1)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none' });
    data[1] = 99;
    expect(faultOfCommand(data, 0)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
