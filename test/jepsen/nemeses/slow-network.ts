/** Links that work badly: loss, delay, little bandwidth. */
import type { NetworkAbilities } from '../networks/host-network.ts';
import type { Chance, Fault, Lab, LabNode, LinkShape, Nemesis } from '../types.ts';
import { leaderOrAny, names } from './cut.ts';

export function slowNetwork(abilities: NetworkAbilities): Nemesis[] {
  return [
    shaped('loss', 'packets get lost, up to three of ten', abilities.loss, (chance) => ({
      loss: chance.pick([0.02, 0.1, 0.3]),
    })),
    shaped('delay', 'messages come late and unevenly', abilities.delay, (chance) => {
      const delayMs = chance.pick([5, 20, 80, 200]);
      return { delayMs, jitterMs: Math.round(delayMs * chance.float()) };
    }),
    shaped('bandwidth', 'links carry few bytes a second', abilities.bandwidth, (chance) => ({
      bytesPerSecond: chance.pick([20_000, 100_000, 500_000]),
    })),
  ];
}

function shaped(name: string, about: string, reason: string | null, draw: (chance: Chance) => LinkShape): Nemesis {
  return {
    name,
    about,
    probe: async () => await Promise.resolve(reason),
    inject: async (lab) => {
      const shape = draw(lab.chance);
      const leader = await leaderOrAny(lab);
      const touched = lab.chance.pick([[leader], [lab.chance.pick(lab.nodes)], lab.nodes]);
      return await shapeAll(lab, touched, shape);
    },
  };
}

/** Every link from and to the nodes. */
async function shapeAll(lab: Lab, touched: readonly LabNode[], shape: LinkShape): Promise<Fault> {
  const links = lab.nodes.flatMap((from) =>
    lab.nodes
      .filter((to) => to !== from && (touched.includes(from) || touched.includes(to)))
      .map((to) => [from, to] as const),
  );
  for (const [from, to] of links) {
    const reason = await lab.network.shape(from, to, shape);
    if (reason !== null) throw new Error(`the probe was wrong: ${reason}`);
  }
  return {
    what: `${describe(shape)} at ${touched.length === lab.nodes.length ? 'all' : names(touched)}`,
    heal: async () => {
      for (const [from, to] of links) await lab.network.shape(from, to, null);
    },
  };
}

function describe({ loss, delayMs, jitterMs, bytesPerSecond }: LinkShape): string {
  return [
    loss === undefined ? [] : [`${Math.round(loss * 100)} % lost`],
    delayMs === undefined ? [] : [`${delayMs} ± ${jitterMs ?? 0} ms`],
    bytesPerSecond === undefined ? [] : [`${bytesPerSecond / 1000} kB/s`],
  ]
    .flat()
    .join(', ');
}
