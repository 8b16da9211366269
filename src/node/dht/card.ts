/** What a node says of itself in the DHT, as JSON that people can read: under `node/<id>`, and where it provides a group. */
import type { MemberRole } from '../../gossip/index.ts';
import { LIMITS } from '../../dht/index.ts';
import type { NodeCard } from '../dht-types.ts';
import { isAddress } from '../options.ts';

const MAX_HTTP_CHARS = 512;
const ROLES: readonly unknown[] = ['voter', 'learner', 'agent'] satisfies MemberRole[];

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeCard({ id, name, role, addresses, http }: NodeCard): Uint8Array {
  return encoder.encode(JSON.stringify({ id, name, role, addresses: addresses.slice(0, LIMITS.addresses), http }));
}

/** Null for what is none. What a later version says beside it is passed over. Never throws. */
export function decodeCard(bytes: Uint8Array): NodeCard | null {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    // Somebody else wrote it: it may be anything.
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { id, name, role, addresses, http } = value as Readonly<Record<string, unknown>>;
  if (!isText(id, 20) || !isText(name, LIMITS.nameChars) || !ROLES.includes(role)) return null;
  if (http !== null && !isText(http, MAX_HTTP_CHARS)) return null;
  if (!Array.isArray(addresses) || addresses.length > LIMITS.addresses || !addresses.every(isReachable)) return null;
  return { id, name, role: role as MemberRole, addresses: [...(addresses as string[])], http };
}

function isText(value: unknown, limit: number): value is string {
  return typeof value === 'string' && value.length <= limit;
}

function isReachable(value: unknown): boolean {
  return isText(value, LIMITS.addressChars) && isAddress(value, false);
}
