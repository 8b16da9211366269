/** Reads a decoded msgpack array field by field; whatever is not what it should be is an error: it should never have been written. */
import { KvorumError, type ErrorCode } from '../errors.ts';
import { bytesToKey } from '../kv/keys.ts';
import type { ByteKey } from '../kv/types.ts';

export class Fields {
  readonly #what: string;
  readonly #code: ErrorCode;
  readonly #values: readonly unknown[];
  #at = 0;

  /** `what` names the thing in errors: `a command`. */
  constructor(what: string, values: unknown, arity: number, code: ErrorCode = 'ERR_INVARIANT') {
    this.#what = what;
    this.#code = code;
    if (!Array.isArray(values) || values.length !== arity) throw this.malformed(`it has not ${arity} fields`);
    this.#values = values;
  }

  malformed(why: string): KvorumError {
    return new KvorumError(this.#code, `${this.#what} is malformed: ${why}`);
  }

  any(): unknown {
    return this.#values[this.#at++];
  }

  bytes(name: string): Uint8Array {
    const value = this.any();
    if (value instanceof Uint8Array) return value;
    throw this.malformed(`its ${name} is not bytes`);
  }

  key(name = 'key'): ByteKey {
    return bytesToKey(this.bytes(name));
  }

  keyOrNull(name = 'key'): ByteKey | null {
    const value = this.any();
    if (value === null) return null;
    if (value instanceof Uint8Array) return bytesToKey(value);
    throw this.malformed(`its ${name} is not bytes`);
  }

  bool(name: string): boolean {
    const value = this.any();
    if (typeof value === 'boolean') return value;
    throw this.malformed(`its ${name} is neither true nor false`);
  }

  text(name: string): string {
    const value = this.any();
    if (typeof value === 'string') return value;
    throw this.malformed(`its ${name} is no text`);
  }

  textOrNull(name: string): string | null {
    const value = this.any();
    if (value === null || typeof value === 'string') return value;
    throw this.malformed(`its ${name} is no text`);
  }

  /** A whole number from 0. */
  count(name: string): number {
    const value = this.any();
    // Of -0, which would be stored as 0, a sum makes 0.
    if (Number.isSafeInteger(value) && (value as number) >= 0) return (value as number) + 0;
    throw this.malformed(`its ${name} is no whole number`);
  }

  /** State-machine time: a leader's clock, whatever it shows. */
  time(name: string): number {
    const value = this.any();
    if (Number.isFinite(value)) return value as number;
    throw this.malformed(`its ${name} is no time`);
  }

  countOrNull(name: string): number | null {
    return this.#values[this.#at] === null ? (this.any() as null) : this.count(name);
  }

  /** A whole number of either sign. */
  integer(name: string): number {
    const value = this.any();
    if (Number.isSafeInteger(value)) return (value as number) + 0;
    throw this.malformed(`its ${name} is no whole number`);
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.any();
    if ((allowed as readonly unknown[]).includes(value)) return value as T;
    throw this.malformed(`its ${name} is none that is known`);
  }

  list<T>(name: string, read: (value: unknown) => T): T[] {
    const value = this.any();
    if (Array.isArray(value)) return value.map(read);
    throw this.malformed(`its ${name} is no list`);
  }
}
