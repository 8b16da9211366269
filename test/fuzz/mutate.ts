/** Frames that nobody sends, made of frames that somebody did. */
import type { Random } from '../../src/testing/random.ts';

/** Bytes at which encodings and lengths turn into others: msgpack's markers among them. */
const TELLING = [
  0x00, 0x01, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc4, 0xc6, 0xc9, 0xcb, 0xcf, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xff,
];
const MAX_BYTES = 64 * 1024;

/** One that differs from `frame` in some way; `other` is another real one. Now and then the frame as it is: a replay. */
export function mutate(frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.1)) return frame.slice();
  if (random.chance(0.03)) return random.bytes(random.between(0, 300));
  let bytes: Uint8Array = frame.slice();
  const times = random.chance(0.7) ? 1 : random.between(2, 6);
  for (let i = 0; i < times; i++) bytes = mutateOnce(bytes, other, random);
  return bytes.subarray(0, MAX_BYTES);
}

function mutateOnce(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const { length } = bytes;
  if (length === 0) return random.bytes(random.between(1, 16));
  // Mostly near the beginning, where kinds, versions and lengths are.
  const at = random.between(0, random.chance(0.5) ? Math.min(length - 1, 12) : length - 1);
  const end = random.between(at, Math.min(length, at + 32));
  switch (random.between(0, 7)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.between(0, 7));
      return bytes;
    case 1:
      bytes[at] = random.pick(TELLING);
      return bytes;
    case 2:
      bytes.set(random.bytes(end - at), at);
      return bytes;
    case 3:
      return bytes.slice(0, at);
    case 4:
      return joined(bytes.subarray(0, at), bytes.subarray(end));
    case 5:
      return joined(bytes.subarray(0, at), random.bytes(random.between(1, 16)), bytes.subarray(at));
    case 6:
      return joined(bytes.subarray(0, end), bytes.subarray(at, end), bytes.subarray(end));
    default: {
      const from = random.between(0, other.length);
      return joined(bytes.subarray(0, at), other.subarray(from));
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
