import { describe, expect, it } from 'vitest';
import {
  DEFAULT_SETTINGS,
  pushPullIntervalMs,
  retransmitLimit,
  settingsOf,
  suspicionMinMs,
} from '../../src/gossip/settings.ts';

describe('formulas of the number of members', () => {
  it('retransmissions: multiplier · ⌈log10(n + 1)⌉', () => {
    expect([1, 9, 10, 99, 128, 10_000].map((n) => retransmitLimit(4, n))).toEqual([4, 4, 8, 8, 12, 20]);
  });

  it('least suspicion: α · max(1, log10 n) · interval', () => {
    expect(suspicionMinMs(4, 1, 1000)).toBe(4000);
    expect(suspicionMinMs(4, 10, 1000)).toBe(4000);
    expect(suspicionMinMs(5, 100, 1000)).toBe(10_000);
    expect(suspicionMinMs(5, 128, 1000)).toBeCloseTo(10_536, 0);
  });

  it('push-pull: every 30 s up to 32 members, one interval more with each doubling', () => {
    expect([2, 32, 33, 64, 65, 128, 10_000].map((n) => pushPullIntervalMs(30_000, n) / 30_000)).toEqual([
      1, 1, 2, 2, 3, 3, 10,
    ]);
  });
});

describe('settings', () => {
  it('are those of memberlist for a local network unless others are given', () => {
    expect(settingsOf({})).toEqual(DEFAULT_SETTINGS);
    expect(settingsOf({ probeIntervalMs: 2000 })).toEqual({ ...DEFAULT_SETTINGS, probeIntervalMs: 2000 });
  });

  it.each([
    { probeTimeoutMs: 1000 },
    { probeTimeoutMs: 0 },
    { gossipIntervalMs: 0 },
    { pushPullIntervalMs: -1 },
    { suspicionMultiplier: 0 },
    { suspicionMaxMultiplier: 0.5 },
    { awarenessMax: 0 },
    { maxMembers: 0 },
  ])('that make no sense are refused: %o', (settings) => {
    expect(() => settingsOf(settings)).toThrow('settings of gossip');
  });
});
