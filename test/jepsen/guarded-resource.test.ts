/** What a lock protects in the lab: it refuses old tokens, and its record shows when it did not. */
import { expect, onTestFinished, test } from 'vitest';

import { GuardedResource, problemsOf, writeTo } from './locks/guarded-resource.ts';

async function open(checks: boolean): Promise<GuardedResource> {
  const resource = await GuardedResource.open({ checks });
  onTestFinished(async () => await resource.close());
  return resource;
}

test('a token older than one that was seen is refused, by name', async () => {
  const resource = await open(true);
  const write = async (name: string, token: number): Promise<boolean | null> =>
    await writeTo(resource.url, name, token, `h${token}`);
  expect(await write('a/b', 3)).toBe(true);
  expect(await write('a/b', 3)).toBe(true);
  expect(await write('a/b', 5)).toBe(true);
  expect(await write('a/b', 3)).toBe(false);
  expect(await write('c', 1)).toBe(true);
  expect(resource.problems()).toEqual([]);
  expect(resource.writes.filter(({ accepted }) => !accepted)).toEqual([
    { name: 'a/b', token: 3, holder: 'h3', accepted: false },
  ]);
});

test('without the check the record shows the harm', async () => {
  const resource = await open(false);
  for (const [token, holder] of [
    [3, 'x'],
    [5, 'y'],
    [3, 'x'],
  ] as const) {
    // prettier-ignore
    expect(await writeTo(resource.url, 'a', token, holder)).toBe(true);
  }
  expect(resource.problems()).toEqual(['a took a write with token 3 of x after token 5 of y']);
});

test('one token of two holders is found', () => {
  const of = (holder: string) => ({ name: 'a', token: 3, holder, accepted: true });
  expect(problemsOf([of('x'), of('x')])).toEqual([]);
  expect(problemsOf([of('x'), of('y')])).toHaveLength(1);
});
