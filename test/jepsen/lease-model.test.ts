/** Leases that end before their time are found, and nothing else is. */
import { expect, test } from 'vitest';

import { check, type Operation } from '../../src/checker/index.ts';
import { leased } from './workloads/lease-model.ts';

const MS = 1000;
let clients = 0;

function at(op: string, callMs: number, output: unknown = true, returnMs: number | null = callMs + 1): Operation {
  const input = op === 'grant' ? 1000 : null;
  const returned = returnMs === null ? null : returnMs * MS;
  return { client: ++clients, op, key: 'k', input, output, call: callMs * MS, return: returned };
}

const verdict = (...operations: Operation[]): string => check(operations, { model: leased }).verdict;
const begun = [at('grant', 0, '7'), at('put', 10)];

test('a key is there for its TTL after the last acknowledged renewal was sent', () => {
  expect(verdict(...begun, at('read', 900, false))).toBe('bad');
  expect(verdict(...begun, at('read', 999, false, 1000))).toBe('ok');
  expect(verdict(...begun, at('renew', 500), at('read', 1400, false))).toBe('bad');
  expect(verdict(...begun, at('renew', 500), at('read', 1499, false, 1500))).toBe('ok');
});

test('a renewal without an answer promises nothing, one that is refused must not come early', () => {
  expect(verdict(...begun, at('renew', 500, null, null), at('read', 1100, false))).toBe('ok');
  expect(verdict(...begun, at('renew', 800, false))).toBe('bad');
  expect(verdict(...begun, at('renew', 1000, false))).toBe('ok');
});

test('what the client library vouches for is there', () => {
  expect(verdict(...begun, at('read', 1200, false), at('guard', 1300, null))).toBe('bad');
  expect(verdict(...begun, at('guard', 1200, null), at('read', 1300, false))).toBe('ok');
});

test('before the put there is nothing to miss, and after a revocation neither', () => {
  expect(verdict(at('grant', 0, '7'), at('put', 10, true, 30), at('read', 11, false))).toBe('ok');
  expect(verdict(...begun, at('revoke', 100), at('read', 102, false))).toBe('ok');
  expect(verdict(...begun, at('read', 50, false), at('revoke', 100))).toBe('bad');
});
