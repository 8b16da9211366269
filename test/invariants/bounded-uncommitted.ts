/**
 * Proposed bytes that are not committed stay within their limit; one over-size proposal passes when nothing is uncommitted
 * (etcd#10167). And the count comes back to zero: a leak would refuse writes for ever (cockroach#90314, raft#11).
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function boundedUncommitted(): Invariant {
  const name = 'uncommitted bytes are bounded';
  return {
    name,
    check(node) {
      const { uncommittedBytes, commit, lastIndex, role } = node.status;
      if (uncommittedBytes < 0) fail(name, `${node.id} counts ${uncommittedBytes} bytes`);
      if (role === 'leader' && commit === lastIndex && uncommittedBytes > 0) {
        fail(name, `${node.id} has committed everything and still counts ${uncommittedBytes} bytes`);
      }
      if (role !== 'leader' && uncommittedBytes > 0) {
        fail(name, `${node.id} is no leader and counts ${uncommittedBytes} bytes`);
      }
    },
    observe(event) {
      if (event.type !== 'accepted' || event.count === 0) return;
      const { uncommittedBytes, commit } = event.node.status;
      const limit = event.node.options.maxUncommittedBytes;
      if (uncommittedBytes > limit && event.firstIndex > commit + 1) {
        // Over the limit: only a proposal that found nothing uncommitted may do that. What is below it must be empty.
        const below = uncommittedBelow(event.node.log, commit, event.firstIndex);
        if (below > 0) fail(name, `${event.node.id} accepts to ${uncommittedBytes} bytes, the limit is ${limit}`);
      }
    },
  };
}

function uncommittedBelow(
  log: { entry(index: number): { readonly data: Uint8Array } | undefined },
  commit: number,
  index: number,
): number {
  let bytes = 0;
  for (let i = commit + 1; i < index; i++) bytes += log.entry(i)?.data.length ?? 0;
  return bytes;
}
