import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import type { Entry } from '../../src/raft/types.ts';
import { clusterIdBytes, decodeMessage, MessageEncoder, type WireMessage } from '../../src/node/wire.ts';

const CLUSTER = '12345678901234567890';
const cluster = clusterIdBytes(CLUSTER);
const base = { group: 7, from: '1', to: '2', term: 3 } as const;

function entry(index: number, text: string): Entry {
  return { index, term: 3, kind: 'command', data: new TextEncoder().encode(text) };
}

const messages: WireMessage[] = [
  { ...base, type: 'VoteRequest', preVote: true, transfer: false, lastIndex: 9, lastTerm: 2 },
  { ...base, type: 'VoteRequest', preVote: false, transfer: true, lastIndex: 2 ** 52, lastTerm: 2 },
  { ...base, type: 'VoteResponse', preVote: true, granted: false },
  { ...base, type: 'VoteResponse', preVote: false, granted: true },
  { ...base, type: 'Append', prevIndex: 0, prevTerm: 0, commit: 0, entries: [] },
  { ...base, type: 'Append', prevIndex: 9, prevTerm: 2, commit: 8, entries: [entry(10, ''), entry(11, 'eleven')] },
  { ...base, type: 'AppendResponse', rejected: true, index: 9, hintIndex: 4, hintTerm: 1 },
  { ...base, type: 'Heartbeat', commit: 8, round: 77 },
  { ...base, type: 'HeartbeatResponse', round: 77 },
  { ...base, type: 'ReadIndexRequest', bootEpoch: 4, token: 12 },
  { ...base, type: 'ReadIndexResponse', bootEpoch: 4, token: 12, index: 0 },
  { ...base, type: 'ReadIndexResponse', bootEpoch: 4, token: 12, index: null },
  { ...base, type: 'TimeoutNow' },
];

function plain(message: WireMessage): unknown {
  if (message.type !== 'Append') return message;
  return {
    ...message,
    entries: message.entries.map(({ index, term, kind, data }) => ({ index, term, kind, data: [...data] })),
  };
}

describe('raft frames', () => {
  it.each(messages.map((message) => [message.type, message] as const))('%s comes back as it went', (_, message) => {
    const frame = Buffer.concat(new MessageEncoder(CLUSTER).encode(message));
    expect(plain(decodeMessage(frame, '1', '2', cluster))).toEqual(plain(message));
  });

  it('reuses the encoded run for the next follower, and not for another run', () => {
    const encoder = new MessageEncoder(CLUSTER);
    const entries = [entry(10, 'a'), entry(11, 'b')];
    const append = { ...base, type: 'Append', prevIndex: 9, prevTerm: 2, commit: 8, entries } as const;
    expect(encoder.encode(append)[1]).toBe(encoder.encode({ ...append, to: '3', entries: [...entries] })[1]);
    const shorter = Buffer.concat(encoder.encode({ ...append, entries: entries.slice(0, 1) }));
    expect(plain(decodeMessage(shorter, '1', '2', cluster))).toEqual(
      plain({ ...append, entries: entries.slice(0, 1) }),
    );
  });

  it('takes the sender from the link, never from the frame', () => {
    const frame = Buffer.concat(new MessageEncoder(CLUSTER).encode(messages[12] as WireMessage));
    expect(decodeMessage(frame, '9', '2', cluster).from).toBe('9');
  });

  it('refuses a frame of another cluster', () => {
    const frame = Buffer.concat(new MessageEncoder('1').encode(messages[12] as WireMessage));
    expect(() => decodeMessage(frame, '1', '2', cluster)).toThrow(/another cluster/);
  });

  it('answers every cut and every flipped byte with a message or a KvorumError, and never alters an entry', () => {
    const original = messages[5] as WireMessage;
    const frame = Buffer.concat(new MessageEncoder(CLUSTER).encode(original));
    for (let length = 0; length < frame.length; length++) {
      expect(() => decodeMessage(frame.subarray(0, length), '1', '2', cluster)).toThrow(KvorumError);
    }
    // Entry records start after the head, four fields and the first length.
    for (let at = 24 + 32 + 4; at < frame.length; at++) {
      const flipped = Buffer.from(frame);
      flipped[at] = (flipped[at] as number) ^ 0x10;
      expect(() => decodeMessage(flipped, '1', '2', cluster)).toThrow(KvorumError);
    }
  });

  it('answers random bytes with a KvorumError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, withHead) => {
        const frame = withHead ? Buffer.concat([Buffer.of(1, 3, 0, 0, 0, 0, 0, 7), cluster, bytes]) : bytes;
        try {
          decodeMessage(frame, '1', '2', cluster);
        } catch (error) {
          if (!KvorumError.is(error)) throw error;
        }
      }),
    );
  });
});
