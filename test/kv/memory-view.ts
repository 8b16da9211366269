import { bytesToKey, keyToBytes } from '../../src/kv/keys.ts';
import type { RecordView } from '../../src/kv/types.ts';

/** A StateView over a Map, as small as can be. */
export class MemoryView implements RecordView {
  readonly map = new Map<string, Uint8Array>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.map.get(bytesToKey(key));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.map.set(bytesToKey(key), value);
  }

  delete(key: Uint8Array): void {
    this.map.delete(bytesToKey(key));
  }

  /** All records in key order, copied. */
  records(): { key: Uint8Array; value: Uint8Array }[] {
    return [...this.map.keys()].toSorted().map((key) => ({
      key: keyToBytes(key),
      // Of a Buffer, `slice` would be a view.
      value: new Uint8Array(this.map.get(key) as Uint8Array),
    }));
  }

  copy(): MemoryView {
    const copy = new MemoryView();
    for (const { key, value } of this.records()) copy.put(key, value);
    return copy;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

export function text(value: Uint8Array | undefined): string {
  return decoder.decode(value);
}
