/** Makes dist/ from src/ and cmd/: `npm run build`. `npm pack` and `npm publish` run it first. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
// What was removed from src/ must not live on in a package.
rmSync(dist, { recursive: true, force: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [compiler, '--project', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
for (const file of ['src/index.js', 'src/index.d.ts', 'cmd/kvorum.js']) {
  if (!existsSync(join(dist, file))) throw new Error(`the build made no dist/${file}`);
}
chmodSync(join(dist, 'cmd/kvorum.js'), 0o755);
