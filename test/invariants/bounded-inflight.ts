/**
 * A leader keeps no more unacknowledged Appends on the way to one follower than its limits say, in messages and in bytes;
 * the last one may pass the byte limit (etcd-io/raft#14633). And it never expects a match beyond its own log.
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function boundedInflight(): Invariant {
  const name = 'appends in flight are bounded';
  /** Data bytes of the largest entry that anybody wrote: it travels alone, whatever the limits are. */
  let largestEntry = 0;
  return {
    name,
    check(node) {
      const { maxInflightMessages, maxInflightBytes, maxAppendBytes } = node.options;
      for (const peer of node.status.progress) {
        const what = `${node.id} to ${peer.id}`;
        if (peer.inflightMessages > maxInflightMessages) fail(name, `${what}: ${peer.inflightMessages} messages`);
        const largest = Math.max(maxAppendBytes, largestEntry);
        if (peer.inflightBytes > maxInflightBytes + largest) fail(name, `${what}: ${peer.inflightBytes} bytes`);
        if (peer.inflightMessages < 0 || peer.inflightBytes < 0) fail(name, `${what}: a negative count`);
        if (peer.match > node.status.lastIndex) fail(name, `${what}: match ${peer.match} beyond the log`);
        if (peer.next <= peer.match) fail(name, `${what}: next ${peer.next} at or below match ${peer.match}`);
        if (peer.next > node.status.lastIndex + 1) fail(name, `${what}: next ${peer.next} beyond the log`);
      }
    },
    observe(event) {
      if (event.type === 'ready') {
        for (const { data } of event.ready.entries) largestEntry = Math.max(largestEntry, data.length);
      }
      if (event.type !== 'sent' || event.message.type !== 'Append') return;
      const bytes = event.message.entries.reduce((sum, entry) => sum + entry.data.length, 0);
      if (event.message.entries.length > 1 && bytes > event.node.options.maxAppendBytes) {
        fail(name, `${event.node.id} sends ${bytes} bytes in one Append`);
      }
    },
  };
}
