/**
 * What a client was told to be written is never lost: it is committed for ever, on a majority of disks at every moment, and
 * on everybody once the faults are over. (The sentence that the whole of Raft is for.)
 */
import { fail, isQuorum } from './world.ts';
import type { Invariant } from './world.ts';

export function acknowledgedKept(): Invariant {
  const name = 'acknowledged writes are kept';
  const acknowledged = new Map<number, number>();
  return {
    name,
    observe(event, world) {
      if (event.type === 'acknowledged') {
        const { index, term, node } = event;
        const known = acknowledged.get(index);
        if (known !== undefined && known !== term) fail(name, `two terms were acknowledged at index ${index}`);
        acknowledged.set(index, term);
        const { configuration } = node.status;
        const stored = (id: string): boolean => {
          const { durable } = world.node(id);
          return durable.firstIndex() > index || durable.term(index) === term;
        };
        if (!isQuorum(configuration, stored)) fail(name, `${node.id} acknowledges ${index} too early`);
      } else if (event.type === 'applied') {
        const term = acknowledged.get(event.entry.index);
        if (term !== undefined && term !== event.entry.term) {
          fail(name, `${event.node.id} applies ${event.entry.term}/${event.entry.index}, acknowledged was ${term}`);
        }
      }
    },
    checkConverged(world) {
      for (const [index, term] of acknowledged) {
        for (const node of world.nodes) {
          const there = node.log.term(index);
          const covered = node.log.firstIndex() > index && node.applied.index >= index;
          if (!covered && there !== term) fail(name, `${node.id} lost ${term}/${index}, it has ${there ?? 'nothing'}`);
        }
      }
    },
  };
}
