/**
 * What comes from others in msgpack is walked before it is unpacked. A decoder makes room for as many items as an array says that it has; five bytes can say millions.
 */

/** A gossip message, its statements, one statement, its addresses; a DHT message, its contacts, one contact, its addresses: nothing is deeper. */
const MAX_DEPTH = 8;

/** True for exactly one msgpack value that is made of numbers, booleans, strings, bytes and arrays, and is all there. */
export function isPlain(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  /** Items still to come, of each array that is open. */
  const open: number[] = [1];
  while (open.length > 0) {
    const left = open.at(-1)!;
    if (left === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1] = left - 1;
    if (at >= bytes.length) return false;
    const head = headAt(view, at);
    if (head === null) return false;
    at += head.bytes;
    if (head.items === 0) continue;
    // Every item takes at least a byte.
    if (head.items > bytes.length - at || open.length > MAX_DEPTH) return false;
    open.push(head.items);
  }
  return at === bytes.length;
}

/** What the value that begins here takes, and how many items follow it; null for one that is of no use to us, or is cut off. */
function headAt(view: DataView, at: number): { readonly bytes: number; readonly items: number } | null {
  const token = view.getUint8(at);
  if (token <= 0x7f || token >= 0xe0 || token === 0xc2 || token === 0xc3) return { bytes: 1, items: 0 };
  if (token >= 0x90 && token <= 0x9f) return { bytes: 1, items: token & 0x0f };
  if (token >= 0xa0 && token <= 0xbf) return { bytes: 1 + (token & 0x1f), items: 0 };
  if (token === 0xca || token === 0xce || token === 0xd2) return { bytes: 5, items: 0 };
  if (token === 0xcb || token === 0xcf || token === 0xd3) return { bytes: 9, items: 0 };
  if (token === 0xcc || token === 0xd0) return { bytes: 2, items: 0 };
  if (token === 0xcd || token === 0xd1) return { bytes: 3, items: 0 };
  const lengthBytes = LENGTH_BYTES[token] ?? 0;
  if (lengthBytes === 0 || at + 1 + lengthBytes > view.byteLength) return null;
  const length =
    lengthBytes === 1 ? view.getUint8(at + 1) : lengthBytes === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  const isArray = token === 0xdc || token === 0xdd;
  return isArray ? { bytes: 1 + lengthBytes, items: length } : { bytes: 1 + lengthBytes + length, items: 0 };
}

/** Of bytes, strings and arrays: how many bytes their length has. */
const LENGTH_BYTES: Readonly<Record<number, number>> = {
  0xc4: 1,
  0xc5: 2,
  0xc6: 4,
  0xd9: 1,
  0xda: 2,
  0xdb: 4,
  0xdc: 2,
  0xdd: 4,
};
