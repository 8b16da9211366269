import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import {
  Configurations,
  decodeConfiguration,
  EMPTY_CONFIGURATION,
  encodeConfiguration,
  isVoter,
  members,
} from '../../src/raft/configuration.ts';
import type { Configuration, Entry, IndexedConfiguration } from '../../src/raft/types.ts';

function of(...voters: string[]): Configuration {
  return { ...EMPTY_CONFIGURATION, voters };
}

function entry(index: number, configuration: Configuration): Entry {
  return { index, term: 1, kind: 'config', data: encodeConfiguration(configuration) };
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    if (KvorumError.is(error)) return error.code;
    throw error;
  }
  return undefined;
}

describe('the bytes of a configuration', () => {
  const ids = fc.uniqueArray(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String), { maxLength: 5 });

  test('come back as what was put in, context included', () => {
    const some = fc.record({
      voters: ids,
      votersOutgoing: ids,
      learners: ids,
      learnersNext: ids,
      autoLeave: fc.boolean(),
      context: fc.jsonValue({ noUnicodeString: false }),
    });
    fc.assert(
      fc.property(some, (configuration) => {
        // -0 is the one JSON value that JSON does not keep.
        const plain = JSON.parse(JSON.stringify(configuration)) as Configuration;
        expect(decodeConfiguration(encodeConfiguration(plain))).toEqual(plain);
      }),
    );
  });

  test('have no context when there was none', () => {
    expect('context' in decodeConfiguration(encodeConfiguration(of('1')))).toBe(false);
  });

  test('start with a version, and a later one is refused as such', () => {
    const data = encodeConfiguration(of('1'));
    expect(data[0]).toBe(1);
    data[0] = 2;
    expect(codeOf(() => decodeConfiguration(data))).toBe('ERR_DATA_VERSION');
  });

  test.each([
    ['nothing', ''],
    ['no JSON', '\u0001{'],
    ['no object', '\u00017'],
    ['null', '\u0001null'],
    ['a missing list', '\u0001{"voters":["1"],"votersOutgoing":[],"learners":[],"autoLeave":false}'],
    [
      'a number for an id',
      '\u0001{"voters":[1],"votersOutgoing":[],"learners":[],"learnersNext":[],"autoLeave":false}',
    ],
    ['an id twice', '\u0001{"voters":["1","1"],"votersOutgoing":[],"learners":[],"learnersNext":[],"autoLeave":true}'],
  ])('are refused: %s', (_, text) => {
    expect(codeOf(() => decodeConfiguration(new TextEncoder().encode(text)))).toBe('ERR_CORRUPT');
  });

  test('are refused when they are not UTF-8', () => {
    expect(codeOf(() => decodeConfiguration(Uint8Array.of(1, 0x22, 0xff, 0x22)))).toBe('ERR_CORRUPT');
  });
});

describe('configurations along the log', () => {
  test('nobody is a voter of an empty one', () => {
    const configurations = new Configurations([]);
    expect(configurations.current).toEqual(EMPTY_CONFIGURATION);
    expect(isVoter(configurations.current, '1')).toBe(false);
    expect(configurations.takeChanged()).toBeNull();
  });

  test('everybody gets the log once', () => {
    const joint: Configuration = {
      voters: ['1', '2'],
      votersOutgoing: ['2', '3'],
      learners: ['4'],
      learnersNext: ['3'],
      autoLeave: true,
    };
    expect(members(joint)).toEqual(['1', '2', '3', '4']);
    expect(isVoter(joint, '3')).toBe(true);
    expect(isVoter(joint, '4')).toBe(false);
  });

  test('out of order they are refused', () => {
    const twice = [
      { index: 3, configuration: of('1') },
      { index: 3, configuration: of('2') },
    ];
    expect(codeOf(() => new Configurations(twice))).toBe('ERR_INVARIANT');
    const configurations = new Configurations([{ index: 3, configuration: of('1') }]);
    expect(codeOf(() => configurations.append(entry(3, of('2'))))).toBe('ERR_INVARIANT');
  });

  test('append, truncation, compaction and snapshots keep the list that a plain array of the log gives', () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('append' as const), isConfig: fc.boolean() }),
      fc.record({ type: fc.constant('truncate' as const), back: fc.nat(6) }),
      fc.record({ type: fc.constant('compact' as const), ahead: fc.nat(6) }),
      fc.record({ type: fc.constant('snapshot' as const), ahead: fc.nat(3) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        let name = 0;
        let base: IndexedConfiguration = { index: 0, configuration: of('0') };
        let first = 1;
        let log: (Configuration | null)[] = [];
        const configurations = new Configurations([base]);
        let lastTold: readonly IndexedConfiguration[] = [base];
        for (const step of actions) {
          if (step.type === 'append') {
            const configuration = step.isConfig ? of(String(++name)) : null;
            log.push(configuration);
            if (configuration !== null) configurations.append(entry(first + log.length - 1, configuration));
          } else if (step.type === 'truncate') {
            log = log.slice(0, Math.max(0, log.length - step.back));
            configurations.truncate(first + log.length);
          } else if (step.type === 'compact') {
            const index = Math.min(first - 1 + step.ahead, first - 1 + log.length);
            for (; first <= index; first++) {
              const dropped = log.shift();
              if (dropped) base = { index: first, configuration: dropped };
            }
            configurations.compact(index);
          } else {
            first = first + log.length + step.ahead;
            log = [];
            base = { index: first - 1, configuration: of(String(++name)) };
            configurations.reset(base.index, base.configuration);
          }
          const expected = [base];
          log.forEach((configuration, i) => {
            if (configuration !== null) expected.push({ index: first + i, configuration });
          });
          expect(configurations.current).toEqual(expected.at(-1)?.configuration);
          for (let index = first - 1; index < first + log.length; index++) {
            expect(configurations.at(index)).toEqual(expected.findLast((one) => one.index <= index)?.configuration);
          }
          // Said exactly when something changed; the list then is the whole truth.
          const told = configurations.takeChanged();
          lastTold = told ?? lastTold;
          expect(lastTold).toEqual(expected);
          expect(configurations.takeChanged()).toBeNull();
        }
      }),
      { numRuns: 500 },
    );
  });
});
