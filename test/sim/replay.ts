/**
 * The committed log once more, entry by entry, through a state machine that never restarts, batches nothing and gets no snapshot. Says what each entry did: what
 * clients were told, and what replicas have, is held against it. Whether the machine itself is right is asked elsewhere (log-rules.ts, and the models of test/kv and test/lock).
 */
import { byteString } from '../../src/storage/bytes.ts';
import { decodeCommand, type DecodedCommand } from '../../src/machine/command.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { CommandResult, Effect } from '../../src/machine/types.ts';
import type { Entry } from '../../src/raft/types.ts';

export interface Step {
  readonly index: number;
  readonly term: number;
  /** Virtual milliseconds: when it was applied for the first time, by anybody. */
  readonly at: number;
  readonly command: DecodedCommand;
  readonly result: CommandResult;
  readonly effects: readonly Effect[];
  /** Of the state after it. */
  readonly revision: number;
  readonly compactedRevision: number;
  /** State-machine time. */
  readonly time: number;
}

export interface ReplayOptions {
  /** By index; the first one is not used. */
  readonly committed: readonly (Entry | undefined)[];
  readonly committedAt: readonly (number | undefined)[];
  /** What replicas said of their state, by index. */
  readonly digests: ReadonlyMap<number, string>;
  /** Called after each command, with the machine as it is then. */
  readonly visit: (step: Step, machine: Machine) => void;
}

export class Replay {
  readonly machine: Machine;
  readonly #records = new Map<string, { readonly key: Uint8Array; readonly value: Uint8Array }>();

  /** Throws when a replica had another state than this one at the same index. */
  constructor({ committed, committedAt, digests, visit }: ReplayOptions) {
    const records = this.#records;
    const machine = new Machine({
      get: (key) => records.get(byteString(key))?.value,
      put: (key, value) => void records.set(byteString(key), { key: key.slice(), value: value.slice() }),
      delete: (key) => void records.delete(byteString(key)),
    });
    this.machine = machine;
    machine.restored();
    for (let index = 1; index < committed.length; index++) {
      const entry = committed[index];
      if (entry === undefined) throw new Error(`nobody ever applied entry ${index}`);
      const result = machine.apply(entry);
      const effects = machine.takeEffects();
      const told = digests.get(index);
      if (told !== undefined && told !== machine.digest()) {
        throw new Error(`the state after entry ${index} is ${told} on a replica, ${machine.digest()} by the log`);
      }
      if (entry.kind !== 'command' || result === null) continue;
      visit(
        {
          index,
          term: entry.term,
          at: committedAt[index] ?? 0,
          command: decodeCommand(entry.data),
          result,
          effects,
          revision: machine.revision,
          compactedRevision: machine.kv.compactedRevision,
          time: machine.time,
        },
        machine,
      );
    }
    machine.writeMeta();
  }

  /** All of the state as it lies on a disk, in order, in hexadecimal. */
  records(): readonly string[] {
    return [...this.#records]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { key, value }]) => recordText(key, value));
  }
}

export function recordText(key: Uint8Array, value: Uint8Array): string {
  return `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`;
}
