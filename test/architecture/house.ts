/**
 * The plan of the house, as data: which room stands on which floor, what a pure room may use, and every exception with
 * its reason. `rules.ts` enforces it; docs/architecture.md draws it.
 */

export interface Room {
  /** A folder with a slash at its end, or one file. */
  readonly path: string;
  readonly floor: number;
  /** Synchronous and deterministic: no promise, timer, clock, randomness, I/O, logger or Node built-in. */
  readonly pure?: boolean;
}

export const ROOMS: readonly Room[] = [
  { path: 'src/errors.ts', floor: 0, pure: true },
  { path: 'src/raft/', floor: 1, pure: true },
  { path: 'src/gossip/', floor: 1, pure: true },
  { path: 'src/dht/', floor: 1, pure: true },
  { path: 'src/kv/', floor: 1, pure: true },
  { path: 'src/lock/', floor: 1, pure: true },
  { path: 'src/shard/', floor: 1, pure: true },
  { path: 'src/checker/', floor: 1, pure: true },
  { path: 'src/storage/', floor: 2 },
  { path: 'src/transport/', floor: 2 },
  { path: 'src/machine/', floor: 2, pure: true },
  { path: 'src/node/', floor: 3 },
  { path: 'src/client/stream/', floor: 3 },
  { path: 'src/client/', floor: 3 },
  { path: 'src/http/', floor: 4 },
  { path: 'src/kit/', floor: 4 },
  { path: 'src/isolate/', floor: 4 },
  { path: 'src/testing/', floor: 4 },
  { path: 'src/index.ts', floor: 4 },
  { path: 'cmd/', floor: 5 },
  { path: 'examples/', floor: 5 },
  { path: 'bench/', floor: 5 },
];

/** Imports between two rooms of one floor that are allowed. */
export const SIDEWAYS: readonly { readonly from: string; readonly to: string; readonly reason: string }[] = [
  {
    from: 'src/lock/',
    to: 'src/kv/types.ts',
    reason:
      'locks hang on the leases of kv/, and the records of both are of one make: the vocabulary, nothing that runs',
  },
  {
    from: 'src/client/',
    to: 'src/client/stream/open.ts',
    reason: 'loaded when an endpoint begins with kvorum://, and by nobody who does not use one',
  },
  {
    from: 'src/client/stream/',
    to: 'src/client/',
    reason: 'it is one of the transports of the client',
  },
  {
    from: 'src/client/stream/',
    to: 'src/node/remote/',
    reason: 'both ends of the protocol between a node and its callers are one room',
  },
  {
    from: 'src/index.ts',
    to: 'src/http/',
    reason: 'the front door: startNode() joins a node to its HTTP API, and nothing on the floor imports it',
  },
  {
    from: 'src/index.ts',
    to: 'src/isolate/isolated-node.ts',
    reason: 'the front door, for a node in a thread of its own',
  },
  {
    from: 'src/isolate/',
    to: 'src/index.ts',
    reason: 'in that thread it is the same front door; nobody imports the file that the thread begins with',
  },
];

/** Rooms of which lower floors may see the vocabulary only: nobody but the shell on floor 3 drives the Raft core. */
export const VOCABULARY: readonly {
  readonly room: string;
  readonly below: number;
  readonly files: readonly string[];
}[] = [{ room: 'src/raft/', below: 3, files: ['src/raft/types.ts', 'src/raft/configuration.ts'] }];

/** npm packages in pure rooms: deterministic, synchronous, no I/O. Everything else is refused there. */
export const PURE_PACKAGES: Readonly<
  Record<string, { readonly rooms: readonly string[] | 'all'; readonly reason: string }>
> = {
  'sorted-btree': { rooms: 'all', reason: 'ordered maps; plain data structure' },
  tinyqueue: { rooms: 'all', reason: 'priority queue; plain data structure' },
  msgpackr: { rooms: ['src/machine/'], reason: 'the encoding of commands and results is part of the machine' },
};

/** Packages that belong to one room, so that the library behind it can be exchanged there. */
export const OWNED_PACKAGES: readonly { readonly package: RegExp; readonly rooms: readonly string[] }[] = [
  { package: /^(?:level|classic-level|abstract-level)$/, rooms: ['src/storage/'] },
  // A node's identity is a libp2p key, and it is kept with the node's data.
  { package: /^@libp2p\/(?:crypto|interface|peer-id)$/, rooms: ['src/transport/', 'src/node/', 'src/testing/'] },
  {
    package: /^(?:libp2p|@libp2p\/(?!(?:crypto|interface|peer-id)$).+|@chainsafe\/libp2p-.+|@multiformats\/.+)$/,
    rooms: ['src/transport/'],
  },
  { package: /^(?:fastify|@fastify\/.+)$/, rooms: ['src/http/'] },
  { package: /^(?:commander|close-with-grace)$/, rooms: ['cmd/', 'bench/'] },
];

/** Globals that a pure room may not name, each with what it would let in. */
export const IMPURE_GLOBALS: Readonly<Record<string, string>> = {
  Date: 'a clock',
  performance: 'a clock',
  Temporal: 'a clock',
  Promise: 'asynchrony',
  queueMicrotask: 'asynchrony',
  setTimeout: 'a timer',
  setInterval: 'a timer',
  setImmediate: 'a timer',
  clearTimeout: 'a timer',
  clearInterval: 'a timer',
  clearImmediate: 'a timer',
  AbortController: 'asynchrony',
  AbortSignal: 'asynchrony',
  EventTarget: 'asynchrony',
  MessageChannel: 'asynchrony',
  BroadcastChannel: 'asynchrony',
  Worker: 'asynchrony',
  crypto: 'randomness',
  process: 'the process',
  Buffer: 'a Node built-in',
  require: 'modules at run time',
  console: 'a logger',
  fetch: 'the network',
  WebSocket: 'the network',
  EventSource: 'the network',
  XMLHttpRequest: 'the network',
  navigator: 'the machine',
  localStorage: 'the disk',
  sessionStorage: 'the disk',
  Intl: 'the locale of the machine',
  WeakRef: 'the garbage collector',
  FinalizationRegistry: 'the garbage collector',
  Atomics: 'threads',
  SharedArrayBuffer: 'threads',
  globalThis: 'every global',
  global: 'every global',
  eval: 'code as text',
  Function: 'code as text',
};

/** Methods whose answer depends on the locale of the machine: two nodes would sort differently. */
export const LOCALE_METHODS = /^(?:localeCompare|toLocale[A-Z]\w*)$/;
