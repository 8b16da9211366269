import { beforeEach, describe, expect, test } from 'vitest';
import { Reconnector } from '../../src/transport/reconnect.ts';
import type { DialResult } from '../../src/transport/reconnect.ts';
import { ManualClock } from './memory-harness.ts';

let clock: ManualClock;
let dials: { atMs: number; address: string; done: (result: DialResult) => void }[];
let lost: string[];
let up: Set<string>;
let reconnector: Reconnector;
let random: () => number;

beforeEach(() => {
  clock = new ManualClock();
  dials = [];
  lost = [];
  up = new Set();
  random = () => 0;
  reconnector = new Reconnector({
    dial: (address, done) => dials.push({ atMs: clock.nowMs, address, done }),
    linked: (id) => up.has(id),
    lost: (id) => lost.push(id),
    schedule: clock.schedule,
    random: () => random(),
  });
});

function answer(result: DialResult): void {
  dials.at(-1)!.done(result);
}

function link(id: string): void {
  up.add(id);
  reconnector.up(id, 'h:1', 'h:1');
  answer({ type: 'linked', id });
}

function gaps(): number[] {
  return dials.slice(1).map((dial, index) => dial.atMs - dials[index]!.atMs);
}

describe('re-dialling', () => {
  test('waits longer after each failure, up to two seconds, for ever', () => {
    reconnector.connect('h:1');
    for (let i = 0; i < 10; i++) {
      answer({ type: 'failed' });
      while (dials.length === i + 1) clock.step();
    }
    expect(gaps()).toEqual([50, 100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000]);
  });

  test('takes up to half of each wait off at random', () => {
    random = () => 0.999;
    reconnector.connect('h:1');
    answer({ type: 'failed' });
    clock.step();
    expect(gaps()[0]).toBeGreaterThanOrEqual(25);
    expect(gaps()[0]).toBeLessThan(26);
  });

  test('is slow where the peer refuses', () => {
    reconnector.connect('h:1');
    answer({ type: 'refused' });
    clock.step();
    answer({ type: 'refused' });
    clock.step();
    expect(gaps()).toEqual([5000, 5000]);
  });

  test('comes at once when a link is lost, and tells when the port is closed then', () => {
    reconnector.connect('h:1');
    link('7');
    clock.pass(1000);
    expect(dials).toHaveLength(1);
    up.delete('7');
    reconnector.down('7', false);
    expect(dials).toHaveLength(2);
    expect(lost).toEqual([]);
    answer({ type: 'port-closed' });
    expect(lost).toEqual(['7']);
    // Once: the dials that follow are ordinary ones.
    clock.pass(10_000);
    answer({ type: 'port-closed' });
    expect(lost).toEqual(['7']);
  });

  test.each(['failed', 'refused'] as const)('takes %s for no hint', (type) => {
    reconnector.connect('h:1');
    link('7');
    up.delete('7');
    reconnector.down('7', false);
    answer({ type });
    clock.step();
    answer({ type: 'port-closed' });
    expect(lost).toEqual([]);
  });

  test('asks again when the connection is made and breaks, as of a dying process, but not for ever', () => {
    reconnector.connect('h:1');
    link('7');
    up.delete('7');
    reconnector.down('7', false);
    answer({ type: 'reset' });
    clock.step();
    expect(gaps().at(-1)).toBe(5);
    answer({ type: 'port-closed' });
    expect(lost).toEqual(['7']);
    link('7');
    up.delete('7');
    reconnector.down('7', false);
    for (let i = 0; i < 4; i++) {
      answer({ type: 'reset' });
      clock.step();
    }
    expect(gaps().at(-1)).toBe(50);
    answer({ type: 'port-closed' });
    expect(lost).toEqual(['7']);
  });

  test('does not ask after a peer whose link we closed', () => {
    reconnector.connect('h:1');
    link('7');
    up.delete('7');
    reconnector.down('7', true);
    expect(dials).toHaveLength(1);
    clock.step();
    expect(dials).toHaveLength(2);
    answer({ type: 'port-closed' });
    expect(lost).toEqual([]);
  });

  test('does not call a peer lost that came back by itself meanwhile', () => {
    reconnector.connect('h:1');
    link('7');
    up.delete('7');
    reconnector.down('7', false);
    up.add('7');
    reconnector.up('7', 'h:1');
    answer({ type: 'port-closed' });
    clock.pass(60_000);
    expect(lost).toEqual([]);
    expect(dials).toHaveLength(2);
  });

  describe('who dialled us, and says that it is there,', () => {
    beforeEach(() => {
      reconnector.connect('h:1');
      answer({ type: 'failed' });
      up.add('7');
      reconnector.up('7', 'h:1');
    });

    test('is left alone when it has been found there', () => {
      clock.pass(1999);
      expect(dials).toHaveLength(1);
      clock.pass(1);
      answer({ type: 'linked', id: '7' });
      clock.pass(60_000);
      expect(dials).toHaveLength(2);
    });

    test('is asked after like any other when its link is lost, also before that', () => {
      up.delete('7');
      reconnector.down('7', false);
      answer({ type: 'port-closed' });
      expect([dials.length, lost]).toEqual([2, ['7']]);
    });

    test('is not disturbed though it cannot be reached there', () => {
      for (const result of [{ type: 'failed' }, { type: 'port-closed' }, { type: 'refused' }] as const) {
        clock.pass(30_000);
        answer(result);
      }
      expect([dials.length, lost]).toEqual([4, []]);
      up.delete('7');
      reconnector.down('7', false);
      expect(dials).toHaveLength(5);
    });

    test('does not keep another from being found there', () => {
      clock.pass(2000);
      up.add('8');
      reconnector.up('8', 'h:1', 'h:1');
      answer({ type: 'linked', id: '8' });
      clock.pass(60_000);
      expect(dials).toHaveLength(2);
      up.delete('8');
      reconnector.down('8', false);
      answer({ type: 'port-closed' });
      expect(lost).toEqual(['8']);
    });

    test('does not take the place of one that was there', () => {
      up.add('8');
      reconnector.up('8', 'h:1', 'h:1');
      reconnector.up('7', 'h:1');
      up.delete('8');
      reconnector.down('8', false);
      expect(dials).toHaveLength(2);
      answer({ type: 'port-closed' });
      expect(lost).toEqual(['8']);
    });
  });

  test('what came of a dial before the link was there says nothing of the process after it', () => {
    reconnector.connect('h:1');
    up.add('1');
    reconnector.up('1', 'h:1');
    up.delete('1');
    reconnector.down('1', false);
    expect(dials).toHaveLength(2);
    dials[0]!.done({ type: 'port-closed' });
    expect(lost).toEqual([]);
    dials[1]!.done({ type: 'port-closed' });
    expect(lost).toEqual(['1']);
  });

  test('what came of a dial before the link was there does not hide that the process is gone', () => {
    reconnector.connect('h:1');
    up.add('1');
    reconnector.up('1', 'h:1');
    up.delete('1');
    reconnector.down('1', false);
    dials[0]!.done({ type: 'failed' });
    dials[1]!.done({ type: 'port-closed' });
    expect(lost).toEqual(['1']);
  });

  test('ends with disconnect and with close', () => {
    reconnector.connect('h:1');
    reconnector.connect('h:2');
    reconnector.disconnect('h:1');
    dials[0]!.done({ type: 'failed' });
    clock.pass(10_000);
    expect(dials).toHaveLength(2);
    dials[1]!.done({ type: 'failed' });
    reconnector.close();
    reconnector.connect('h:3');
    clock.pass(10_000);
    expect(dials).toHaveLength(2);
  });
});
