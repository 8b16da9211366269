/** The parser of server-sent events, against the examples of the standard and against chunks that are cut anywhere. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { SseParser } from '../../src/client/sse.ts';
import type { ServerSentEvent } from '../../src/client/sse.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function parse(stream: string | Uint8Array, cuts: readonly number[] = []): ServerSentEvent[] {
  const all = typeof stream === 'string' ? bytes(stream) : stream;
  const parser = new SseParser();
  const events: ServerSentEvent[] = [];
  let start = 0;
  for (const cut of [...cuts, all.length].toSorted((a, b) => a - b)) {
    events.push(...parser.push(all.subarray(start, cut)));
    start = cut;
  }
  return events;
}

const message = (data: string, id = ''): ServerSentEvent => ({ event: 'message', data, id });

describe('HTML standard, §9.2.6', () => {
  const rows: readonly [string, string, ServerSentEvent[]][] = [
    ['several lines of data', 'data: YHOO\ndata: +2\ndata: 10\n\n', [message('YHOO\n+2\n10')]],
    [
      'comments, ids, an empty id, a space that is kept',
      ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n',
      [message('first event', '1'), message('second event'), message(' third event')],
    ],
    ['empty data; a block that never ends', 'data\n\ndata\ndata\n\ndata:', [message(''), message('\n')]],
    ['with and without a space', 'data:test\n\ndata: test\n\n', [message('test'), message('test')]],
    ['names', 'event: add\ndata: 1\n\ndata: 2\n\n', [{ event: 'add', data: '1', id: '' }, message('2')]],
    ['CR and CRLF', 'data: a\r\rdata: b\r\n\r\ndata: c\n\r\n', [message('a'), message('b'), message('c')]],
    ['a byte order mark', '\ufeffdata: a\n\n', [message('a')]],
    ['an id with NUL is none', 'id: 1\nid: a\0b\ndata: x\n\n', [message('x', '1')]],
    ['an id stays', 'id: 7\ndata: a\n\ndata: b\n\n', [message('a', '7'), message('b', '7')]],
    ['an event without data is none, and its name is forgotten', 'event: x\n\ndata: y\n\n', [message('y')]],
    ['unknown fields, and retry', 'retry: 10\nfoo: bar\ndatax: 1\ndata: a\n\n', [message('a')]],
    ['a colon in a value', 'data: {"a":1}\n\n', [message('{"a":1}')]],
  ];
  test.each(rows)('%s', (_, stream, events) => {
    expect(parse(stream)).toEqual(events);
    const length = bytes(stream).length;
    for (let cut = 0; cut <= length; cut++) expect(parse(stream, [cut]), `cut at ${cut}`).toEqual(events);
    expect(
      parse(
        stream,
        Array.from({ length }, (__, i) => i),
      ),
    ).toEqual(events);
  });
});

test('what was written is read, with any line ends, comments in between, and chunks cut anywhere', () => {
  const line = fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/u.test(text));
  const event = fc.record({
    event: fc.oneof(
      fc.constant('message'),
      line.filter((text) => text !== '' && !text.startsWith(' ')),
    ),
    data: fc.array(line, { minLength: 1, maxLength: 4 }),
    id: fc.option(line.filter((text) => !text.includes('\0'))),
    comment: fc.option(line),
    end: fc.constantFrom('\n', '\r', '\r\n'),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), fc.array(fc.nat({ max: 2000 }), { maxLength: 30 }), (list, cuts) => {
      let stream = '';
      let last = '';
      const expected: ServerSentEvent[] = [];
      for (const { event: name, data, id, comment, end } of list) {
        const lines = data.map((each) => `data: ${each}`);
        if (comment !== null) lines.unshift(`:${comment}`);
        if (id !== null) lines.push(`id: ${id}`);
        if (name !== 'message') lines.push(`event: ${name}`);
        stream += lines.map((each) => each + end).join('') + end;
        last = id ?? last;
        expected.push({ event: name, data: data.join('\n'), id: last });
      }
      const length = bytes(stream).length;
      expect(
        parse(
          stream,
          cuts.map((cut) => Math.min(cut, length)),
        ),
      ).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test('any bytes at all are read without an error, and the same however they are cut', () => {
  const noise = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.constantFrom('data', 'id', 'event', ':', ' ', '\n', '\r', '\r\n', '\0', 'ä', '🦉').map(bytes),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(noise, fc.array(fc.nat({ max: 400 }), { maxLength: 20 }), (pieces, cuts) => {
      const stream = new Uint8Array(pieces.flatMap((piece) => [...piece]));
      const whole = parse(stream);
      expect(
        parse(
          stream,
          cuts.map((cut) => Math.min(cut, stream.length)),
        ),
      ).toEqual(whole);
    }),
    { numRuns: 500 },
  );
});

test('a long line in many chunks is put together once', () => {
  const parser = new SseParser();
  const chunk = bytes('x'.repeat(1000));
  parser.push(bytes('data: '));
  for (let i = 0; i < 20_000; i++) expect(parser.push(chunk)).toEqual([]);
  const [event] = parser.push(bytes('\n\n'));
  expect(event!.data.length).toBe(20_000_000);
});

test('a line that does not end is refused', () => {
  const parser = new SseParser(1000);
  expect(() => {
    for (let i = 0; i < 20; i++) parser.push(bytes('x'.repeat(100)));
  }).toThrow(/longer than 1000/u);
  const lines = new SseParser(1000);
  expect(() => {
    for (let i = 0; i < 20; i++) lines.push(bytes(`data: ${'x'.repeat(100)}\n`));
  }).toThrow(/longer than 1000/u);
});
