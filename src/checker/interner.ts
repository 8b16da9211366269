/** Gives every distinct JSON value a small number, so that a search compares numbers. */
export class Interner {
  readonly #ids = new Map<string, number>();
  readonly #values: unknown[] = [];

  id(value: unknown): number {
    const text = canonicalText(value);
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#values.length;
      this.#ids.set(text, id);
      this.#values.push(value);
    }
    return id;
  }

  /** A number for something that is equal to no value. */
  reserve(): number {
    return this.#values.push(null) - 1;
  }

  value(id: number): unknown {
    return this.#values[id];
  }

  get size(): number {
    return this.#values.length;
  }
}

/** JSON with sorted members: equal values have equal texts. undefined is null. */
export function canonicalText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return value === undefined ? 'null' : JSON.stringify(value);
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
