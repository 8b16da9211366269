/** The TypeScript of the documents runs as it is printed, against a real cluster, with other ports. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { Cluster } from './cluster.ts';
import { until } from './until.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const PAGES = ['README.md', 'docs/client.md', 'docs/services.md'];
/** What a service that has installed the package would get, from the sources. */
const RESOLVE = `
import { registerHooks } from 'node:module';
const sources = { kvorum: 'index.ts', 'kvorum/client': 'client/index.ts', 'kvorum/testing': 'testing/index.ts' };
registerHooks({
  resolve(specifier, context, next) {
    const source = sources[specifier];
    return source === undefined ? next(specifier, context) : next(${JSON.stringify(`file://${ROOT}/src/`)} + source, context);
  },
});
`;

interface Block {
  readonly page: string;
  readonly line: number;
  readonly code: string;
}

function blocks(page: string): Block[] {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    code: match[1] ?? '',
  }));
}

async function run(directory: string, code: string): Promise<{ code: number | null; output: string }> {
  const file = path.join(directory, 'example.ts');
  await writeFile(path.join(directory, 'resolve.mjs'), RESOLVE);
  await writeFile(path.join(directory, 'package.json'), '{"type":"module"}');
  await writeFile(file, code);
  const child = spawn(process.execPath, ['--import', './resolve.mjs', file], { cwd: directory });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [exit] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code: exit, output };
}

test('every block of TypeScript in the documents runs, and prints what its comments say', async () => {
  const cluster = await Cluster.start();
  const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-docs-'));
  onTestFinished(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  const all = PAGES.flatMap(blocks);
  expect(all.length).toBeGreaterThanOrEqual(PAGES.length);
  for (const { page, line, code } of all) {
    const ported = code.replaceAll(/127\.0\.0\.1:710([123])/g, (_, n: string) => {
      const node = cluster.nodes[Number(n) - 1]!;
      return `127.0.0.1:${node.httpPort}`;
    });
    const { code: exit, output } = await run(directory, ported);
    expect(exit, `${page}:${line} ended with ${exit}:\n${output}`).toBe(0);
    // `console.log(x); // what`: what it prints, where it can be said in advance.
    const told = [...code.matchAll(/^\s*console\.log\(.*\);[ \t]*\/\/ (true|false|null|hello true|shop-1)$/gm)];
    for (const [, what = ''] of told) expect(output.split('\n'), `${page}:${line}`).toContain(what);
  }
});

/** What each command of the README's first minutes prints; a watch goes on until Ctrl-C. */
const PRINTS: readonly (readonly [RegExp, RegExp])[] = [
  [/^curl -X PUT /, /^\{"revision":\d+,"created":true\}$/m],
  [/^curl http/, /^world$/m],
  [/ lock /, /^mine, fencing token \d+$/m],
  [/ elect /, /^I lead$/m],
  [/ watch /, /orders\/1/],
  [/ status$/, /n1[^]*n2[^]*n3/],
];

test('the commands of the README print what they promise', async () => {
  const cluster = await Cluster.start();
  const text = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const lines = [...text.matchAll(/^```sh\n([^]*?)^```/gm)]
    .flatMap(([, block = '']) => block.split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => /^(curl|npm run -s kvorum)/.test(line));
  expect(lines).toHaveLength(PRINTS.length);
  const env = { ...process.env, KVORUM_ENDPOINTS: cluster.nodes.map(({ url }) => url).join(',') };
  const curl = spawnSync('curl', ['--version']).error === undefined;
  if (!curl) console.log('skipped: the two curl commands of the README, there is no curl here');
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('curl ') && !curl) continue;
    const [command, printed] = PRINTS[index]!;
    expect(line).toMatch(command);
    const ported = line.replaceAll(/127\.0\.0\.1:710([123])/g, (_, n: string) => {
      return `127.0.0.1:${cluster.nodes[Number(n) - 1]!.httpPort}`;
    });
    const child = spawn('sh', ['-c', `exec ${ported}`], { cwd: ROOT, env, detached: true });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const closed = once(child, 'close') as Promise<[number | null]>;
    const end = (signal: NodeJS.Signals): void => {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, signal);
    };
    onTestFinished(() => end('SIGKILL'));
    if (line.includes(' watch ')) {
      await until(
        async () => {
          await fetch(`${cluster.nodes[0]!.url}/v1/kv/orders/1`, { method: 'PUT', body: 'new' });
          return printed.test(output);
        },
        { timeoutMs: 30_000, what: 'the watch shows a put', explain: () => output },
      );
      end('SIGINT');
    }
    const [exit] = await closed;
    // npm itself ends by the signal that it passes on.
    if (!line.includes(' watch ')) expect(exit, `${line} ended with ${exit}:\n${output}`).toBe(0);
    expect(output, line).toMatch(printed);
  }
});
