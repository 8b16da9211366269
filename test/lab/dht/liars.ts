/**
 * Peers that were admitted and lie: they name only each other, or contacts that do not exist and were made to lie close to what is looked up; they say that they keep a record and drop it, or
 * keep the first version for ever and serve that.
 *
 * Identities are cheap to make, so a liar has a large store of them to choose made-up contacts from; but none of them was admitted, so nobody answers for them.
 */
import { idText } from '../../../src/dht/id.ts';
import type { Contact, DhtId, DhtMessage, QueryResult, SignedRecord } from '../../../src/dht/index.ts';
import { contactOf, keyOf } from '../../dht/network.ts';
import type { Network, SimNode } from '../../dht/network.ts';
import { plot } from '../plot.ts';
import { figureOf, shareOf } from './figure.ts';
import type { Gate, Report, Row } from './figure.ts';
import { lookupsAtOnce } from './lookups.ts';
import { closestInOrder, inOrder, staticNetwork } from './static-network.ts';

type Lie = 'name friends' | 'make up contacts' | 'both';

const LIES: readonly Lie[] = ['name friends', 'make up contacts', 'both'];
const PATHS: readonly number[] = [1, 2, 4, 8];
const LIARS_SHARE = 0.2;
/** Identities that a liar has made in advance: twenty for each node there is. */
const MADE_UP_PER_NODE = 20;

export function liars(seed: number, size: number, count: number): Report {
  const rows: Row[] = [];
  const gates: Gate[] = [];
  const invented = inOrder(Array.from({ length: size * MADE_UP_PER_NODE }, (_, i) => contactOf(`nobody ${seed} ${i}`)));
  for (const [place, lie] of LIES.entries()) {
    const network = staticNetwork(size, { seed: seed + size + place });
    const nodes = [...network.nodes.values()];
    const dishonest = new Set<SimNode>();
    while (dishonest.size < Math.round(size * LIARS_SHARE)) dishonest.add(network.random.pick(nodes));
    const honest = nodes.filter((node) => !dishonest.has(node));
    const named = namerOf(lie, inOrder([...dishonest].map(({ contact }) => contact)), invented);
    for (const node of dishonest) becomeLiar(node, named);
    for (const paths of PATHS) {
      const truth = { present: nodes, honest };
      const done = lookupsAtOnce(network, truth, count, `liars ${seed} ${paths}`, { paths });
      const seqs = readRecords(network, honest, count, paths, seed);
      const figures = {
        'closest honest node': shareOf(done.map(({ found }) => found)),
        'exact k closest': shareOf(done.map(({ exact }) => exact)),
        'gets: newest record': shareOf(seqs.map((seq) => seq === 2)),
        'gets: old record': shareOf(seqs.map((seq) => seq === 1)),
        requests: figureOf(
          done.map(({ requests }) => requests),
          seed,
        ),
        'time-outs': figureOf(
          done.map(({ failures }) => failures),
          seed,
        ),
        'ms, virtual': figureOf(
          done.map(({ elapsedMs }) => elapsedMs),
          seed,
        ),
      };
      const what = `${lie}, ${paths} ${paths === 1 ? 'path' : 'paths'}`;
      rows.push({ what, figures });
      if (paths > 1) {
        for (const name of ['closest honest node', 'gets: newest record'] as const) {
          gates.push({ what: `${what}: ${name} in 99 %`, holds: figures[name].value >= 0.99 });
        }
      }
    }
  }
  return {
    title: `A fifth of ${size} nodes lies`,
    rows,
    gates,
    pictures: {
      'dht-liars': picture(
        rows,
        'gets: newest record',
        100,
        'Gets that find the newest record while a fifth lies',
        '%',
      ),
      'dht-liars-requests': picture(rows, 'requests', 1, 'What a look-up costs while a fifth lies', 'requests'),
    },
  };
}

function picture(rows: readonly Row[], figure: string, scale: number, title: string, unit: string): string {
  return plot({
    title,
    x: { label: 'disjoint paths', from: 0, to: 8 },
    y: { label: `${unit}, mean`, ...(scale === 100 ? { to: 100 } : { from: 0 }) },
    series: LIES.map((lie, place) => ({
      name: lie,
      points: PATHS.map((x, i) => {
        const { value, low, high } = rows[place * PATHS.length + i]?.figures[figure] ?? { value: 0, low: 0, high: 0 };
        return { x, y: value * scale, low: low * scale, high: high * scale };
      }),
    })),
  });
}

/** Each record is put in two versions by its owner, and read by somebody else. Which version it got; 0: none. */
function readRecords(
  network: Network,
  honest: readonly SimNode[],
  count: number,
  paths: number,
  seed: number,
): number[] {
  const seqs: number[] = [];
  for (let i = 0; i < count; i++) {
    const key = keyOf(`record ${seed} ${paths} ${i}`);
    const owner = network.random.pick(honest);
    const reader = network.random.pick(honest);
    const put = (seq: number, then: (result: QueryResult) => void): void => {
      const draft = { key, value: new Uint8Array([seq]), seq, republish: false };
      network.ask(owner, (dht, nowMs) => dht.put(draft, nowMs, { paths }), then);
    };
    const read = (): void => {
      network.ask(
        reader,
        (dht, nowMs) => dht.get(key, nowMs, { paths }),
        ({ records }) => seqs.push(records[0]?.seq ?? 0),
      );
    };
    put(1, () => put(2, read));
  }
  while (seqs.length < count) network.runFor(1_000);
  return seqs;
}

type Namer = (key: DhtId, count: number) => readonly Contact[];

function namerOf(lie: Lie, friends: readonly Contact[], invented: readonly Contact[]): Namer {
  switch (lie) {
    case 'name friends':
      return (key, count) => closestInOrder(friends, key, count);
    case 'make up contacts':
      return (key, count) => closestInOrder(invented, key, count);
    case 'both':
      return (key, count) => [
        ...closestInOrder(invented, key, Math.ceil(count / 2)),
        ...closestInOrder(friends, key, Math.floor(count / 2)),
      ];
  }
}

function becomeLiar(node: SimNode, named: Namer): void {
  const first = new Map<string, SignedRecord>();
  node.lie = (_from, message): DhtMessage | null => {
    const { rpc } = message;
    switch (message.type) {
      case 'FindNode':
        return { type: 'Nodes', rpc, contacts: named(message.target, message.count) };
      case 'FindRecords': {
        const old = first.get(idText(message.key));
        const contacts = named(message.key, message.count);
        return { type: 'Records', rpc, records: old === undefined ? [] : [old], contacts };
      }
      case 'Store': {
        const text = idText(message.record.key);
        // Every second record is dropped, of the others the first version is served for ever.
        if (!first.has(text) && (message.record.key[0] ?? 0) % 2 === 0) first.set(text, message.record);
        return { type: 'Stored', rpc, refused: null };
      }
      default:
        return null;
    }
  };
}
