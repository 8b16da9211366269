import { describe, expect, it } from 'vitest';
import { Awareness } from '../../src/gossip/awareness.ts';

describe('local health', () => {
  it('is a counter that saturates at both ends', () => {
    const awareness = new Awareness(8);
    awareness.apply(-1);
    expect(awareness.score).toBe(0);
    awareness.apply(3);
    expect(awareness.score).toBe(3);
    awareness.apply(100);
    expect(awareness.score).toBe(7);
    awareness.apply(-2);
    expect(awareness.score).toBe(5);
  });

  it('makes times longer: by (score + 1)', () => {
    const awareness = new Awareness(8);
    expect(awareness.scale(500)).toBe(500);
    awareness.apply(7);
    expect(awareness.scale(500)).toBe(4000);
  });

  it('with a most of 1 it is switched off', () => {
    const awareness = new Awareness(1);
    awareness.apply(5);
    expect(awareness.scale(500)).toBe(500);
  });
});
