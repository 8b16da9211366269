/** The options that every call to the node gets from its request. */
import type { MutationOptions } from '../node/coordination.ts';
import type { CallOptions } from '../node/types.ts';
import type { Exchange } from './exchange.ts';
import { onceOf } from './once.ts';
import { DEFAULT_TIMEOUT_MS } from './query.ts';

/** May be added to before it is handed on. */
export type Open<T> = { -readonly [K in keyof T]: T[K] };

export function callOptions(exchange: Exchange, timeoutMs: number | undefined): Open<CallOptions> {
  return { timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS, signal: exchange.signal };
}

/** Of a call that may change something. Throws ERR_INVALID_ARGUMENT for headers that ask to be done once in a wrong way. */
export function mutationOptions(exchange: Exchange, timeoutMs: number | undefined): Open<MutationOptions> {
  const once = onceOf(exchange.request);
  const options: Open<MutationOptions> = callOptions(exchange, timeoutMs);
  if (once !== undefined) options.once = once;
  return options;
}
