/**
 * Configurations: their bytes in a log entry, and the list of those in force along the log.
 *
 * A configuration takes effect when its entry is appended, not when it is committed (thesis §4.1), so cutting the entry
 * off the log must bring the one before it back: hence a list by index instead of one value.
 */
import { invariant, KvorumError } from '../errors.ts';
import type { Configuration, Entry, IndexedConfiguration, NodeId } from './types.ts';

/** A node that was told nothing yet: it does not campaign, but it answers whoever speaks to it. */
export const EMPTY_CONFIGURATION: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

/** Everybody who gets the log, each once: voters of both sets, then learners. */
export function members(configuration: Configuration): NodeId[] {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])];
}

const VERSION = 1;

/** The `data` of a `config` entry: a version byte, then JSON. Rare and small, so readable beats compact. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave, context } = configuration;
  // A fixed order of members: the same configuration gives the same bytes on every node.
  const json = JSON.stringify({ voters, votersOutgoing, learners, learnersNext, autoLeave, context });
  const text = new TextEncoder().encode(json);
  const data = new Uint8Array(text.length + 1);
  data[0] = VERSION;
  data.set(text, 1);
  return data;
}

function idsOf(value: unknown): NodeId[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const ids: NodeId[] = [];
  for (const id of value) {
    if (typeof id !== 'string') return undefined;
    ids.push(id);
  }
  return new Set(ids).size === ids.length ? ids : undefined;
}

/** @throws KvorumError ERR_DATA_VERSION for a newer format, ERR_CORRUPT for bytes that are not a configuration. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  if (data.length === 0) throw new KvorumError('ERR_CORRUPT', 'A configuration entry is empty');
  if (data[0] !== VERSION) {
    throw new KvorumError('ERR_DATA_VERSION', `Configuration entry has format ${data[0]}; known is ${VERSION}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(1)));
  } catch (cause) {
    throw new KvorumError('ERR_CORRUPT', 'A configuration entry does not parse', { cause });
  }
  if (typeof value !== 'object' || value === null) {
    throw new KvorumError('ERR_CORRUPT', 'A configuration entry is not an object');
  }
  const record = value as Record<string, unknown>;
  const voters = idsOf(record['voters']);
  const votersOutgoing = idsOf(record['votersOutgoing']);
  const learners = idsOf(record['learners']);
  const learnersNext = idsOf(record['learnersNext']);
  const autoLeave = record['autoLeave'];
  if (!voters || !votersOutgoing || !learners || !learnersNext || typeof autoLeave !== 'boolean') {
    throw new KvorumError('ERR_CORRUPT', 'A configuration entry lacks a member list');
  }
  const configuration: Configuration = { voters, votersOutgoing, learners, learnersNext, autoLeave };
  return record['context'] === undefined ? configuration : { ...configuration, context: record['context'] };
}

/** The configurations along the log, oldest first. Never empty: the first one is in force from the log's beginning. */
export class Configurations {
  #list: IndexedConfiguration[];
  #changed = false;

  constructor(initial: readonly IndexedConfiguration[]) {
    for (let i = 1; i < initial.length; i++) {
      invariant(initial[i - 1]!.index < initial[i]!.index, 'Configurations are not in the order of their indexes');
    }
    this.#list = initial.length > 0 ? [...initial] : [{ index: 0, configuration: EMPTY_CONFIGURATION }];
  }

  /** The newest one in the log, committed or not: the one that counts. */
  get current(): Configuration {
    return this.#list[this.#list.length - 1]!.configuration;
  }

  get currentIndex(): number {
    return this.#list[this.#list.length - 1]!.index;
  }

  /** What `current` took the place of; null when that is no longer kept. */
  get previous(): Configuration | null {
    return this.#list.at(-2)?.configuration ?? null;
  }

  /** In force at `index`: the newest one at or before it. */
  at(index: number): Configuration {
    for (let i = this.#list.length - 1; i >= 0; i--) {
      if (this.#list[i]!.index <= index) return this.#list[i]!.configuration;
    }
    // The oldest kept one also covers what lies before its entry only when that is the log's beginning.
    return this.#list[0]!.configuration;
  }

  /** Takes effect now. `entry` was just appended. */
  append(entry: Entry): void {
    invariant(
      entry.index > this.currentIndex,
      `Configuration at ${entry.index} is not newer than ${this.currentIndex}`,
    );
    this.#list.push({ index: entry.index, configuration: decodeConfiguration(entry.data) });
    this.#changed = true;
  }

  /** The log was cut at `from`: what took effect there or later is taken back. True when something was. */
  truncate(from: number): boolean {
    let length = this.#list.length;
    while (length > 1 && this.#list[length - 1]!.index >= from) length--;
    if (length === this.#list.length) return false;
    this.#list.length = length;
    this.#changed = true;
    return true;
  }

  /** A snapshot replaced the log. */
  reset(index: number, configuration: Configuration): void {
    this.#list = [{ index, configuration }];
    this.#changed = true;
  }

  /** The log was compacted up to `index`: only what is in force there, and what came after it, is needed. */
  compact(index: number): void {
    let drop = 0;
    while (drop + 1 < this.#list.length && this.#list[drop + 1]!.index <= index) drop++;
    if (drop === 0) return;
    this.#list.splice(0, drop);
    this.#changed = true;
  }

  get changed(): boolean {
    return this.#changed;
  }

  /** The whole list if it changed since the last call. */
  takeChanged(): readonly IndexedConfiguration[] | null {
    if (!this.#changed) return null;
    this.#changed = false;
    return [...this.#list];
  }
}
