/** What several nemeses share in one lab: shims, disks, and the account of which nodes are out by whose fault. */
import path from 'node:path';

import type { Lab, LabNode } from '../types.ts';
import { LoopDisk } from './loop-disk.ts';
import { Shim } from './shim.ts';

interface Shared<T> {
  users: number;
  /** Made by the first user. */
  readonly things: Promise<Map<LabNode, T>>;
}

const shims = new WeakMap<Lab, Shared<Shim>>();
const disks = new WeakMap<Lab, Shared<LoopDisk>>();
const out = new WeakMap<Lab, Set<LabNode>>();
const expected = new WeakMap<LabNode, readonly string[]>();

async function acquire<T>(
  all: WeakMap<Lab, Shared<T>>,
  lab: Lab,
  make: (node: LabNode) => Promise<T> | T,
): Promise<void> {
  let shared = all.get(lab);
  if (shared === undefined) {
    const made = async (): Promise<Map<LabNode, T>> => {
      const things = new Map<LabNode, T>();
      for (const node of lab.nodes) things.set(node, await make(node));
      return things;
    };
    shared = { users: 0, things: made() };
    all.set(lab, shared);
  }
  shared.users++;
  await shared.things;
}

async function release<T>(
  all: WeakMap<Lab, Shared<T>>,
  lab: Lab,
  end: (thing: T, node: LabNode) => void,
): Promise<void> {
  const shared = all.get(lab);
  if (shared === undefined || --shared.users > 0) return;
  all.delete(lab);
  for (const [node, thing] of await shared.things) end(thing, node);
}

async function find<T>(all: WeakMap<Lab, Shared<T>>, lab: Lab, node: LabNode): Promise<T | null> {
  const things = await all.get(lab)?.things;
  return things?.get(node) ?? null;
}

/** Puts every node under a shim, from its next start on. To be undone by `releaseShims`. */
export async function acquireShims(lab: Lab): Promise<void> {
  await acquire(shims, lab, (node) => {
    const shim = new Shim(node.dataDir, path.join(path.dirname(node.dataDir), 'shim'));
    Object.assign(node.env, shim.env);
    return shim;
  });
}

export async function releaseShims(lab: Lab): Promise<void> {
  await release(shims, lab, (shim, node) => {
    shim.heal();
    shim.close();
    for (const name of Object.keys(shim.env)) Reflect.deleteProperty(node.env, name);
  });
}

/** Null when the node is under none. */
export async function shimOf(lab: Lab, node: LabNode): Promise<Shim | null> {
  return await find(shims, lab, node);
}

/** For a nemesis that has acquired them. */
export async function requireShim(lab: Lab, node: LabNode): Promise<Shim> {
  const shim = await shimOf(lab, node);
  if (shim === null) throw new Error(`${node.name} is under no shim: prepare the nemesis before the nodes start`);
  return shim;
}

/** Gives every node a disk of its own, empty, before anything is on it. To be undone by `releaseDisks`. */
export async function acquireDisks(lab: Lab): Promise<void> {
  await acquire(disks, lab, async (node) => {
    return await LoopDisk.make(node.dataDir, path.join(path.dirname(node.dataDir), 'disk.image'));
  });
}

export async function releaseDisks(lab: Lab): Promise<void> {
  await release(disks, lab, (disk) => disk.remove());
}

export async function requireDisk(lab: Lab, node: LabNode): Promise<LoopDisk> {
  const disk = await find(disks, lab, node);
  if (disk === null) throw new Error(`${node.name} has no disk of its own: prepare the nemesis before the nodes start`);
  return disk;
}

/** Nodes that a fault here has taken out until it heals. */
export function outOf(lab: Lab): Set<LabNode> {
  let nodes = out.get(lab);
  if (nodes === undefined) out.set(lab, (nodes = new Set()));
  return nodes;
}

/** Nodes that run, that nobody has paused, and that no fault here has already taken. */
export function wellNodes(lab: Lab): LabNode[] {
  const taken = outOf(lab);
  return lab.nodes.filter((node) => node.alive && !node.paused && !taken.has(node));
}

/** Whether one more node may lose its data for a while: the ones that have theirs are a majority all the same. */
export function mayLoseOne(lab: Lab): boolean {
  return outOf(lab).size + 1 < lab.nodes.length / 2;
}

/**
 * Error codes with which the node may end by itself now, because a fault wants it to; empty when it must not. What else
 * ends by itself has failed.
 */
export function expectedEnds(node: LabNode): readonly string[] {
  return expected.get(node) ?? [];
}

/** Stays until it is told otherwise. */
export function expectEnds(node: LabNode, codes: readonly string[]): void {
  if (codes.length === 0) expected.delete(node);
  else expected.set(node, codes);
}
