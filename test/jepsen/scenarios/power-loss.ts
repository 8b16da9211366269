import { acquireDisks, acquireShims, releaseDisks, releaseShims, requireShim } from '../faults/equipment.ts';
import { probeLoopDisk } from '../faults/loop-disk.ts';
import { cutDisks, cutFiles } from '../faults/power-loss.ts';
import { probeShim } from '../faults/shim.ts';
import type { Scenario } from './scenario.ts';

const ROUNDS = 5;

async function hasDisk(): Promise<boolean> {
  return (await probeLoopDisk()) === null;
}

export const powerLoss: Scenario = {
  number: 5,
  name: 'power-loss',
  about: 'power goes on all nodes at once under load, and with it what was not synced: no acknowledged write is lost',
  probe: async () => ((await hasDisk()) ? null : probeShim()),
  prepare: async (lab) => await ((await hasDisk()) ? acquireDisks(lab) : acquireShims(lab)),
  dispose: async (lab) => await ((await hasDisk()) ? releaseDisks(lab) : releaseShims(lab)),
  async run(stage) {
    const { lab, chance } = stage;
    const disk = await hasDisk();
    stage.say(disk ? 'each node on an ext4 of its own that is cut off' : 'files are cut to what was synced');
    stage.startLoad();
    for (let round = 1; round <= ROUNDS; round++) {
      await stage.acknowledgedMore(chance.between(10, 80));
      await (disk ? cutDisks(lab, lab.nodes) : cutFiles(lab, lab.nodes));
      stage.say(
        `round ${round}: all ${lab.nodes.length} nodes lost power after ${stage.acknowledged} acknowledged writes`,
      );
      await lab.startAll();
    }
  },
};

export const tornTail: Scenario = {
  number: 6,
  name: 'torn-tail',
  about:
    'the same with a last record that is only half on the disk: it is cut off, and nothing acknowledged goes with it',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async run(stage) {
    const { lab, chance } = stage;
    // Large values and slow syncs: power goes while a batch is on its way.
    stage.startLoad({ workloads: ['register', 'append', 'put-get'], rate: 200 });
    let torn = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      for (const node of lab.nodes) (await requireShim(lab, node)).slowSyncs(5, 20);
      await stage.acknowledgedMore(chance.between(10, 80));
      const losses = await cutFiles(lab, lab.nodes, { tail: 'torn' });
      const logs = losses.flatMap(({ torn: files }) => files.filter((file) => file.endsWith('.log')));
      torn += logs.length;
      stage.say(`round ${round}: all nodes lost power, ${logs.length} with a torn write-ahead file`);
      await lab.startAll();
    }
    const told = lab.nodes.filter((node) => node.logs().includes('the last write was torn')).length;
    stage.needs(torn > 0, 'a write-ahead file was torn');
    if (torn > 0) stage.must(told > 0, `${torn} torn tails were cut off, and ${told} nodes said so in their logs`);
  },
};
