import { describe, expect, test } from 'vitest';
import { check, type Operation } from '../../src/checker/index.ts';
import { did, failed, verdictOf } from './history.ts';

type Step = ['append', string, number] | ['r', string, number[] | null];

/** All overlap unless times are given. */
function txn(client: number, steps: Step[], times: readonly [number, number | null] = [0, 100]): Operation {
  const input = steps.map(([kind, key, value]) => [kind, key, kind === 'r' ? null : value]);
  return did(client, times, 'txn', input, times[1] === null ? null : steps);
}

const verdict = (...history: Operation[]) => verdictOf('txn', history);

test('serial transactions', () => {
  const history = [
    txn(
      1,
      [
        ['append', 'x', 1],
        ['r', 'x', [1]],
      ],
      [0, 1],
    ),
    txn(
      2,
      [
        ['append', 'x', 2],
        ['append', 'y', 3],
      ],
      [2, 3],
    ),
    txn(
      1,
      [
        ['r', 'x', [1, 2]],
        ['r', 'y', [3]],
        ['r', 'z', null],
      ],
      [4, 5],
    ),
  ];
  expect(verdict(...history)).toBe('ok');
});

describe('each anomaly by its name', () => {
  test('G0: two transactions append to two lists in different orders', () => {
    const result = verdict(
      txn(1, [
        ['append', 'x', 1],
        ['append', 'y', 1],
      ]),
      txn(2, [
        ['append', 'x', 2],
        ['append', 'y', 2],
      ]),
      txn(3, [['r', 'x', [1, 2]]]),
      txn(4, [['r', 'y', [2, 1]]]),
    );
    expect(result).toContain('bad: G0: T1 appended');
    expect(result).toContain('T1 is client 1');
  });

  test('G1a: what a failed transaction appended is read', () => {
    expect(verdict(failed(txn(1, [['append', 'x', 1]])), txn(2, [['r', 'x', [1]]]))).toContain(
      'bad: G1a: aborted read',
    );
  });

  test('G1b: a list is read in the middle of a transaction', () => {
    const history = [
      txn(1, [
        ['append', 'x', 1],
        ['append', 'x', 2],
      ]),
      txn(2, [['r', 'x', [1]]]),
      txn(3, [['r', 'x', [1, 2]]]),
    ];
    expect(verdict(...history)).toContain('bad: G1b: intermediate read');
  });

  test('G1c: two transactions see each other', () => {
    const history = [
      txn(1, [
        ['append', 'x', 1],
        ['r', 'y', [2]],
      ]),
      txn(2, [
        ['append', 'y', 2],
        ['r', 'x', [1]],
      ]),
    ];
    expect(verdict(...history)).toContain('bad: G1c: ');
  });

  test('G-single: a read misses one append of a transaction and sees another', () => {
    const history = [
      txn(1, [
        ['append', 'x', 1],
        ['append', 'y', 2],
      ]),
      txn(2, [
        ['r', 'x', []],
        ['r', 'y', [2]],
      ]),
      txn(3, [['r', 'x', [1]]]),
    ];
    expect(verdict(...history)).toContain('bad: G-single: ');
  });

  test('G2-item: two transactions miss each other (write skew)', () => {
    const history = [
      txn(1, [
        ['r', 'x', []],
        ['append', 'y', 1],
      ]),
      txn(2, [
        ['r', 'y', []],
        ['append', 'x', 2],
      ]),
      txn(
        3,
        [
          ['r', 'x', [2]],
          ['r', 'y', [1]],
        ],
        [200, 300],
      ),
    ];
    expect(verdict(...history)).toContain('bad: G2-item: ');
  });

  test('G0-realtime: a later append stands first', () => {
    const history = [
      txn(1, [['append', 'x', 1]], [0, 1]),
      txn(2, [['append', 'x', 2]], [2, 3]),
      txn(3, [['r', 'x', [2, 1]]], [4, 5]),
    ];
    const result = verdict(...history);
    expect(result).toContain('bad: G0-realtime: ');
    expect(result).toContain('returned before the call of');
  });

  test('G1c-realtime: a read of what is appended later', () => {
    const history = [txn(1, [['r', 'x', [1]]], [0, 1]), txn(2, [['append', 'x', 1]], [2, 3])];
    expect(verdict(...history)).toContain('bad: G1c-realtime: ');
  });

  test('G-single-realtime: a stale read', () => {
    const history = [
      txn(1, [['append', 'x', 1]], [0, 1]),
      txn(2, [['r', 'x', []]], [2, 3]),
      txn(3, [['r', 'x', [1]]], [4, 5]),
    ];
    expect(verdict(...history)).toContain('bad: G-single-realtime: ');
  });

  test('G2-item-realtime: two transactions miss each other, joined by real time', () => {
    const history = [
      txn(
        1,
        [
          ['r', 'x', []],
          ['append', 'y', 1],
        ],
        [0, 100],
      ),
      txn(2, [['append', 'x', 2]], [10, 20]),
      txn(3, [['r', 'y', []]], [30, 40]),
      txn(
        4,
        [
          ['r', 'x', [2]],
          ['r', 'y', [1]],
        ],
        [200, 300],
      ),
    ];
    expect(verdict(...history)).toContain('bad: G2-item-realtime: ');
  });

  test('incompatible-order: two reads of one list', () => {
    const history = [
      txn(1, [['append', 'x', 1]]),
      txn(2, [['append', 'x', 2]]),
      txn(3, [['r', 'x', [1, 2]]]),
      txn(4, [['r', 'x', [2]]]),
    ];
    expect(verdict(...history)).toContain('bad: incompatible-order: ');
  });

  test('incompatible-order: a transaction against its own steps', () => {
    const history = [
      txn(1, [
        ['append', 'x', 1],
        ['append', 'x', 2],
      ]),
      txn(3, [['r', 'x', [2, 1]]]),
    ];
    const result = check(history, { model: 'txn' });
    expect(result.reason).toContain('incompatible-order');
  });

  test('duplicate-elements: an append that was applied twice', () => {
    expect(verdict(txn(1, [['append', 'x', 1]]), txn(2, [['r', 'x', [1, 1]]]))).toContain('bad: duplicate-elements: ');
  });

  test('phantom-element: of nobody', () => {
    expect(verdict(txn(2, [['r', 'x', [1]]]))).toContain('bad: phantom-element: ');
  });

  test('lost-append: acknowledged, and in no later list', () => {
    const history = [txn(1, [['append', 'x', 1]], [0, 1]), txn(2, [['r', 'x', []]], [2, 3])];
    expect(verdict(...history)).toContain('bad: lost-append: ');
  });

  test('internal: a transaction does not see its own append', () => {
    expect(
      verdict(
        txn(1, [
          ['append', 'x', 1],
          ['r', 'x', []],
        ]),
      ),
    ).toContain('bad: internal: ');
    const history = [
      txn(1, [['append', 'x', 1]]),
      txn(2, [
        ['r', 'x', []],
        ['r', 'x', [1]],
      ]),
    ];
    expect(verdict(...history)).toContain('bad: internal: ');
  });
});

test('a transaction without an answer counts when somebody saw it, as a whole', () => {
  const lost = txn(
    1,
    [
      ['append', 'x', 1],
      ['append', 'y', 2],
    ],
    [0, null],
  );
  expect(
    verdict(
      lost,
      txn(2, [
        ['r', 'x', []],
        ['r', 'y', []],
      ]),
    ),
  ).toBe('ok');
  expect(
    verdict(
      lost,
      txn(2, [
        ['r', 'x', [1]],
        ['r', 'y', [2]],
      ]),
    ),
  ).toBe('ok');
  expect(
    verdict(
      lost,
      txn(2, [
        ['r', 'x', [1]],
        ['r', 'y', []],
      ]),
    ),
  ).toContain('bad: G-single: ');
});

test('the shortest cycle is the one that is told', () => {
  const ring = [1, 2, 3, 4, 5].map((at) =>
    txn(at, [
      ['append', `k${at}`, at],
      ['r', `k${(at % 5) + 1}`, [(at % 5) + 1]],
    ]),
  );
  const pair = [
    txn(6, [
      ['append', 'a', 1],
      ['r', 'b', [2]],
    ]),
    txn(7, [
      ['append', 'b', 2],
      ['r', 'a', [1]],
    ]),
  ];
  const result = check([...ring, ...pair], { model: 'txn' });
  expect(result.parts[0]?.culprits).toHaveLength(2);
  expect(check(ring, { model: 'txn' }).parts[0]?.culprits).toHaveLength(5);
});

test('malformed transactions are refused', () => {
  expect(() => verdict(did(1, [0, 1], 'txn', [['w', 'x', 1]], []))).toThrow('a step is');
  expect(() => verdict(txn(1, [['append', 'x', 1]]), txn(2, [['append', 'x', 1]]))).toThrow('a second time');
});
