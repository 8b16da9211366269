/** The public door of the DHT core: everything else in this folder is its own affair. */
export { createDht } from './dht.ts';
export { compareDistance, ID_BITS, ID_BYTES, log2Distance } from './id.ts';
export { LIMITS } from './limits.ts';
export { parseContact, parseDhtMessage, parseRecord } from './message.ts';
export { recordBytes } from './record.ts';
export { DEFAULT_TUNING } from './tuning.ts';
export type * from './types.ts';
