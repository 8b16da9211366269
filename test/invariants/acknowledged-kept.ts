/**
 * What a client was told to be written is never lost: it is committed for ever, on a majority of disks at every moment, and
 * on every member once the faults are over. (The sentence that the whole of Raft is for.)
 */
import { countedBy, fail, isQuorum, membersNow } from './world.ts';
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
        const stored = (id: string): boolean => {
          const { durable } = world.node(id);
          return durable.firstIndex() > index || durable.term(index) === term;
        };
        if (!countedBy(node, index).some((one) => isQuorum(one, stored)))
          fail(name, `${node.id} acknowledges ${index} too early`);
      } else if (event.type === 'applied') {
        const term = acknowledged.get(event.entry.index);
        if (term !== undefined && term !== event.entry.term) {
          fail(name, `${event.node.id} applies ${event.entry.term}/${event.entry.index}, acknowledged was ${term}`);
        }
      }
    },
    checkConverged(world) {
      const members = membersNow(world);
      for (const [index, term] of acknowledged) {
        for (const node of members) {
          const there = node.log.term(index);
          const covered = node.log.firstIndex() > index && node.applied.index >= index;
          if (!covered && there !== term) fail(name, `${node.id} lost ${term}/${index}, it has ${there ?? 'nothing'}`);
        }
      }
    },
  };
}
