import type { IndexNotes } from './index-notes.ts';
import type { Liveness } from './gossip/liveness.ts';
import type { MemberDuties } from './member-duties.ts';
import type { Replica } from './replica.ts';
import type { Services } from './services.ts';
import type { Transfer } from './transfer.ts';

/** What exists once the node is in its cluster. */
export interface Joined {
  readonly clusterId: string;
  readonly replica: Replica;
  readonly services: Services;
  readonly transfer: Transfer;
  readonly members: MemberDuties;
  readonly liveness: Liveness;
  readonly notes: IndexNotes;
}
