import { expect, test } from 'vitest';
import { check, drawHistory, type Operation } from '../../src/checker/index.ts';
import { did } from './history.ts';
import * as random from './random.ts';

test('a picture of a bad history: lanes, bars, the culprit, the order', () => {
  const history = [
    did('alice', [0, 100], 'put', 1),
    did('bob', [0, 100], 'put', 2),
    did('carol', [10, 20], 'get', null, 1),
    did('carol', [30, 40], 'get', null, 2),
    did('dave', [50, 60], 'get', null, 1),
    did('eve', [5, null], 'put', 3),
  ];
  const page = drawHistory(check(history, { model: 'register' }), 'five clients');
  expect(page).toContain('<title>five clients: bad</title>');
  for (const client of ['alice', 'bob', 'carol', 'dave', 'eve']) expect(page).toContain(`client ${client}</text>`);
  expect(page.match(/<rect /g)).toHaveLength(6);
  expect(page.match(/<g class="culprit">/g)).toHaveLength(1);
  expect(page).toContain(' open"');
  expect(page).toContain('no order of the operations has a place for');
  expect(page).toContain('>1· ');
});

test('nothing comes from outside, and nothing in a history becomes HTML', () => {
  const evil = `</title><script>alert("1")</script>&'\u0000`;
  const history = [did(evil, [0, 1], 'put', evil, null, evil), did(1, [2, 3], 'get', null, `${evil}!`, evil)];
  const page = drawHistory(check(history, { model: 'kv' }), evil);
  expect(page).not.toContain('<script');
  expect(page).not.toContain('alert("');
  expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  expect(page).not.toMatch(/(src|href)=/);
  expect(page).not.toContain('\u0000');
});

test('bars of one lane do not cover each other', () => {
  const history = random.correctHistory(random.seeded(5), random.registerScript, {
    operations: 50,
    clients: 4,
    unanswered: 0.1,
  });
  const end = Math.max(...history.map((operation) => operation.return ?? operation.call));
  const wrong = did('r', [end + 1, end + 2], 'get', null, 'nobody wrote this');
  const page = drawHistory(check([...history, wrong], { model: 'kv' }));
  const bars = [...page.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g)].map(([, x, y, width]) => ({
    from: Number(x),
    to: Number(x) + Number(width),
    lane: y,
  }));
  expect(bars.length).toBeGreaterThan(40);
  for (const [at, bar] of bars.entries()) {
    for (const other of bars.slice(at + 1)) {
      if (bar.lane === other.lane) expect(bar.to <= other.from || other.to <= bar.from).toBe(true);
    }
  }
});

test('of a long history what is around the culprit is drawn', () => {
  const history: Operation[] = [];
  for (let at = 0; at < 500; at++) history.push(did(1, [10 * at, 10 * at + 5], 'put', at));
  history.push(did(2, [5001, 5002], 'get', null, 3));
  const page = drawHistory(check(history, { model: 'kv' }));
  expect(page).toContain('441 of 501 operations');
  expect(page.match(/<rect /g)).toHaveLength(60);
  expect(page.length).toBeLessThan(60_000);
});

test('an ok history has a page too', () => {
  expect(drawHistory(check([], { model: 'kv' }))).toContain('An order of the operations was found');
});
