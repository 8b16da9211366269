/** `npm run architecture`: prints every place in src/, cmd/, bench/ and examples/ that breaks the plan of the house. */
import { globSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { checkHouse, unusedDependencies, type Manifest } from './rules.ts';

const root = join(import.meta.dirname, '..', '..');
const declared = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};
const manifest: Manifest = {
  name: declared.name,
  dependencies: new Set(Object.keys(declared.dependencies)),
  devDependencies: new Set(Object.keys(declared.devDependencies)),
};
const sources = new Map<string, string>();
for (const file of globSync('{src,cmd,bench,examples}/**/*.ts', { cwd: root }).toSorted()) {
  const name = file.split(sep).join('/');
  if (!name.includes('node_modules/')) sources.set(name, readFileSync(join(root, file), 'utf8'));
}
const violations = [...checkHouse(sources, manifest), ...unusedDependencies(sources, manifest)];
for (const { file, line, rule, message } of violations) console.error(`${file}:${line}  ${rule}  ${message}`);
if (violations.length > 0) {
  console.error(
    `\n${violations.length} of the house's rules broken (docs/architecture.md, test/architecture/house.ts)`,
  );
  process.exitCode = 1;
} else {
  console.log(`architecture: ${sources.size} files keep to the plan of the house`);
}
