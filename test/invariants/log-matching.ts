/**
 * Log Matching: if two logs contain an entry with the same index and term, then the logs are identical in all entries up
 * through the given index (Raft, figure 3 and §5.3). Two entries of one index and term must be equal and must follow
 * entries of one term; the rest is induction.
 */
import type { Entry } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant, LogView } from './world.ts';

interface Seen {
  readonly entry: Entry;
  readonly previousTerm: number | undefined;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function logMatching(): Invariant {
  const name = 'log matching';
  const seen = new Map<string, Seen>();

  function record(id: string, log: LogView, entry: Entry): void {
    const key = `${entry.index}/${entry.term}`;
    const previousTerm = log.term(entry.index - 1);
    const known = seen.get(key);
    if (known === undefined) {
      seen.set(key, { entry, previousTerm });
      return;
    }
    if (known.entry.kind !== entry.kind || !equalBytes(known.entry.data, entry.data)) {
      fail(name, `${id} has another entry than others at index ${entry.index} of term ${entry.term}`);
    }
    if (known.previousTerm !== undefined && previousTerm !== undefined && known.previousTerm !== previousTerm) {
      fail(
        name,
        `${id} has ${entry.term}/${entry.index} after term ${previousTerm}, others have it after ${known.previousTerm}`,
      );
    }
  }

  return {
    name,
    observe(event) {
      if (event.type === 'started') {
        const { log } = event.node;
        for (let index = log.firstIndex(); index <= log.lastIndex(); index++) {
          const entry = log.entry(index);
          if (entry !== undefined) record(event.node.id, log, entry);
        }
      } else if (event.type === 'ready') {
        for (const entry of event.ready.entries) record(event.node.id, event.node.log, entry);
      }
    },
  };
}
