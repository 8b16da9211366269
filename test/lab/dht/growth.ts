/** Networks that grew: one node after the other joins by way of a random one that is there. Then look-ups, and how the tables came to look. */
import type { SimNode } from '../../dht/network.ts';
import { Network } from '../../dht/network.ts';
import { mean } from '../statistics.ts';
import { figureOf, shareOf, single } from './figure.ts';
import type { Gate, Report, Row } from './figure.ts';
import { lookupsAtOnce } from './lookups.ts';
import { staticNetwork } from './static-network.ts';

/** Between two nodes that join: many are joining at the same time. */
const JOIN_EVERY_MS = 50;
const SETTLE_MS = 60_000;
const CPU_LIMIT_S = 300;

export function growth(seed: number, sizes: readonly number[], count: number): Report {
  const rows: Row[] = [];
  const gates: Gate[] = [];
  for (const size of sizes) {
    const before = process.cpuUsage();
    const network = grown(size, seed);
    const messages = network.messages;
    const nodes = [...network.nodes.values()];
    const done = lookupsAtOnce(network, { present: nodes }, count, `growth ${seed}`);
    const { user, system } = process.cpuUsage(before);
    const cpuS = (user + system) / 1e6;
    const contacts = mean(nodes.map(({ dht }) => dht.stats().contacts));
    const exact = shareOf(done.map((one) => one.exact));
    const requests = figureOf(
      done.map((one) => one.requests),
      seed,
    );
    rows.push({
      what: `${size} nodes`,
      figures: {
        hops: figureOf(
          done.map((one) => one.hops),
          seed,
        ),
        requests,
        'time-outs': figureOf(
          done.map((one) => one.failures),
          seed,
        ),
        'exact k closest': exact,
        'contacts a node': single(contacts),
        'of full buckets': single(contacts / fullContacts(size, seed)),
        'messages a join': single(messages / size),
        'CPU s': single(cpuS),
      },
    });
    gates.push(
      { what: `${size} nodes that grew: 99.9 % find the exact k closest`, holds: exact.value >= 0.999 },
      { what: `${size} nodes that grew: at most 10 % more than 23 requests`, holds: requests.value <= 23 * 1.1 },
      { what: `${size} nodes: grown and asked in ${CPU_LIMIT_S} s of one core`, holds: cpuS < CPU_LIMIT_S },
    );
  }
  return { title: 'Networks that grew', rows, gates, pictures: {} };
}

export function grown(size: number, seed: number): Network {
  const network = new Network({ seed: seed + size });
  const nodes: SimNode[] = [];
  for (let i = 0; i < size; i++) {
    const node = network.add(`g${seed}-${i}`);
    if (nodes.length > 0) network.introduce(node, network.random.pick(nodes).contact);
    nodes.push(node);
    network.runFor(JOIN_EVERY_MS);
  }
  network.runFor(SETTLE_MS);
  return network;
}

/** What a node of such a network would know if its buckets were full. */
function fullContacts(size: number, seed: number): number {
  const network = staticNetwork(Math.min(size, 1_000), { seed });
  const known = mean([...network.nodes.values()].map(({ dht }) => dht.stats().contacts));
  // One more full bucket each time the network doubles.
  return known + 20 * Math.max(0, Math.log2(size / 1_000));
}
