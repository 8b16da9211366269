/** What a client beside a node makes of what that knows of the others. */
import { expect, test } from 'vitest';

import { Neighbours } from '../../src/client/neighbours.ts';
import type { Health } from '../../src/client/host.ts';

function scene(members: Record<string, Health>) {
  const made = { now: 0, asked: 0, members };
  const host = {
    id: '1',
    cluster: () => {
      made.asked++;
      return { members: Object.entries(made.members).map(([id, health]) => ({ id, health })) };
    },
  };
  return Object.assign(made, { neighbours: new Neighbours(host, () => made.now) });
}

test('what the host knows, looked at twenty times a second at most; the host itself is well', () => {
  const made = scene({ '1': 'unreachable', '2': 'suspect', '3': 'alive' });
  const { neighbours } = made;
  expect(['1', '2', '3', '9'].map((id) => neighbours.healthOf(id))).toEqual(['alive', 'suspect', 'alive', null]);
  expect(made.asked).toBe(1);
  made.members = { '2': 'alive', '3': 'unreachable' };
  made.now = 49;
  expect(neighbours.healthOf('3')).toBe('alive');
  made.now = 50;
  expect(['2', '3'].map((id) => neighbours.healthOf(id))).toEqual(['alive', 'unreachable']);
  expect(made.asked).toBe(2);
});

test('who was there and is not any more is unreachable, until it is back; not for ever, of thousands', () => {
  const made = scene({ '2': 'alive', '3': 'alive' });
  const { neighbours } = made;
  const look = (members: Record<string, Health>): void => {
    made.members = members;
    made.now += 50;
    neighbours.healthOf('2');
  };
  look({ '2': 'alive', '3': 'alive' });
  look({ '2': 'alive' });
  expect(neighbours.healthOf('3')).toBe('unreachable');
  look({ '2': 'alive', '3': 'alive' });
  expect(neighbours.healthOf('3')).toBe('alive');
  look({ '2': 'alive' });
  const many = Array.from({ length: 1500 }, (_, at) => String(1000 + at));
  look(Object.fromEntries(many.map((id) => [id, 'alive'])));
  look({});
  expect(neighbours.healthOf('3')).toBeNull();
  expect(many.filter((id) => neighbours.healthOf(id) === 'unreachable').length).toBeLessThanOrEqual(1000);
  expect(neighbours.healthOf(many.at(-1)!)).toBe('unreachable');
});
