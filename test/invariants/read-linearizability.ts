/**
 * A read index is at least every commit index that anybody had reached when the read was asked (thesis §6.4): by then such
 * an entry may have been acknowledged.
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function readLinearizability(): Invariant {
  const name = 'reads are linearizable';
  const floors = new Map<string, number>();
  return {
    name,
    observe(event, world) {
      if (event.type !== 'readAsked' && event.type !== 'readReleased') return;
      const key = `${event.node.id}:${event.node.starts}:${event.token}`;
      if (event.type === 'readAsked') {
        floors.set(key, world.highestCommit);
        return;
      }
      const floor = floors.get(key);
      if (floor === undefined) fail(name, `${event.node.id} releases read ${event.token}, which it was not asked`);
      floors.delete(key);
      if (event.index < floor) {
        fail(name, `${event.node.id} serves a read at ${event.index}; ${floor} was committed before it was asked`);
      }
    },
  };
}
