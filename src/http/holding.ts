/** What locks, elections and barriers have in common: somebody asks, waits, is let in by a lease, and gets a token. */
import type { AcquireOptions, HolderOf, LockAnswer } from '../node/coordination.ts';
import { invalidField } from './body.ts';
import type { Open } from './call.ts';
import type { Exchange } from './exchange.ts';
import { nameOfSegment } from './name-path.ts';
import { ONCE_ERRORS } from './once.ts';
import { JSON_BODY_ERRORS } from './route.ts';

export const ACQUIRE_ERRORS = [
  'ERR_LOCK_HELD',
  'ERR_LEASE_NOT_FOUND',
  'ERR_QUOTA',
  ...JSON_BODY_ERRORS,
  ...ONCE_ERRORS,
] as const;

/** The name in a path that begins with `prefix`. */
export function nameIn(exchange: Exchange, prefix: string): string {
  return nameOfSegment(exchange.segment(prefix));
}

interface AcquireBody {
  readonly lease?: string;
  readonly ttl?: number;
  readonly wait?: number;
  readonly keepPlace?: boolean;
  readonly owner?: unknown;
}

/** `options` with what the body says. Its deadline is that of the call; the wait comes on top of it. */
export function acquireOptions(body: AcquireBody, options: Open<AcquireOptions>): Open<AcquireOptions> {
  if (body.lease !== undefined && body.ttl !== undefined) {
    throw invalidField('ttl', 'and "lease" exclude each other: a lease has its own');
  }
  if (body.lease !== undefined) options.lease = body.lease;
  if (body.ttl !== undefined) options.ttlMs = body.ttl;
  if (body.wait !== undefined) options.waitMs = body.wait;
  if (body.keepPlace !== undefined) options.keepPlace = body.keepPlace;
  if ('owner' in body) options.owner = body.owner;
  return options;
}

/** Who is meant by a body that names a lease or a token. */
export function holderOf({ lease, token }: { readonly lease?: string; readonly token?: number }): HolderOf {
  if (lease !== undefined && token !== undefined) throw invalidField('token', 'and "lease" exclude each other');
  if (lease !== undefined) return { lease };
  if (token === undefined) throw invalidField('lease', 'is missing (or "token")');
  return { token };
}

export function answerAcquired(exchange: Exchange, answer: LockAnswer): void {
  const { name, token, lease, ttlMs } = answer;
  exchange.sendWritten(200, JSON.stringify({ name, token, lease, ttlMs }), answer);
}
