/** The public door of the Raft core: everything else in this folder is its own affair. */
export { isJoint } from './change.ts';
export { decodeConfiguration, EMPTY_CONFIGURATION, encodeConfiguration, isVoter, members } from './configuration.ts';
export { quorumIndex, voteResult } from './quorum.ts';
export { createRaft } from './raft.ts';
export type * from './types.ts';
