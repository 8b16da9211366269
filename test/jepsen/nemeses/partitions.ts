/** Partitions of every shape. */
import type { Nemesis } from '../types.ts';
import { between, cut, leaderOrAny, names, others, shuffled, type Link } from './cut.ts';

const probe = async (): Promise<null> => await Promise.resolve(null);

export const halves: Nemesis = {
  name: 'halves',
  about: 'two groups that do not hear each other, a majority and the rest',
  probe,
  inject: async (lab) => {
    const nodes = shuffled(lab.chance, lab.nodes);
    const size = Math.floor(nodes.length / 2);
    const [minority, majority] = [nodes.slice(0, size), nodes.slice(size)];
    return await cut(lab, between(minority, majority), `${names(minority)} | ${names(majority)}`);
  },
};

export const ring: Nemesis = {
  name: 'ring',
  about: 'every node hears a majority, and no two the same one',
  probe,
  inject: async (lab) => {
    const nodes = shuffled(lab.chance, lab.nodes);
    const count = nodes.length;
    const reach = Math.ceil(Math.floor(count / 2) / 2);
    const links: Link[] = [];
    for (const [i, a] of nodes.entries()) {
      for (const [j, b] of nodes.entries()) {
        const distance = Math.min(Math.abs(i - j), count - Math.abs(i - j));
        // Three nodes are all neighbours: there it is a ring with one link less.
        const apart = count === 3 ? Math.abs(i - j) === 2 : distance > reach;
        if (apart) links.push([a, b]);
      }
    }
    return await cut(lab, links, nodes.map(({ name }) => name).join('–'));
  },
};

export const bridge: Nemesis = {
  name: 'bridge',
  about: 'two groups that do not hear each other, and one node that hears both',
  probe,
  inject: async (lab) => {
    const [middle, ...rest] = shuffled(lab.chance, lab.nodes);
    if (middle === undefined || rest.length < 2) return null;
    const size = Math.floor(rest.length / 2);
    const [left, right] = [rest.slice(0, size), rest.slice(size)];
    return await cut(lab, between(left, right), `${names(left)} – ${middle.name} – ${names(right)}`);
  },
};

export const isolatedLeader: Nemesis = {
  name: 'isolated-leader',
  about: 'the leader hears nobody and nobody hears it',
  probe,
  inject: async (lab) => {
    const leader = await leaderOrAny(lab);
    return await cut(lab, between([leader], others(lab, leader)), `${leader.name} (leader) | the others`);
  },
};

export const isolatedRandom: Nemesis = {
  name: 'isolated-random',
  about: 'some node hears nobody and nobody hears it',
  probe,
  inject: async (lab) => {
    const node = lab.chance.pick(lab.nodes);
    return await cut(lab, between([node], others(lab, node)), `${node.name} | the others`);
  },
};

export const deafLeader: Nemesis = {
  name: 'deaf-leader',
  about: 'one way: the leader is heard and hears nobody',
  probe,
  inject: async (lab) => {
    const leader = await leaderOrAny(lab);
    const links = others(lab, leader).map((node): Link => [node, leader]);
    return await cut(lab, links, `${leader.name} (leader) is deaf`);
  },
};

export const muteLeader: Nemesis = {
  name: 'mute-leader',
  about: 'one way: the leader hears the others and nobody hears it',
  probe,
  inject: async (lab) => {
    const leader = await leaderOrAny(lab);
    const links = others(lab, leader).map((node): Link => [leader, node]);
    return await cut(lab, links, `${leader.name} (leader) is mute`);
  },
};

export const oneWay: Nemesis = {
  name: 'one-way',
  about: 'some links carry one direction only, each by chance',
  probe,
  inject: async (lab) => {
    const links: Link[] = [];
    for (const from of lab.nodes) {
      for (const to of lab.nodes) if (from !== to && lab.chance.chance(0.3)) links.push([from, to]);
    }
    if (links.length === 0) return null;
    return await cut(lab, links, links.map(([from, to]) => `${from.name}↛${to.name}`).join(' '));
  },
};
