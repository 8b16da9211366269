/** Numbers in byte arrays, without a DataView an access: these run several times an entry. */

const TWO_32 = 2 ** 32;

export function readU32LE(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export function writeU32LE(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Unsigned, up to 2^53. */
export function readU64LE(bytes: Uint8Array, at: number): number {
  return readU32LE(bytes, at) + readU32LE(bytes, at + 4) * TWO_32;
}

export function writeU64LE(bytes: Uint8Array, at: number, value: number): void {
  writeU32LE(bytes, at, value >>> 0);
  writeU32LE(bytes, at + 4, Math.floor(value / TWO_32));
}

export function readU32BE(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export function writeU32BE(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function readU64BE(bytes: Uint8Array, at: number): number {
  return readU32BE(bytes, at) * TWO_32 + readU32BE(bytes, at + 4);
}

export function writeU64BE(bytes: Uint8Array, at: number, value: number): void {
  writeU32BE(bytes, at, Math.floor(value / TWO_32));
  writeU32BE(bytes, at + 4, value >>> 0);
}

/** The bytes as a string of their codes: a Map key that compares as the bytes do. */
export function byteString(bytes: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(bytes, 0, bytes.length);
}
