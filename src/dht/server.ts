/** What this node answers others. An answer is of bounded size, costs a look into the routing table and the stores, and at most one signature. */
import { LIMITS } from './limits.ts';
import type { DhtState } from './state.ts';
import type { Contact, DhtAnswer, DhtId, DhtRequest, RecordKind, SignedRecord } from './types.ts';

export function answer(state: DhtState, from: Contact, request: DhtRequest): DhtAnswer {
  const { rpc } = request;
  switch (request.type) {
    case 'Ping':
      return { type: 'Pong', rpc };
    case 'FindNode':
      return { type: 'Nodes', rpc, contacts: contactsFor(state, from, request.target, request.count) };
    case 'FindRecords': {
      const { kind, key, count } = request;
      const contacts = contactsFor(state, from, key, count);
      return { type: 'Records', rpc, records: recordsFor(state, kind, key), contacts };
    }
    case 'Store':
      return { type: 'Stored', rpc, refused: state.keep(request.record) };
  }
}

function contactsFor(state: DhtState, from: Contact, target: DhtId, count: number): readonly Contact[] {
  return state.table.closestFor(target, count, from.peerId);
}

/** Of more providers than one answer holds, some: beginning anywhere, so that those who ask several nodes hear of most. */
function recordsFor(state: DhtState, kind: RecordKind, key: DhtId): readonly SignedRecord[] {
  const all = state.stores[kind].find(key, state.nowMs);
  const limit = state.tuning.maxProvidersPerAnswer;
  const start = all.length > limit ? Math.floor(state.options.random() * all.length) : 0;
  const some: SignedRecord[] = [];
  let bytes = 0;
  for (let i = 0; i < all.length && some.length < limit; i++) {
    const record = all[(start + i) % all.length] as SignedRecord;
    bytes += record.value.length;
    if (bytes > LIMITS.answerBytes) break;
    some.push(record);
  }
  return some;
}
