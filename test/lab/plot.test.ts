import { describe, expect, it } from 'vitest';
import { plot } from './plot.ts';

describe('plot', () => {
  it('draws a line through its points, with ticks that hold them', () => {
    const svg = plot({
      title: 'Load & <size>',
      x: { label: 'members', scale: 'log' },
      y: { label: 'messages', from: 0 },
      series: [
        {
          name: 'ours',
          points: [
            { x: 100, y: 2 },
            { x: 10_000, y: 4, low: 3, high: 5 },
          ],
        },
      ],
    });
    expect(svg).toContain('Load &amp; &lt;size&gt;');
    // 100 at the left end, 10,000 at the right; 2 and 4 of 0 to 5.
    expect(svg).toContain('<path d="M78.0 248.8L740.0 109.6"');
    expect(svg).toContain('>10,000</text>');
    expect(svg.match(/<circle/g)).toHaveLength(3);
  });

  it('leaves out what a logarithmic axis cannot show', () => {
    const svg = plot({
      title: 'zero',
      x: { label: 'x' },
      y: { label: 'y', scale: 'log' },
      series: [
        {
          name: 'a',
          points: [
            { x: 0, y: 0 },
            { x: 1, y: 10 },
            { x: 2, y: 100 },
          ],
        },
      ],
    });
    expect(svg).not.toContain('NaN');
    expect(svg).not.toContain('Infinity');
    expect(svg.match(/<circle/g)).toHaveLength(3);
  });

  it('steps are flat until the next point', () => {
    const points = [
      { x: 0, y: 0 },
      { x: 1, y: 1 },
    ];
    const svg = plot({
      title: 's',
      x: { label: 'x' },
      y: { label: 'y' },
      series: [{ name: 'a', join: 'step', points }],
    });
    expect(svg).toContain('d="M78.0 388.0H740.0V40.0"');
    expect(svg).not.toContain('<circle');
  });

  it('a single value and no value are charts too', () => {
    const one = plot({
      title: '1',
      x: { label: 'x' },
      y: { label: 'y' },
      series: [{ name: 'a', points: [{ x: 5, y: 5 }] }],
    });
    const none = plot({ title: '0', x: { label: 'x' }, y: { label: 'y' }, series: [{ name: 'a', points: [] }] });
    expect(one + none).not.toContain('NaN');
  });
});
