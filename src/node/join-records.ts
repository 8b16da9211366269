/** What a node that joined a running cluster keeps beside the map: where to find members, and the secret that it was given. */
import { KvorumError } from '../errors.ts';
import type { Store } from '../storage/types.ts';

const CONTACTS = 'cluster/contacts';
const SECRET = 'cluster/secret';

/** Peer addresses of the members as last known; none before the first were noted. Throws ERR_CORRUPT. */
export function loadContacts(store: Store): readonly string[] {
  const stored = store.node.get(CONTACTS) ?? [];
  if (!Array.isArray(stored) || !stored.every((one) => typeof one === 'string')) throw damaged(CONTACTS);
  return stored;
}

export function stageContacts(store: Store, contacts: readonly string[]): void {
  store.node.set(CONTACTS, [...contacts]);
}

/** Null for a node that was never given one. Throws ERR_CORRUPT. */
export function loadSecret(store: Store): string | null {
  const stored = store.node.get(SECRET) ?? null;
  if (stored !== null && typeof stored !== 'string') throw damaged(SECRET);
  return stored;
}

export function stageSecret(store: Store, secret: string): void {
  store.node.set(SECRET, secret);
}

function damaged(record: string): KvorumError {
  return new KvorumError('ERR_CORRUPT', `the record ${record} in the data directory is damaged`);
}
