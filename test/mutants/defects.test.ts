/** The list of seeded defects follows the source: each still applies, in one place, and changes something. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DEFECTS } from './defects/index.ts';
import { applyEdits } from './edits.ts';
import { editsOf } from './types.ts';

const root = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8');

describe('seeded defects', () => {
  test('have names of their own', () => {
    const names = DEFECTS.map(({ name }) => name);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    expect(DEFECTS.length).toBeGreaterThanOrEqual(25);
  });

  test.each(DEFECTS.map((defect) => [defect.name, defect] as const))('%s applies to the source', (_name, defect) => {
    const changed = applyEdits(editsOf(defect), read);
    for (const [file, text] of changed) expect(text).not.toBe(read(file));
  });

  test('an edit that applies nowhere, or in two places, is refused', () => {
    const edit = { file: 'a.ts', find: 'x', replace: 'y' };
    expect(() => applyEdits([edit], () => 'abc')).toThrow('a.ts does not contain: x');
    expect(() => applyEdits([edit], () => 'axbxc')).toThrow('a.ts contains 2 times: x');
    expect(applyEdits([edit], () => 'axc').get('a.ts')).toBe('ayc');
  });
});
