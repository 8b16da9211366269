/** Every nemesis there is, and how the command line names them. */
import { diskAndClockNemeses } from './faults/index.ts';
import type { NetworkAbilities } from './networks/host-network.ts';
import { churn } from './nemeses/churn.ts';
import { flapping } from './nemeses/flapping.ts';
import {
  bridge,
  deafLeader,
  halves,
  isolatedLeader,
  isolatedRandom,
  muteLeader,
  oneWay,
  ring,
} from './nemeses/partitions.ts';
import { kill, killAll, pause, restart } from './nemeses/processes.ts';
import { slowNetwork } from './nemeses/slow-network.ts';
import { snapshot } from './nemeses/snapshot.ts';
import { starve } from './nemeses/starve.ts';
import { stutter } from './nemeses/stutter.ts';
import { transfer } from './nemeses/transfer.ts';
import type { Nemesis } from './types.ts';

/** Of two faults at once one is of the network: those of processes and machines would undo each other's work. */
export type Layer = 'network' | 'process' | 'machine';

export interface ListedNemesis {
  readonly nemesis: Nemesis;
  readonly layer: Layer;
  /** More names that choose it. */
  readonly groups: readonly string[];
}

/** For a network that can do this. In the order in which they are shown. */
export function allNemeses(abilities: NetworkAbilities): ListedNemesis[] {
  const partitions = [halves, ring, bridge, isolatedLeader, isolatedRandom, deafLeader, muteLeader, oneWay, flapping];
  return [
    ...partitions.map((nemesis) => listed(nemesis, 'network', ['partition'])),
    ...slowNetwork(abilities).map((nemesis) => listed(nemesis, 'network', ['slow-network'])),
    ...[kill, killAll, restart, pause, stutter, starve, transfer, snapshot].map((nemesis) =>
      listed(nemesis, 'process', []),
    ),
    ...diskAndClockNemeses.map((nemesis) => listed(nemesis, 'machine', [])),
    // Not together with what else takes a member's data, or its process.
    listed(churn, 'machine', ['membership']),
  ];
}

function listed(nemesis: Nemesis, layer: Layer, groups: readonly string[]): ListedNemesis {
  return { nemesis, layer, groups };
}

/**
 * Those that the words name: a name, a group (`partition`, `slow-network`), a layer, `all` or `none`.
 * Throws when a word names nothing.
 */
export function chooseNemeses(all: readonly ListedNemesis[], words: readonly string[]): ListedNemesis[] {
  const chosen = new Set<ListedNemesis>();
  for (const word of words) {
    if (word === 'none') continue;
    const named = all.filter(({ nemesis, layer, groups }) => {
      return word === 'all' || word === nemesis.name || word === layer || groups.includes(word);
    });
    if (named.length === 0) throw new Error(`there is no nemesis "${word}"; --list shows them`);
    for (const one of named) chosen.add(one);
  }
  return all.filter((one) => chosen.has(one));
}
