/** Runs every scenario script and compares its trace. See scenario.ts for the verbs and for how to rewrite. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseScenario, printScenario, Scenario } from './scenario.ts';

const directory = new URL('./testdata/', import.meta.url);
const rewrite = process.env['REWRITE'] === '1';

describe('scenarios', () => {
  for (const file of readdirSync(directory).toSorted()) {
    if (!file.endsWith('.txt')) continue;
    test(file, () => {
      const source = readFileSync(new URL(file, directory), 'utf8');
      const scenario = new Scenario();
      const blocks = parseScenario(source).map((block) => {
        try {
          return { ...block, output: scenario.run(block.command) };
        } catch (error) {
          const trace = scenario.trace.join('\n');
          throw new Error(`${file}: ${block.command}\n${trace}`, { cause: error });
        }
      });
      const actual = printScenario(blocks);
      if (rewrite && actual !== source) writeFileSync(new URL(file, directory), actual);
      else expect(actual).toBe(source);
    });
  }
});
