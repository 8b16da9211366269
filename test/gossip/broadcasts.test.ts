import { describe, expect, it } from 'vitest';
import { Broadcasts } from '../../src/gossip/broadcasts.ts';
import { statementBytes } from '../../src/gossip/statement.ts';
import type { Statement } from '../../src/gossip/types.ts';
import { alive, suspect } from './solo.ts';

const BYTES = statementBytes(suspect(1, 2));
const MESSAGE_BYTES = 1360;

function take(broadcasts: Broadcasts, count: number, limit = 10): Statement[] {
  const taken: Statement[] = [];
  broadcasts.take(taken, count * BYTES, 64, limit);
  return taken;
}

describe('statements to be passed on', () => {
  it('those sent least often go first, of those the newest', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    const [a, b, c] = [suspect(1, 9), suspect(2, 9), suspect(3, 9)];
    broadcasts.put(1, a);
    broadcasts.put(2, b);
    expect(take(broadcasts, 1)).toEqual([b]);
    broadcasts.put(3, c);
    expect(take(broadcasts, 2)).toEqual([c, a]);
    // All were sent once: those first that were sent last, the newest of them before.
    expect(take(broadcasts, 3)).toEqual([c, a, b]);
  });

  it('each is sent so many times and no more', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    broadcasts.put(1, suspect(1, 9));
    for (let i = 0; i < 3; i++) expect(take(broadcasts, 5, 3)).toHaveLength(1);
    expect(take(broadcasts, 5, 3)).toEqual([]);
    expect(broadcasts.size).toBe(0);
  });

  it('what is newly said of a member takes the place of what was said before, and is sent as often as if it were the first', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    broadcasts.put(1, suspect(1, 9));
    take(broadcasts, 1, 2);
    const refuted = alive(1, 1);
    broadcasts.put(1, refuted);
    expect(broadcasts.size).toBe(1);
    expect(take(broadcasts, 5, 2)).toEqual([refuted]);
    expect(take(broadcasts, 5, 2)).toEqual([refuted]);
    expect(take(broadcasts, 5, 2)).toEqual([]);
  });

  it('never more bytes than there is room for; what is smaller and comes later still fits', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    const small = suspect(1, 9);
    const large = alive(2, 0, { metadata: new Uint8Array(400) });
    broadcasts.put(1, small);
    broadcasts.put(2, large);
    expect(take(broadcasts, 1)).toEqual([small]);
    expect(broadcasts.size).toBe(2);
    const taken: Statement[] = [];
    broadcasts.take(taken, statementBytes(large) + BYTES - 1, 64, 10);
    expect(taken).toEqual([large]);
  });

  it('never more statements than a message may have', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    for (let i = 1; i <= 10; i++) broadcasts.put(i, suspect(i, 99));
    const taken: Statement[] = [suspect(50, 99)];
    broadcasts.take(taken, 1e6, 4, 10);
    expect(taken).toHaveLength(4);
  });

  it('keeps one for each member, however often they change', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    for (let round = 0; round < 2000; round++) {
      for (let member = 1; member <= 5; member++) broadcasts.put(member, suspect(member, 9, round));
      if (round % 7 === 0) take(broadcasts, 2);
    }
    expect(broadcasts.size).toBe(5);
    expect(broadcasts.held).toBeLessThanOrEqual(5 * 4 + 5 * 16);
  });

  it('one that fits into no message has one to itself', () => {
    const broadcasts = new Broadcasts(MESSAGE_BYTES);
    const huge = alive(1, 0, { addresses: Array.from({ length: 8 }, (_, i) => `${'h'.repeat(240)}.example:${i}`) });
    expect(statementBytes(huge)).toBeGreaterThan(MESSAGE_BYTES);
    const small = suspect(2, 9);
    broadcasts.put(1, huge);
    broadcasts.put(2, small);
    const messages = [1, 2, 3].map(() => {
      const taken: Statement[] = [];
      broadcasts.take(taken, MESSAGE_BYTES, 64, 1);
      return taken;
    });
    expect(messages).toEqual([[small], [huge], []]);
  });
});
