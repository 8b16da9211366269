import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/gossip/settings.ts';
import { statementBytes } from '../../src/gossip/statement.ts';
import type { Refusal } from '../../src/gossip/types.ts';
import { parseGossipMessage, toWire, type WireValue } from '../../src/gossip/wire.ts';
import { message, statement } from './arbitraries.ts';
import { alive, idOf, suspect } from './solo.ts';

const packr = new Packr({ useRecords: false });
/** What a shell does with it. */
const travel = (value: WireValue): unknown => packr.unpack(packr.pack(value));

function refusalOf(value: unknown): Refusal | null {
  let reason: Refusal | null = null;
  const parsed = parseGossipMessage(value, (why) => (reason = why));
  expect(parsed === null).toBe(reason !== null);
  return reason;
}

describe('messages on the wire', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(message, (sent) => {
        expect(parseGossipMessage(travel(toWire(sent)))).toEqual(sent);
      }),
    );
  });

  it('take about the room that is reckoned with', () => {
    fc.assert(
      fc.property(statement, (one) => {
        const bytes = packr.pack(toWire({ type: 'gossip', updates: [one] })).length;
        // Strings are counted in characters; what is beyond ASCII takes up to three bytes.
        expect(bytes).toBeLessThanOrEqual(3 * statementBytes(one) + 8);
      }),
    );
    for (const one of [suspect(1, 2), alive(1), alive(2, 0, { metadata: new Uint8Array(300) })]) {
      const bytes = packr.pack(toWire({ type: 'gossip', updates: [one] })).length;
      expect(Math.abs(bytes - statementBytes(one))).toBeLessThan(12);
    }
  });

  it('fields of a later version are passed over', () => {
    expect(parseGossipMessage([4, 9, 'new'])).toEqual({ type: 'nack', sequence: 9 });
  });

  it('bytes are copied, so a frame is not kept alive by a statement', () => {
    const frame = new Uint8Array(1000);
    const wire = [5, [[4, '1', 5, frame.subarray(10, 74)]]];
    const parsed = parseGossipMessage(wire);
    const kept = parsed?.type === 'gossip' ? parsed.updates[0]?.signature : undefined;
    expect(kept?.buffer.byteLength).toBe(64);
  });
});

describe('what is no message', () => {
  const signature = new Uint8Array(64);
  const wireAlive = (changes: Record<number, unknown>): unknown => {
    const fields: unknown[] = [1, '5', 7, signature, 'peer-5', 'n', 2, ['a'], '', new Uint8Array(0)];
    for (const [i, value] of Object.entries(changes)) fields[Number(i)] = value;
    return [5, [fields]];
  };

  it('the example that is changed below is one', () => {
    expect(refusalOf(wireAlive({}))).toBeNull();
  });

  it.each([
    ['nothing', undefined],
    ['a string', 'ping'],
    ['an empty list', []],
    ['an object', { type: 'ping' }],
    ['an unknown type', [99, 1]],
    ['a sequence below zero', [4, -1]],
    ['a fraction', [4, 1.5]],
    ['a big integer', [4, 5n]],
    ['no updates', [1, 1, 0]],
    ['updates that are no list', [5, 'x']],
    ['a statement that is no list', [5, [7]]],
    ['an unknown statement', [5, [[9, '1', 1, signature]]]],
    ['an id that is no number', wireAlive({ 1: 'abc' })],
    ['an id with a leading zero', wireAlive({ 1: '05' })],
    ['an incarnation that is not exact', wireAlive({ 2: 2 ** 53 })],
    ['a signature that is text', wireAlive({ 3: 'abc' })],
    ['no peer id', wireAlive({ 4: '' })],
    ['an unknown role', wireAlive({ 6: 3 })],
    ['an address that is no text', wireAlive({ 7: [7] })],
    ['addresses that are no list', wireAlive({ 7: 'a' })],
    ['metadata that is text', wireAlive({ 9: 'x' })],
    ['somebody who accuses itself', [5, [[2, '1', 1, signature, '1']]]],
  ])('malformed: %s', (_, value) => {
    expect(refusalOf(value)).toBe('malformed');
  });

  it.each([
    ['a long id', wireAlive({ 1: '1'.repeat(LIMITS.idCharacters + 1) })],
    ['a long signature', wireAlive({ 3: new Uint8Array(LIMITS.signatureBytes + 1) })],
    ['a long peer id', wireAlive({ 4: 'x'.repeat(LIMITS.peerIdCharacters + 1) })],
    ['a long name', wireAlive({ 5: 'x'.repeat(LIMITS.nameCharacters + 1) })],
    ['many addresses', wireAlive({ 7: Array.from({ length: LIMITS.addresses + 1 }, () => 'a') })],
    ['a long address', wireAlive({ 7: ['x'.repeat(LIMITS.addressCharacters + 1)] })],
    ['much metadata', wireAlive({ 9: new Uint8Array(LIMITS.metadataBytes + 1) })],
    ['many updates', [5, Array.from({ length: LIMITS.updates + 1 }, () => [4, '1', 1, signature])]],
    ['many statements', [7, false, Array.from({ length: LIMITS.syncStatements + 1 }, () => [4, '1', 1, signature])]],
    ['a long cluster id', [6, 'x'.repeat(LIMITS.clusterIdCharacters + 1), 1, 1, 1, []]],
  ])('over the limits: %s', (_, value) => {
    expect(refusalOf(value)).toBe('overLimits');
  });

  it('of what a core sends nothing is over the limits', () => {
    const updates = Array.from({ length: LIMITS.updates }, (_, i) => suspect(i + 1, 0));
    expect(refusalOf(toWire({ type: 'pingRequest', sequence: 2 ** 32 - 1, target: idOf(1), updates }))).toBeNull();
  });
});
