/** Where the secret and the token come from. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { readJoinToken, readSecret, readToken } from '../../cmd/secret.ts';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-secret-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function file(content: string): string {
  const name = path.join(directory, 'secret');
  writeFileSync(name, content);
  return name;
}

test('a named file goes before the variable, and the newline at its end does not count', () => {
  const environment = { KVORUM_SECRET: 'from the environment' };
  expect(readSecret(undefined, {})).toBeUndefined();
  expect(readSecret(undefined, { KVORUM_SECRET: '' })).toBeUndefined();
  expect(readSecret(undefined, environment)).toBe('from the environment');
  expect(readSecret(file('from the file\n'), environment)).toBe('from the file');
  expect(readSecret(file(' with spaces \r\n'), environment)).toBe(' with spaces ');
});

test('an empty or missing file is refused by the name of its option', () => {
  expect(() => readSecret(file('\n'), {})).toThrow(/^--secret-file: .* is empty$/);
  expect(() => readSecret(path.join(directory, 'missing'), {})).toThrow(/^--secret-file: ENOENT/);
});

test('a token that no request could carry is refused', () => {
  expect(readToken(file('abc-._~+/=\n'), {})).toBe('abc-._~+/=');
  expect(() => readToken(file('two words'), {})).toThrow(/^--http-token-file: .*: a bearer token has only/);
  expect(() => readToken(undefined, { KVORUM_HTTP_TOKEN: 'ü' })).toThrow(/^KVORUM_HTTP_TOKEN: a bearer token/);
});

test('a join token: from the command line, else from a file, else from the variable', () => {
  const environment = { KVORUM_JOIN_TOKEN: 'from-variable' };
  const named = file('from-file\n');
  expect(readJoinToken('given', named, environment)).toBe('given');
  expect(readJoinToken(undefined, named, environment)).toBe('from-file');
  expect(readJoinToken(undefined, undefined, environment)).toBe('from-variable');
  expect(readJoinToken(undefined, undefined, { KVORUM_JOIN_TOKEN: '' })).toBeUndefined();
  expect(() => readJoinToken('two words', undefined, {})).toThrow(/^--join-token: is not a join token/);
  expect(() => readJoinToken(undefined, file('a\nb\n'), {})).toThrow(
    /^--join-token-file: .*secret: is not a join token/,
  );
});
