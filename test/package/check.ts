/**
 * `npm run test:package`: the package as its users get it. Packs it, installs it in an empty project, and tries it on the
 * oldest Node that it supports and on the one it is developed with: import, require, types, `npx kvorum`; then publint
 * and attw, and what the installation weighs. Needs the npm registry, and takes a minute or two.
 */
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

const OLDEST_NODE = '22.18.0';
const TIMEOUT_MS = 300_000;
const root = join(import.meta.dirname, '..', '..');
const bin = join(root, 'node_modules', '.bin');
const folder = mkdtempSync(join(tmpdir(), 'kvorum-package-'));

try {
  check();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function check(): void {
  step('pack');
  const packed = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], root)) as
    | { filename: string; size: number; unpackedSize: number; files: { path: string }[] }[]
    | Record<string, { filename: string; size: number; unpackedSize: number; files: { path: string }[] }>;
  const pack = Object.values(packed)[0];
  if (pack === undefined) throw new Error('npm pack made nothing');
  const tarball = join(folder, pack.filename);
  const strays = pack.files
    .map(({ path }) => path)
    .filter((path) => !/^(?:dist\/(?:src|cmd)\/|package\.json$|README\.md$|LICENSE$)/.test(path));
  if (strays.length > 0) throw new Error(`the package has files that it should not: ${strays.join(', ')}`);
  for (const needed of ['dist/src/index.js', 'dist/src/index.d.ts', 'dist/cmd/kvorum.js', 'README.md', 'LICENSE']) {
    if (!pack.files.some(({ path }) => path === needed)) throw new Error(`the package lacks ${needed}`);
  }

  step('publint');
  run(join(bin, 'publint'), ['run', tarball, '--strict'], root);
  step('attw');
  run(join(bin, 'attw'), [tarball, '--profile', 'esm-only'], root);

  step('install in an empty project');
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', version: '1.0.0', private: true }));
  run('npm', ['install', '--no-audit', '--no-fund', tarball], project);

  step(`install Node ${OLDEST_NODE}`);
  const nodes = join(folder, 'nodes');
  mkdirSync(nodes);
  const manifest = { name: 'nodes', version: '1.0.0', private: true, allowScripts: { node: true } };
  writeFileSync(join(nodes, 'package.json'), JSON.stringify(manifest));
  run('npm', ['install', '--no-audit', '--no-fund', `node@${OLDEST_NODE}`], nodes);
  const oldest = join(nodes, 'node_modules', 'node', 'bin', 'node');

  writePrograms(project);
  for (const node of [oldest, process.execPath]) tryOn(node, project);

  step('types');
  const types = join(project, 'consumer.mts');
  const compiler = ['--noEmit', '--strict', '--target', 'es2023', '--module', 'nodenext', '--skipLibCheck'];
  const typeRoots = ['--types', 'node', '--typeRoots', join(root, 'node_modules', '@types')];
  run(join(bin, 'tsc'), ['--ignoreConfig', ...compiler, ...typeRoots, types], project);

  const installed = weigh(project);
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  console.log(
    `package ${mib(pack.size)} packed, ${mib(pack.unpackedSize)} unpacked; ` +
      `installed with its dependencies: ${mib(installed.bytes)}, ${installed.packages} packages`,
  );
}

function writePrograms(project: string): void {
  const body = `
    const node = await startNode({ dataDir: process.argv[2] });
    const { revision } = await node.put('greeting', 'hello');
    const { entry } = await node.get('greeting');
    if (new TextDecoder().decode(entry.value) !== 'hello' || entry.modRevision !== revision) throw new Error('read something else');
    await node.close();
    const cluster = await simCluster({ seed: 1 });
    await cluster.run(cluster.node('n1').call((one) => one.put('greeting', 'hello')));
    cluster.close();
    console.log(process.version, 'revision', revision);`;
  writeFileSync(
    join(project, 'esm.mjs'),
    `import { startNode } from 'kvorum';\nimport { simCluster } from 'kvorum/testing';\n${body}\n`,
  );
  writeFileSync(
    join(project, 'cjs.cjs'),
    `const { startNode } = require('kvorum');\nconst { simCluster } = require('kvorum/testing');\n(async () => {${body}\n})();\n`,
  );
  writeFileSync(
    join(project, 'consumer.mts'),
    `import { startNode, type KvorumNode } from 'kvorum';
import { check, simCluster } from 'kvorum/testing';
const cluster = await simCluster({ seed: 1 });
const verdict: 'ok' | 'bad' | 'unknown' = check([], { model: 'kv' }).verdict;
const node: KvorumNode = await startNode({ name: 'n1' });
const answer: { revision: number } = await node.put('key', new Uint8Array(1));
// @ts-expect-error: a number is no value
await node.put('key', 1);
// @ts-expect-error: no such option
await startNode({ nmae: 'n1' });
export { answer, cluster, verdict };
`,
  );
}

function tryOn(node: string, project: string): void {
  const version = run(node, ['--version'], project).trim();
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` };
  for (const program of ['esm.mjs', 'cjs.cjs']) {
    step(`${program} on ${version}`);
    const said = run(node, [program, join(folder, `data-${program}-${version}`)], project, env);
    if (!said.startsWith(`${version} revision `)) throw new Error(`${program} said: ${said}`);
  }
  step(`npx kvorum on ${version}`);
  const help = run('npx', ['--no-install', 'kvorum', '--help'], project, env);
  for (const command of ['local', 'start', 'put', 'get']) {
    if (!new RegExp(`^ +${command}\\b`, 'm').test(help))
      throw new Error(`kvorum --help does not show ${command}:\n${help}`);
  }
  const { version: ours } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const shown = run('npx', ['--no-install', 'kvorum', '--version'], project, env);
  if (!shown.includes(ours)) throw new Error(`kvorum --version says ${shown}`);
}

function weigh(project: string): { bytes: number; packages: number } {
  const modules = join(project, 'node_modules');
  const bytes = readdirSync(modules, { recursive: true, encoding: 'utf8' }).reduce(
    (sum, name) => sum + lstatSync(join(modules, name)).blocks * 512,
    0,
  );
  // The first line is the project.
  return { bytes, packages: run('npm', ['ls', '--all', '--parseable'], project).trim().split('\n').length - 1 };
}

function step(name: string): void {
  console.log(`• ${name}`);
}

/** Standard output of a program. One that fails, or that says something on standard error (but npm), ends the check. */
function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): string {
  const quiet = /[/\\]node$/.test(command);
  const errors = join(folder, 'stderr');
  writeFileSync(errors, '');
  try {
    const output = execFileSync('sh', ['-c', 'exec "$@" 2> "$0"', errors, command, ...args], {
      cwd,
      env,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = readFileSync(errors, 'utf8');
    if (quiet && said !== '') throw new Error(`${command} ${args.join(' ')} is not silent: ${said}`);
    return output;
  } catch (error) {
    console.error((error as { stdout?: string }).stdout ?? '', readFileSync(errors, 'utf8'));
    throw error;
  }
}
