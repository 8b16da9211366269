import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Bucket } from '../../src/dht/bucket.ts';
import { contactAt, idOfNumber } from './ids.ts';

const contact = (number: number): ReturnType<typeof contactAt> => contactAt(idOfNumber(number), `${number}`);
const names = (entries: Bucket['entries']): string[] => entries.map(({ contact: { peerId } }) => peerId);

function filled(k: number, replacements = 2, maxFailures = 2): Bucket {
  const bucket = new Bucket(k, replacements, maxFailures, 0);
  for (let i = 1; i <= k; i++) bucket.heard(contact(i), i);
  return bucket;
}

describe('a k-bucket (§2.2)', () => {
  it('keeps who was heard longest ago at its head, and moves who is heard to its tail', () => {
    const bucket = filled(3);
    expect(names(bucket.entries)).toEqual(['1', '2', '3']);
    expect(bucket.heard(contact(2), 9)).toBe('known');
    expect(names(bucket.entries)).toEqual(['1', '3', '2']);
    expect(bucket.entries.map(({ heardMs }) => heardMs)).toEqual([1, 3, 9]);
  });

  it('prefers old contacts: a flood of newcomers moves none that answers', () => {
    const bucket = filled(3, 2);
    for (let i = 10; i < 100; i++) expect(bucket.heard(contact(i), i)).toBe('waiting');
    expect(names(bucket.entries)).toEqual(['1', '2', '3']);
    expect(names(bucket.replacements)).toEqual(['98', '99']);
  });

  it('puts the most recent replacement in the place of one that does not answer (§4.1)', () => {
    const bucket = filled(3, 2, 2);
    bucket.heard(contact(8), 8);
    bucket.heard(contact(9), 9);
    expect(bucket.failed('1', 0)).toBe(false);
    expect(names(bucket.entries)).toEqual(['1', '2', '3']);
    expect(bucket.failed('1', 0)).toBe(true);
    expect(names(bucket.entries)).toEqual(['2', '3', '9']);
    expect(names(bucket.replacements)).toEqual(['8']);
  });

  it('puts a replacement that was silent for long where it is asked first', () => {
    const bucket = filled(3, 2, 1);
    bucket.heard(contact(9), 9);
    for (const number of [1, 2, 3]) bucket.heard(contact(number), 20 + number);
    expect(bucket.failed('2', 0)).toBe(true);
    expect(names(bucket.entries)).toEqual(['9', '1', '3']);
  });

  it('forgets nobody while nobody waits for the place: the network may be down (§4.1)', () => {
    const bucket = filled(3, 2, 2);
    for (let i = 0; i < 5; i++) for (const name of ['1', '2', '3']) expect(bucket.failed(name, 0)).toBe(false);
    expect(names(bucket.entries)).toEqual(['1', '2', '3']);
    bucket.heard(contact(2), 50);
    expect(bucket.find('2')).toMatchObject({ failures: 0 });
    expect(bucket.find('1')).toMatchObject({ failures: 5 });
  });

  it('gives the place of one that is given up to a newcomer at once', () => {
    const bucket = filled(3, 2, 2);
    bucket.failed('2', 0);
    expect(bucket.heard(contact(7), 7)).toBe('waiting');
    bucket.failed('3', 0);
    bucket.remove('7');
    bucket.failed('3', 0);
    expect(bucket.heard(contact(8), 8)).toBe('added');
    expect(names(bucket.entries)).toEqual(['1', '2', '8']);
  });

  it('drops a replacement that does not answer', () => {
    const bucket = filled(2, 3);
    bucket.heard(contact(7), 7);
    bucket.heard(contact(8), 8);
    expect(bucket.failed('8', 0)).toBe(false);
    expect(names(bucket.replacements)).toEqual(['7']);
  });

  it('takes over what a contact says of itself now', () => {
    const bucket = filled(2);
    const moved = { ...contact(1), addresses: ['10.0.0.9:1'] };
    bucket.heard(moved, 5);
    expect(bucket.find('1')?.contact).toBe(moved);
  });

  it('fills the place of one that left', () => {
    const bucket = filled(2);
    bucket.heard(contact(5), 5);
    expect(bucket.remove('1')).toBe(true);
    expect(names(bucket.entries)).toEqual(['2', '5']);
    expect(bucket.remove('1')).toBe(false);
    expect(bucket.remove('2')).toBe(true);
    expect(names(bucket.entries)).toEqual(['5']);
  });

  it('whatever happens: at most k, in the order in which they were heard, nobody twice', () => {
    const step = fc.record({ what: fc.constantFrom('heard', 'heard', 'heard', 'failed', 'remove'), who: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 4 }), (steps, k) => {
        const bucket = new Bucket(k, 2, 2, 0);
        let nowMs = 0;
        for (const { what, who } of steps) {
          nowMs += 1;
          const before = new Set(names(bucket.entries));
          if (what === 'heard') bucket.heard(contact(who), nowMs);
          else if (what === 'failed') bucket.failed(`${who}`, 0);
          else bucket.remove(`${who}`);
          expect(bucket.entries.length).toBeLessThanOrEqual(k);
          expect(bucket.replacements.length).toBeLessThanOrEqual(2);
          const all = names(bucket.entries).concat(names(bucket.replacements));
          expect(new Set(all).size).toBe(all.length);
          const times = bucket.entries.map(({ heardMs }) => heardMs);
          expect(times).toEqual(times.toSorted((left, right) => left - right));
          // Nobody but the one it is about goes by a failure or by leaving.
          if (what !== 'heard') {
            before.delete(`${who}`);
            for (const name of before) expect(names(bucket.entries)).toContain(name);
          }
          // Somebody waits only where there is no room.
          if (bucket.replacements.length > 0) expect(bucket.entries).toHaveLength(k);
        }
      }),
    );
  });
});
