/**
 * State Machine Safety: if a server has applied a log entry at a given index to its state machine, no other server will
 * ever apply a different log entry for the same index (Raft, figure 3 and §5.4.3). And each process applies each entry
 * once, in order, and never one that it does not have or that is not committed.
 */
import type { Entry, NodeId } from '../../src/raft/types.ts';
import { applyEntry, EMPTY_STATE } from '../sim/disk.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function stateMachineSafety(): Invariant {
  const name = 'state machine safety';
  /** Chained hash of the true history, by index. Scripts may begin in mid-history: then from the first index seen. */
  const truth = new Map<number, number>();
  const next = new Map<NodeId, number>();

  function same(a: Entry, b: Entry): boolean {
    return a.term === b.term && a.kind === b.kind && a.data.every((byte, i) => byte === b.data[i]);
  }

  function agree(id: NodeId, index: number, hash: number): void {
    const known = truth.get(index);
    if (known === undefined) truth.set(index, hash);
    else if (known !== hash) fail(name, `${id} has another state at index ${index} than others`);
  }

  return {
    name,
    observe(event, world) {
      if (event.type === 'started') {
        next.set(event.node.id, event.node.applied.index + 1);
        agree(event.node.id, event.node.applied.index, event.node.applied.hash);
      } else if (event.type === 'applied') {
        const { node, entry } = event;
        if (entry.index !== next.get(node.id)) {
          fail(name, `${node.id} applies ${entry.index}, ${next.get(node.id) ?? 'nothing'} was next`);
        }
        next.set(node.id, entry.index + 1);
        const first = world.committed[entry.index];
        if (first !== undefined && !same(first, entry)) {
          fail(name, `${node.id} applies ${entry.term}/${entry.index}, others ${first.term}/${entry.index}`);
        }
        if (entry.index > node.status.commit) {
          fail(name, `${node.id} applies ${entry.index}, its commit index is ${node.status.commit}`);
        }
        agree(node.id, entry.index, node.applied.hash);
      } else if (event.type === 'installed') {
        next.set(event.node.id, event.snapshot.index + 1);
        agree(event.node.id, event.snapshot.index, event.node.applied.hash);
      }
    },
    checkConverged(world) {
      // From scratch, entry by entry: what everybody holds must be what the committed log says.
      let state = EMPTY_STATE;
      for (let index = 1; index < world.committed.length; index++) {
        const entry = world.committed[index];
        if (entry === undefined) return;
        state = applyEntry(state, entry);
      }
      for (const node of world.nodes) {
        if (node.up && node.applied.index === state.index && node.applied.hash !== state.hash) {
          fail(name, `${node.id} does not hold what the committed log makes`);
        }
      }
    },
  };
}
