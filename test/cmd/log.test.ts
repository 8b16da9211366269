/** Log lines of a node as people read them. */
import { expect, test } from 'vitest';

import { formatLogLine, parseLogLine } from '../../cmd/log.ts';

function shown(line: object): string | null {
  const parsed = parseLogLine(JSON.stringify(line));
  return parsed === null ? null : formatLogLine(parsed);
}

test('time, level, node, message, fields', () => {
  const time = Date.UTC(2024, 0, 1, 12, 4, 5, 678);
  expect(shown({ level: 30, time, node: 'n1', term: 3, leader: 'n2', msg: 'a leader is known' })).toBe(
    '12:04:05.678 INFO  n1 a leader is known term=3 leader=n2',
  );
  expect(shown({ level: 40, time, msg: 'no node', why: 'two words' })).toBe(
    '12:04:05.678 WARN  no node why="two words"',
  );
  expect(shown({ level: 50, time, node: 'n1', err: { message: 'disk\nfull', stack: '…' }, msg: 'stopped' })).toBe(
    '12:04:05.678 ERROR n1 stopped err="disk\\nfull"',
  );
});

test('nothing that a peer sends steers a terminal', () => {
  const line = shown({ level: 30, time: 0, node: 'n1', name: '\u001B[2J', msg: 'a\u001B[31mb\nc' });
  expect(line).toBe('00:00:00.000 INFO  n1 a\\u001b[31mb\\nc name="\\u001b[2J"');
});

test('what is no log line is none', () => {
  for (const line of ['', 'kvorum: ERR_X: y', '{', '{}', '[]', '{"level":"info","time":1}']) {
    expect([line, parseLogLine(line)]).toEqual([line, null]);
  }
});
