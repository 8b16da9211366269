import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameDetails, signedBytes, statementBytes } from '../../src/gossip/statement.ts';
import { statement } from './arbitraries.ts';
import { alive, dead, left, suspect } from './solo.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('the bytes that are signed', () => {
  it('no two statements have the same, and the cluster counts', () => {
    fc.assert(
      fc.property(statement, statement, fc.string(), fc.string(), (left, right, one, other) => {
        const same = text(signedBytes(one, left)) === text(signedBytes(other, right));
        const { signature: _a, ...first } = left;
        const { signature: _b, ...second } = right;
        expect(same).toBe(one === other && JSON.stringify(first) === JSON.stringify(second));
      }),
    );
  });

  it.each([
    ['kind', suspect(1, 2), dead(1, 2)],
    ['kind', suspect(1, 2), left(1)],
    ['incarnation', suspect(1, 2), suspect(1, 2, 1)],
    ['incarnation beyond 32 bits', suspect(1, 2), { ...suspect(1, 2), incarnation: 2 ** 20 + 2 ** 32 }],
    ['author', suspect(1, 2), suspect(1, 3)],
    ['subject', suspect(1, 2), { ...suspect(1, 2), id: '7' }],
    ['where one field ends', alive(1, 0, { name: 'ab', http: 'c' }), alive(1, 0, { name: 'a', http: 'bc' })],
    ['addresses', alive(1, 0, { addresses: ['a', 'b'] }), alive(1, 0, { addresses: ['ab'] })],
    ['role', alive(1, 0, { role: 'voter' }), alive(1, 0, { role: 'learner' })],
    ['metadata', alive(1), alive(1, 0, { metadata: Uint8Array.of(0) })],
    ['letters beyond ASCII', alive(1, 0, { name: 'é' }), alive(1, 0, { name: 'e\u0301' })],
  ])('differ by %s', (_, one, other) => {
    expect(text(signedBytes('c', one))).not.toBe(text(signedBytes('c', other)));
  });

  it('are the same for the same, whatever was signed in between', () => {
    const before = text(signedBytes('c', alive(1)));
    signedBytes('c', alive(2, 0, { metadata: new Uint8Array(5000) }));
    expect(text(signedBytes('c', alive(1)))).toBe(before);
  });

  it('pinned, because two versions of this program verify each other', () => {
    const bytes = signedBytes('c1', { kind: 'suspect', id: '12', incarnation: 2 ** 32 + 3, by: '7' });
    expect(Buffer.from(bytes).toString('latin1')).toBe(
      '\0\x19kvorum gossip statement 1\0\x02c1\x02\0\x0212\0\0\0\x01\0\0\0\x03\0\x017',
    );
  });
});

describe('the room that a statement takes', () => {
  it('grows with what is in it', () => {
    expect(statementBytes(suspect(1, 2))).toBeLessThan(110);
    expect(statementBytes(alive(1, 0, { metadata: new Uint8Array(100) }))).toBe(statementBytes(alive(1)) + 100);
    expect(statementBytes(alive(1, 0, { name: 'node-123' }))).toBe(statementBytes(alive(1)) + 2);
  });
});

describe('what a member says of itself', () => {
  it.each([
    { name: 'other' },
    { role: 'voter' as const },
    { http: 'http://x' },
    { addresses: [] },
    { addresses: ['/ip4/10.0.0.9/tcp/7001'] },
    { metadata: Uint8Array.of(1) },
  ])('differs by %o', (change) => {
    expect(sameDetails(alive(1), alive(1, 5))).toBe(true);
    expect(sameDetails(alive(1), alive(1, 5, change))).toBe(false);
  });
});
