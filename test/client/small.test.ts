/** `kvorum/client` loads nothing but itself and the errors, and is small. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { parseSync } from 'oxc-parser';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Bytes of all files together, types, comments and indentation taken out, names as they are; and the same compressed. (A bundler that shortens names
 * makes 74 kB of it, 24 kB compressed; services, which cannot be loaded later because a picker answers at once, are a quarter of that.) Raise them for a reason, not by the
 * way: the last was registrations that are told apart on a lease that they share, and instances that name their node.
 */
const MAX_BYTES = 137_500;
const MAX_COMPRESSED_BYTES = 35_500;

/** Loaded by whoever connects to a `kvorum://` endpoint, or checks its health by TCP, and by nobody else. */
const LAZY =
  /^(?:src\/client\/stream-endpoints\.ts '\.\/stream\/[\w.-]+\.ts'|src\/client\/services\/check\.ts '\.\/tcp-probe\.ts')$/u;

/** What a file loads when it runs: imports and re-exports of values. */
function loadedBy(file: string): string[] {
  const source = stripTypeScriptTypes(readFileSync(file, 'utf8'));
  const { program, module, errors } = parseSync(file.replace(/\.ts$/u, '.js'), source, { sourceType: 'module' });
  expect(errors).toEqual([]);
  expect(program.body.length).toBeGreaterThan(0);
  for (const { moduleRequest } of module.dynamicImports) {
    const written = source.slice(moduleRequest.start, moduleRequest.end);
    expect(`${relative(ROOT, file)} ${written}`, 'loads something while it runs').toMatch(LAZY);
  }
  return [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) => (moduleRequest === null ? [] : [moduleRequest.value])),
    ),
  ];
}

function graph(): Map<string, string> {
  const files = new Map<string, string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.set(file, stripTypeScriptTypes(readFileSync(file, 'utf8')));
    for (const specifier of loadedBy(file)) {
      expect(specifier, `${file} loads a package or a Node built-in`).toMatch(/^\.{1,2}\//u);
      visit(join(dirname(file), specifier));
    }
  };
  visit(join(ROOT, 'src/client/index.ts'));
  return files;
}

test('nothing outside of src/client is loaded but src/errors.ts', () => {
  const outside = [...graph().keys()]
    .map((file) => relative(ROOT, file))
    .filter((file) => !file.startsWith('src/client/'));
  expect(outside).toEqual(['src/errors.ts']);
});

test('no global of Node is named', () => {
  for (const [file, source] of graph()) {
    const { program } = parseSync(file, source, { sourceType: 'module', lang: 'js' });
    const names = new Set<string>();
    JSON.stringify(program, (_, node: unknown) => {
      if (typeof node === 'object' && node !== null && 'type' in node && node.type === 'Identifier' && 'name' in node) {
        names.add(String(node.name));
      }
      return node;
    });
    for (const name of ['process', 'Buffer', 'require', 'setImmediate', 'global', '__dirname']) {
      expect(names.has(name), `${file} names ${name}`).toBe(false);
    }
  }
});

test('it is small', () => {
  const code = [...graph().values()]
    .map((source) =>
      source
        .replaceAll(/^\s*\/\*\*?[\s\S]*?\*\/\s*$/gmu, '')
        .replaceAll(/^\s*\/\/.*$/gmu, '')
        .replaceAll(/^\s+/gmu, '')
        // Where types were is blank.
        .replaceAll(/ {2,}/gu, ' '),
    )
    .join('\n');
  expect(code).not.toContain('/**');
  expect(Buffer.byteLength(code)).toBeLessThan(MAX_BYTES);
  expect(gzipSync(code).length).toBeLessThan(MAX_COMPRESSED_BYTES);
});
