import { describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from '../../src/node/cursor.ts';

describe('list cursors', () => {
  it('come back as they went, whatever bytes the keys have', () => {
    const cursor = { revision: 7, after: 'a\u0000\u00ff', start: '', end: null, count: 12 };
    expect(decodeCursor(encodeCursor(cursor))).toEqual(cursor);
    expect(decodeCursor(encodeCursor({ ...cursor, end: '\u00fe' })).end).toBe('\u00fe');
  });

  it.each([
    '',
    'x',
    'bm90IGpzb24',
    Buffer.from('[1,2]').toString('base64url'),
    Buffer.from('[1,-1,0,"a","",null]').toString('base64url'),
  ])('refuses %j', (text) => {
    expect(() => decodeCursor(text)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  });
});
