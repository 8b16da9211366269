import { shuffled } from '../nemeses/cut.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const ROUNDS = 12;

export const killLoop: Scenario = {
  number: 4,
  name: 'kill-loop',
  about: 'kill -9 of one, two or all nodes, again and again under load: no acknowledged write is lost',
  probe: everywhere,
  async run(stage) {
    const { lab, chance } = stage;
    stage.startLoad();
    for (let round = 1; round <= ROUNDS; round++) {
      await stage.acknowledgedMore(chance.between(5, 60));
      const victims = shuffled(chance, lab.nodes).slice(0, chance.between(1, lab.nodes.length));
      await Promise.all(victims.map(async (node) => await node.kill('SIGKILL')));
      stage.say(`round ${round}: ${victims.map(({ name }) => name).join(' ')} killed`);
      await stage.pause(chance.between(0, 1500));
      await lab.startAll();
    }
  },
};
