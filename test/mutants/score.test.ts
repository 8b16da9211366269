import { describe, expect, test } from 'vitest';
import { markdownTable, summary, textTable } from './report.ts';
import { scoreOf, scoreTable, survivors, type MutationReport } from './score.ts';
import type { Verdict } from './trial.ts';

describe('the score of Stryker', () => {
  const location = { start: { line: 2, column: 5 }, end: { line: 2, column: 10 } };
  const mutant = (status: string, mutatorName = 'EqualityOperator') => {
    return { status, mutatorName, replacement: 'a <= b', location };
  };
  const report: MutationReport = {
    files: {
      'a.ts': {
        source: '\nif (a < b) c();\n',
        mutants: [mutant('Killed'), mutant('Timeout'), mutant('Survived'), mutant('Pending')],
      },
      'b.ts': { source: '\nx = "text"; \n', mutants: [mutant('NoCoverage', 'StringLiteral'), mutant('Ignored')] },
    },
  };

  test('counts what was tested, and a mutant that no test reaches as survived', () => {
    expect(scoreOf(report)).toEqual({ killed: 1, timedOut: 1, survived: 1, uncovered: 1, untested: 1, score: 50 });
    const [, , , all, butTexts] = scoreTable(report).split('\n');
    expect(all).toMatch(/^all +50\.0/);
    expect(butTexts).toMatch(/^all but texts +66\.7/);
  });

  test('names the survivors', () => {
    expect(survivors(report)).toEqual([
      'a.ts:2:5 EqualityOperator: a < b → a <= b',
      'b.ts:2:5 StringLiteral: "text → a <= b',
    ]);
  });
});

describe('the table of seeded defects', () => {
  const verdict = {
    room: 'raft',
    about: '',
    status: 'caught',
    caughtBy: 'raft tests',
    seconds: 1,
    inVain: {},
  } as const;
  const verdicts: Verdict[] = [
    {
      ...verdict,
      name: 'a',
      detail: 'test/x.test.ts: y | z',
      simulator: { name: 'core simulator', seeds: 3, seconds: 1 },
    },
    {
      ...verdict,
      name: 'b',
      status: 'survived',
      caughtBy: null,
      detail: '',
      simulator: null,
      inVain: { 'core simulator': 9 },
    },
  ];

  test('says who caught each, and after how many seeds a simulator found it', () => {
    const [head, a, b] = textTable(verdicts).split('\n');
    expect(head).toMatch(/^defect +room +caught by +s +simulator$/);
    expect(a).toMatch(/^a +raft +test\/x\.test\.ts: y \| z +1\.0 +core: 3 seeds$/);
    expect(b).toMatch(/^b +raft +NOBODY +1\.0 +not in 9 core$/);
    expect(markdownTable(verdicts)).toContain('| a | raft | test/x.test.ts: y \\| z | 1.0 | core: 3 seeds |');
    expect(summary(verdicts)).toBe('1 of 2 caught; a simulator alone finds 1 of the 2 that it was shown');
  });
});
