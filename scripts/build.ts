/** Makes dist/ from src/ and cmd/: `npm run build`. `npm pack` and `npm publish` run it first. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
// What was removed from src/ must not live on in a package.
rmSync(dist, { recursive: true, force: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [compiler, '--project', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
for (const file of globSync('**/*.d.ts', { cwd: dist }).map((name) => join(dist, name))) {
  // tsc rewrites `./x.ts` in the JavaScript only; older compilers do not resolve it in a declaration.
  const declarations = readFileSync(file, 'utf8');
  writeFileSync(file, declarations.replaceAll(/((?:from|import\()\s*['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'));
}
// Nobody imports the commands.
for (const file of globSync('cmd/**/*.d.ts', { cwd: dist })) rmSync(join(dist, file));
for (const file of [
  'src/index.js',
  'src/index.d.ts',
  'src/testing/index.js',
  'src/testing/index.d.ts',
  'cmd/kvorum.js',
]) {
  if (!existsSync(join(dist, file))) throw new Error(`the build made no dist/${file}`);
}
chmodSync(join(dist, 'cmd/kvorum.js'), 0o755);
