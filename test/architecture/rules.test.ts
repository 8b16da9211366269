import { describe, expect, it } from 'vitest';
import { checkHouse, unusedDependencies, type Manifest, type Rule } from './rules.ts';

const manifest: Manifest = {
  name: 'kvorum',
  dependencies: new Set([
    'fastify',
    'level',
    'libp2p',
    'msgpackr',
    'sorted-btree',
    'commander',
    '@libp2p/tcp',
    '@libp2p/interface',
  ]),
  devDependencies: new Set(['hdr-histogram-js']),
};

function rulesOf(files: Record<string, string>): string[] {
  return checkHouse(new Map(Object.entries(files)), manifest).map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

/** A source, alone in the house, and the rule that it breaks on its last line. */
function refuses(rule: Rule, file: string, source: string): void {
  const line = source.split('\n').length;
  expect(rulesOf({ [file]: source })).toEqual([`${file}:${line} ${rule}`]);
}

function accepts(file: string, source: string): void {
  expect(rulesOf({ [file]: source })).toEqual([]);
}

/** What is said of an import, on its second line, of an otherwise empty file. */
function here(file: string, specifier: string, target: string): string[] {
  return rulesOf({ [file]: `\nimport type { X } from '${specifier}';`, [target]: 'export type X = 1;' });
}

describe('pure rooms', () => {
  it.each([
    ['a clock', 'export const a = 1;\nexport const now = Date.now();', 'pure-global'],
    ['a clock, as a value', 'export const clock = Date;', 'pure-global'],
    ['a clock, in shorthand', 'export const clock = { Date };', 'pure-global'],
    ['a clock behind an assertion', 'export const now = (performance as { now(): number }).now();', 'pure-global'],
    ['a timer', 'export function f(): void {\n  setTimeout(() => undefined, 1); }', 'pure-global'],
    ['a timer in an arrow function', 'export const f = (): unknown => setImmediate(() => undefined);', 'pure-global'],
    ['the process', 'export const pid = process.pid;', 'pure-global'],
    ['a logger', "console.log('hello');", 'pure-global'],
    ['a microtask', 'queueMicrotask(() => undefined);', 'pure-global'],
    ['the network', "export const answer = fetch('http://localhost');", 'pure-global'],
    ['Web Crypto', 'export const id = crypto.randomUUID();', 'pure-global'],
    ['a Buffer', 'export const bytes = Buffer.alloc(1);', 'pure-global'],
    ['the global object', "export const now = globalThis['Date'];", 'pure-global'],
    ['a default parameter', 'export const f = (now = Date): unknown => now;', 'pure-global'],
    ['import.meta', 'export const here = import.meta.url;', 'pure-global'],
    ['Math.random', 'export const dice = Math.random();', 'pure-random'],
    ['Math.random by another name', 'const { random } = Math;\nexport const { max } = Math;', 'pure-random'],
    ['Math.random, computed', "export const dice = Math['random']();", 'pure-random'],
    ['an async function', 'export async function f(): Future {}', 'pure-async'],
    ['an async method', 'export class A {\n  async f() {} }', 'pure-async'],
    ['an async arrow function', 'export const f = async () => 1;', 'pure-async'],
    ['await', 'export const x = await y;', 'pure-async'],
    ['for await', 'for await (const x of xs) x();', 'pure-async'],
    ['import()', "export const x = import('./x.ts');", 'pure-async'],
    ['a promise', 'export const x = Promise.resolve();', 'pure-global'],
    ['a promise in a type', 'export interface A {\n  f(): Promise<void>; }', 'pure-async'],
    ['the order of a locale', "export const order = 'a'.localeCompare('b');", 'pure-locale'],
    ['Intl', "export const order = new Intl.Collator('de');", 'pure-global'],
    ['code as text', "export const now = eval('1');", 'pure-global'],
    ['a Node built-in', "import { readFileSync } from 'node:fs';\nexport * from 'node:path';", 'pure-import'],
    ['a Node built-in without node:', "import type { Server } from 'net';", 'pure-import'],
    ['a package', "import fastify from 'level';", 'pure-import'],
  ] as const)('refuse %s', (_name, source, rule) => {
    const broken = checkHouse(new Map([['src/raft/x.ts', source]]), manifest);
    expect(broken.map((violation) => violation.rule)).toContain(rule);
    expect(broken.at(-1)?.line).toBe(source.split('\n').length);
  });

  it.each(['src/raft/', 'src/gossip/', 'src/dht/', 'src/kv/', 'src/lock/', 'src/shard/', 'src/machine/'])(
    'are checked in %s',
    (room) => refuses('pure-global', `${room}x.ts`, 'export const now = Date.now();'),
  );

  it('may use names that only look like globals', () => {
    accepts('src/raft/x.ts', 'export const x = { process: 1, Date: 2, console() {} };');
    accepts('src/raft/x.ts', 'export class A {\n  fetch = 1;\n  process(): number {\n    return this.fetch;\n  }\n}');
    accepts('src/raft/x.ts', 'export const f = (x: { performance: number }): number => x.performance;');
    accepts('src/raft/x.ts', 'export type T = { at: Date; pid: typeof process.pid };');
    accepts('src/raft/x.ts', 'export const x = Math.max(Math.floor(1.5), 2);');
    accepts('src/raft/x.ts', "// Date.now() in a comment\nexport const x = 'Math.random() in a text';");
  });

  it('may use the packages of the allow-list, msgpackr in the machine only', () => {
    accepts('src/kv/x.ts', "import BTree from 'sorted-btree';\nexport const tree = new BTree();");
    accepts('src/machine/x.ts', "import { pack } from 'msgpackr';\nexport const x = pack(1);");
    refuses('pure-import', 'src/raft/x.ts', "import { pack } from 'msgpackr';");
  });

  it('leave the other rooms free', () => {
    accepts('src/node/x.ts', 'export const f = async (): Promise<number> => Date.now() + Math.random();');
  });
});

describe('imports', () => {
  it('go down', () => {
    expect(here('src/node/x.ts', '../raft/y.ts', 'src/raft/y.ts')).toEqual([]);
    expect(here('src/machine/x.ts', '../kv/y.ts', 'src/kv/y.ts')).toEqual([]);
    expect(here('src/raft/x.ts', '../errors.ts', 'src/errors.ts')).toEqual([]);
    expect(here('cmd/x.ts', '../src/index.ts', 'src/index.ts')).toEqual([]);
  });

  it('never go up, not even for a type', () => {
    expect(here('src/raft/x.ts', '../node/y.ts', 'src/node/y.ts')).toEqual(['src/raft/x.ts:2 import-down']);
    expect(here('src/errors.ts', './raft/y.ts', 'src/raft/y.ts')).toEqual(['src/errors.ts:2 import-down']);
    expect(here('src/node/x.ts', '../index.ts', 'src/index.ts')).toEqual(['src/node/x.ts:2 import-down']);
    expect(here('src/http/x.ts', '../../cmd/y.ts', 'cmd/y.ts')).toEqual(['src/http/x.ts:2 import-down']);
  });

  it('never go to a neighbour', () => {
    expect(here('src/raft/x.ts', '../kv/y.ts', 'src/kv/y.ts')).toEqual(['src/raft/x.ts:2 import-sideways']);
    expect(here('src/storage/x.ts', '../transport/y.ts', 'src/transport/y.ts')).toEqual([
      'src/storage/x.ts:2 import-sideways',
    ]);
    expect(here('src/http/x.ts', '../index.ts', 'src/index.ts')).toEqual(['src/http/x.ts:2 import-sideways']);
  });

  it('have two written exceptions', () => {
    expect(here('src/lock/x.ts', '../kv/types.ts', 'src/kv/types.ts')).toEqual([]);
    expect(here('src/lock/x.ts', '../kv/store.ts', 'src/kv/store.ts')).toEqual(['src/lock/x.ts:2 import-sideways']);
    expect(here('src/index.ts', './http/server.ts', 'src/http/server.ts')).toEqual([]);
  });

  it('see only the vocabulary of Raft from floor 2', () => {
    expect(here('src/storage/x.ts', '../raft/types.ts', 'src/raft/types.ts')).toEqual([]);
    expect(here('src/storage/x.ts', '../raft/core.ts', 'src/raft/core.ts')).toEqual([
      'src/storage/x.ts:2 import-vocabulary',
    ]);
  });

  it('are seen in every form', () => {
    const target = { 'src/node/y.ts': 'export const X = 1;' };
    for (const form of [
      "import '../node/y.ts';",
      "import { X } from '../node/y.ts';",
      "import type { X } from '../node/y.ts';",
      "export { X } from '../node/y.ts';",
      "export * from '../node/y.ts';",
      "export * as y from '../node/y.ts';",
      "export type T = import('../node/y.ts').T;",
    ]) {
      expect(rulesOf({ 'src/raft/x.ts': form, ...target })).toEqual(['src/raft/x.ts:1 import-down']);
    }
    expect(rulesOf({ 'src/storage/x.ts': "void import('../node/y.ts');", ...target })).toEqual([
      'src/storage/x.ts:1 import-down',
    ]);
  });

  it('stay in the house, and lead to a file', () => {
    refuses('import-down', 'src/node/x.ts', "import '../../test/helper.ts';");
    refuses('import-missing', 'src/node/x.ts', "import './nothing.ts';");
    refuses('import-dynamic', 'src/node/x.ts', 'void import(name);');
  });

  it('make no circle', () => {
    expect(
      rulesOf({
        'src/raft/a.ts': "import './b.ts';",
        'src/raft/b.ts': "\nimport './c.ts';",
        'src/raft/c.ts': "\n\nimport type { A } from './a.ts';",
      }),
    ).toEqual(['src/raft/c.ts:3 import-circle']);
    expect(rulesOf({ 'src/raft/a.ts': "import './a.ts';" })).toEqual(['src/raft/a.ts:1 import-circle']);
    expect(
      rulesOf({
        'src/raft/a.ts': "import './b.ts';\nimport './c.ts';",
        'src/raft/b.ts': "import './c.ts';",
        'src/raft/c.ts': '',
      }),
    ).toEqual([]);
  });
});

describe('packages', () => {
  it('stay in the room that owns them', () => {
    accepts('src/storage/x.ts', "import { Level } from 'level';");
    refuses('package-owner', 'src/node/x.ts', "import { Level } from 'level';");
    refuses('package-owner', 'src/node/x.ts', "import { createLibp2p } from 'libp2p';");
    refuses('package-owner', 'src/node/x.ts', "import { tcp } from '@libp2p/tcp';");
    accepts('src/node/x.ts', "import type { PrivateKey } from '@libp2p/interface';");
    refuses('package-owner', 'src/http/x.ts', "import type { PrivateKey } from '@libp2p/interface';");
    refuses('package-owner', 'src/node/x.ts', "import fastify from 'fastify';");
    refuses('package-owner', 'src/node/x.ts', "import { Command } from 'commander';");
  });

  it('are declared: what ships, as a dependency', () => {
    refuses('package-undeclared', 'src/node/x.ts', "import x from 'left-pad';");
    refuses('package-undeclared', 'src/node/x.ts', "import x from 'hdr-histogram-js';");
    accepts('bench/x.ts', "import x from 'hdr-histogram-js';");
    accepts('cmd/x.ts', "import x from 'kvorum/package.json' with { type: 'json' };");
  });

  it('are used when they are declared', () => {
    const sources = new Map([
      ['src/http/x.ts', "import type { FastifyInstance } from 'fastify';"],
      ['cmd/x.ts', "import 'commander';"],
      ['bench/x.ts', "import 'level';"],
    ]);
    expect(unusedDependencies(sources, manifest).map(({ message }) => message.split(' ')[0])).toEqual([
      'level',
      'libp2p',
      'msgpackr',
      'sorted-btree',
      '@libp2p/tcp',
      '@libp2p/interface',
    ]);
  });
});

describe('everywhere', () => {
  it('every source has a floor', () => {
    refuses('room', 'src/stray.ts', 'export const x = 1;');
    refuses('room', 'src/newroom/x.ts', 'export const x = 1;');
  });

  it('a source that does not parse is reported, not passed over', () => {
    refuses('syntax', 'src/node/x.ts', 'export const x = ;');
  });

  it('`using` is not in what ships', () => {
    refuses('no-using', 'src/node/x.ts', 'using x = open();');
    refuses('no-using', 'cmd/x.ts', 'export async function f() {\n  await using x = open(); }');
    accepts('examples/x.ts', 'using x = open();');
  });

  it('a library owns no signals and ends no process', () => {
    refuses('no-process', 'src/node/x.ts', 'process.exit(1);');
    refuses('no-process', 'src/node/x.ts', "process.once('SIGTERM', () => undefined);");
    accepts('src/node/x.ts', 'export const pid = process.pid;');
    accepts('cmd/x.ts', 'process.exit(1);');
  });
});
