/** A consistent view of what is flushed, for sending it to a member that fell too far behind. */
import { KvorumError } from '../errors.ts';
import type { GroupId } from '../raft/types.ts';
import type { Engine } from './engine.ts';
import { KIND, STATE_PREFIX_BYTES, groupKey, keyAfter, stateRange } from './keys.ts';
import { decodeNumbers, decodeState } from './record.ts';
import type { AppliedPosition, StateRecord, StateSnapshot } from './types.ts';

/** Records fetched at once: a fraction of a chunk of 1 MiB even when they are small. */
const FETCH_RECORDS = 1000;

export function decodePosition(record: Uint8Array, group: GroupId): AppliedPosition & { readonly generation: number } {
  const what = `the record of the applied position of group ${group}`;
  const [generation, index, term] = decodeNumbers(record, 3, what) as [number, number, number];
  return { generation, index, term };
}

export function openStateSnapshot(engine: Engine, group: GroupId): StateSnapshot {
  const snapshot = engine.snapshot();
  // Read through the snapshot: a batch that is in flight may be in it already, before anybody was told.
  const record = snapshot.get(groupKey(KIND.stateMeta, group));
  const { generation, index, term } =
    record === undefined ? { generation: 1, index: 0, term: 0 } : decodePosition(record, group);
  let open = true;
  return {
    position: { index, term },
    async read(after, maxBytes) {
      if (!open) throw new KvorumError('ERR_CLOSED', 'the snapshot is closed');
      const bounds = stateRange(group, generation, after === null ? undefined : keyAfter(after));
      const iterator = engine.iterate({ ...bounds, snapshot });
      const records: StateRecord[] = [];
      let bytes = 0;
      try {
        for (;;) {
          const fetched = await iterator.next(FETCH_RECORDS);
          if (fetched.length === 0) return { records, done: true };
          for (const [full, stored] of fetched) {
            const key = full.subarray(STATE_PREFIX_BYTES);
            const value = decodeState(key, stored);
            bytes += key.length + value.length;
            if (bytes > maxBytes && records.length > 0) return { records, done: false };
            records.push({ key, value });
          }
        }
      } finally {
        await iterator.close();
      }
    },
    close() {
      if (!open) return;
      open = false;
      snapshot.close();
    },
  };
}
