/** Every command there is, in the order of the help. */
import { barrier } from './barrier.ts';
import type { CommandSection } from './command.ts';
import { compact } from './compact.ts';
import { completions } from './completions.ts';
import { counter } from './counter.ts';
import { del } from './del.ts';
import { dht } from './dht.ts';
import { elect } from './elect.ts';
import { get } from './get.ts';
import { lease } from './lease.ts';
import { local } from './local.ts';
import { lock } from './lock.ts';
import { ls } from './ls.ts';
import { member } from './member.ts';
import { put } from './put.ts';
import { sem } from './sem.ts';
import { service } from './service.ts';
import { start } from './start.ts';
import { status } from './status.ts';
import { token } from './token.ts';
import { txn } from './txn.ts';
import { watch } from './watch.ts';

export const COMMANDS: readonly CommandSection[] = [
  { heading: 'Nodes:', commands: [local, start] },
  { heading: 'Data:', commands: [put, get, del, ls, watch, txn, compact] },
  { heading: 'Coordination:', commands: [lock, sem, elect, barrier, counter, lease] },
  { heading: 'Services:', commands: [service] },
  { heading: 'Cluster:', commands: [status, member, token, dht] },
  { heading: 'Shell:', commands: [completions(() => COMMANDS)] },
];
