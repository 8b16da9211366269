/** The public door of gossip: everything else in this folder is its own affair. */
export { Directory } from './directory.ts';
export { createGossip } from './gossip.ts';
export { DEFAULT_SETTINGS, LIMITS } from './settings.ts';
export { signedBytes } from './statement.ts';
export { parseGossipMessage, toWire } from './wire.ts';
export type * from './types.ts';
