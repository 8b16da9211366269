/** All defects. A change of the source that one of them names has to be followed here: defects.test.ts says so. */
import type { Defect } from '../types.ts';
import { elections } from './elections.ts';
import { gossip } from './gossip.ts';
import { machine } from './machine.ts';
import { members } from './members.ts';
import { membership } from './membership.ts';
import { reads } from './reads.ts';
import { replica } from './replica.ts';
import { replication } from './replication.ts';
import { storage } from './storage.ts';
import { transport } from './transport.ts';

export const DEFECTS: readonly Defect[] = [
  ...elections,
  ...replication,
  ...reads,
  ...membership,
  ...machine,
  ...storage,
  ...replica,
  ...transport,
  ...gossip,
  ...members,
];
