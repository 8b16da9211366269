/** Reading a Hello that came from outside: nothing in it is believed before its type and size are checked. */
import type { Hello } from './types.ts';

const U64_MAX = 2n ** 64n - 1n;

/** A decimal unsigned 64-bit number without leading zeros. */
export function isU64(value: unknown): value is string {
  return typeof value === 'string' && /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) <= U64_MAX;
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** The Hello in `value`, or undefined when it is not one. */
export function parseHello(value: unknown): Hello | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const hello: Record<string, unknown> = { ...value };
  const { clusterId, id, name, peerId, bootEpoch, address, http, pid, protocol, extra } = hello;
  if (clusterId !== null && !isU64(clusterId)) return undefined;
  if (!isU64(id) || !isText(name, 63) || name === '' || !isText(peerId, 128)) return undefined;
  if (!isCount(bootEpoch) || !isCount(pid) || !isCount(protocol)) return undefined;
  if (!isText(address, 300) || !isText(http, 300)) return undefined;
  if (typeof extra !== 'object' || extra === null || Array.isArray(extra)) return undefined;
  return { clusterId, id, name, peerId, bootEpoch, address, http, pid, protocol, extra: { ...extra } };
}

/** Codes of refusals are shown to people and counted: only what looks like one of ours passes. */
export function parseRefusal(value: object): { code: string; message: string } {
  const { code: given, message: text }: { code?: unknown; message?: unknown } = value;
  const code = typeof given === 'string' && /^ERR_[A-Z_]{1,40}$/.test(given) ? given : 'ERR_UNKNOWN';
  const message = typeof text === 'string' ? text.slice(0, 1000) : '';
  return { code, message };
}
