/** The machine that this process runs on. */
import { generateKeyPair } from '@libp2p/crypto/keys';
import { createRaft } from '../raft/raft.ts';
import { openLevelStore } from '../storage/level-store.ts';
import { createLibp2pTransport } from '../transport/libp2p-transport.ts';
import { realEnvironment } from './env.ts';
import type { Platform } from './platform.ts';

export const realPlatform: Platform = {
  env: realEnvironment,
  pid: process.pid,
  openStore: openLevelStore,
  createTransport: createLibp2pTransport,
  createKey: () => generateKeyPair('Ed25519'),
  createCore: createRaft,
};
