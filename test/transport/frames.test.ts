import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameQueue, FrameReader, encodeFrame } from '../../src/transport/frames.ts';

function cutUp(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.byteLength + 1)), bytes.byteLength].sort((a, b) => a - b);
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

describe('frames', () => {
  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.array(fc.nat(1000)),
        fc.integer({ min: 1, max: 200 }),
        (frames, cuts, slice) => {
          const queue = new FrameQueue();
          for (const frame of frames) queue.push([frame.subarray(0, 7), frame.subarray(7)], frame.byteLength);
          const written: Uint8Array[] = [];
          while (queue.length > 0) written.push(...queue.take(slice));
          expect(queue.bytes).toBe(0);
          const wire = Buffer.concat(written);
          expect(wire).toEqual(Buffer.concat(frames.map((frame) => encodeFrame(frame))));
          const read: Uint8Array[] = [];
          const reader = new FrameReader(40, (frame) => read.push(frame));
          for (const chunk of cutUp(wire, cuts)) reader.push(chunk);
          expect(read.map((frame) => [...frame])).toEqual(frames.map((frame) => [...frame]));
        },
      ),
    );
  });

  test('pass large parts on without copying them, and keep order', () => {
    const queue = new FrameQueue();
    const large = new Uint8Array(100_000).fill(7);
    queue.push([Uint8Array.of(1, 2), large, Uint8Array.of(3)], 100_003);
    queue.push([Uint8Array.of(9)], 1);
    const buffers = queue.take(1_000_000);
    expect(buffers).toHaveLength(3);
    expect(buffers[1]).toBe(large);
    expect(Buffer.concat(buffers)).toEqual(
      Buffer.concat([
        encodeFrame(Buffer.concat([Uint8Array.of(1, 2), large, Uint8Array.of(3)])),
        encodeFrame(Uint8Array.of(9)),
      ]),
    );
  });

  test('are taken whole, at least one', () => {
    const queue = new FrameQueue();
    for (let i = 0; i < 3000; i++) queue.push([new Uint8Array(10)], 10);
    expect(queue.bytes).toBe(42_000);
    expect(queue.take(1).reduce((sum, buffer) => sum + buffer.byteLength, 0)).toBe(14);
    while (queue.length > 100) queue.take(140);
    queue.push([Uint8Array.of(1)], 1);
    let bytes = 0;
    while (queue.length > 0) for (const buffer of queue.take(28)) bytes += buffer.byteLength;
    expect(bytes).toBe(99 * 14 + 5);
  });

  test('over the limit are refused by their header alone', () => {
    for (const length of [101, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const reader = new FrameReader(100, () => expect.unreachable());
      const header = Buffer.alloc(4);
      header.writeUInt32BE(length);
      expect(() => reader.push(header)).toThrow(`${length} bytes`);
    }
    const seen: number[] = [];
    new FrameReader(100, (frame) => seen.push(frame.byteLength)).push(encodeFrame(new Uint8Array(100)));
    expect(seen).toEqual([100]);
  });

  test('are the receiver’s to keep when spread over chunks that are used again', () => {
    const read: Uint8Array[] = [];
    const reader = new FrameReader(100, (frame) => read.push(frame));
    const wire = encodeFrame(Uint8Array.of(1, 2, 3, 4));
    reader.push(wire.subarray(0, 6));
    const rest = wire.slice(6);
    reader.push(rest);
    rest.fill(0);
    wire.fill(0);
    expect([...read[0]!]).toEqual([1, 2, 3, 4]);
  });
});
