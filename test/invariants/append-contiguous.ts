/**
 * In every Append the first entry follows `prevIndex`, the others follow each other, and terms never fall (Raft §5.3; the
 * bugs of openraft#1795 and #1828). The same for what a node writes and applies.
 */
import type { Entry } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function appendContiguous(): Invariant {
  const name = 'appends are contiguous';

  function contiguous(what: string, entries: readonly Entry[], term: number): void {
    let before: Entry | undefined;
    for (const entry of entries) {
      if (before !== undefined && (entry.index !== before.index + 1 || entry.term < before.term)) {
        fail(name, `${what}: ${before.term}/${before.index} is followed by ${entry.term}/${entry.index}`);
      }
      if (entry.term > term) fail(name, `${what}: an entry of term ${entry.term} in term ${term}`);
      before = entry;
    }
  }

  return {
    name,
    observe(event) {
      if (event.type === 'sent' && event.message.type === 'Append') {
        const { from, to, term, prevIndex, prevTerm, entries } = event.message;
        const first = entries[0];
        const what = `${from} sends ${to} an Append`;
        if (first !== undefined && (first.index !== prevIndex + 1 || first.term < prevTerm)) {
          fail(name, `${what} after ${prevTerm}/${prevIndex} that begins with ${first.term}/${first.index}`);
        }
        contiguous(what, entries, term);
      } else if (event.type === 'ready') {
        const { node, ready } = event;
        contiguous(`${node.id} writes`, ready.entries, node.status.term);
        contiguous(`${node.id} applies`, ready.committed, node.status.term);
        const first = ready.entries[0];
        if (first !== undefined && (node.log.term(first.index - 1) ?? Infinity) > first.term) {
          fail(name, `${node.id} writes ${first.term}/${first.index} after a later term`);
        }
      }
    },
  };
}
