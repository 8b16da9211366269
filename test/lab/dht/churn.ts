/**
 * Networks whose nodes come and go: each stays for an exponential time, leaves without a word, and a new one takes its place at once. Look-ups, and gets of records that were put
 * before, go on all the time.
 */
import type { DhtId, QueryResult } from '../../../src/dht/index.ts';
import { keyOf, Network } from '../../dht/network.ts';
import type { SimNode } from '../../dht/network.ts';
import { plot } from '../plot.ts';
import { figureOf, shareOf } from './figure.ts';
import type { Gate, Report, Row } from './figure.ts';
import { judged } from './lookups.ts';
import type { Lookup } from './lookups.ts';
import { inOrder } from './static-network.ts';

const MINUTE_MS = 60_000;
const ASK_EVERY_MS = 2_000;
const RECORDS = 100;

export interface ChurnOptions {
  readonly seed: number;
  readonly size: number;
  readonly medianMs: number;
  /** How long it is measured, after one and a half medians of running in. */
  readonly measureMs: number;
}

export function churn(seed: number, size: number, mediansMin: readonly number[], measureMin: number): Report {
  const rows: Row[] = [];
  const gates: Gate[] = [];
  for (const medianMin of mediansMin) {
    const options = { seed, size, medianMs: medianMin * MINUTE_MS, measureMs: measureMin * MINUTE_MS };
    const { lookups, gets, lost } = new Churn(options).run();
    const figures = {
      'look-ups: closest node': shareOf(lookups.map(({ found }) => found)),
      'exact k closest': shareOf(lookups.map(({ exact }) => exact)),
      'gets: newest record': shareOf(gets),
      'records lost, %': { value: 100 * lost, low: 100 * lost, high: 100 * lost },
      requests: figureOf(
        lookups.map(({ requests }) => requests),
        seed,
      ),
      'time-outs': figureOf(
        lookups.map(({ failures }) => failures),
        seed,
      ),
      'ms, virtual': figureOf(
        lookups.map(({ elapsedMs }) => elapsedMs),
        seed,
      ),
    };
    rows.push({ what: `${medianMin} min`, figures });
    if (medianMin >= 60) {
      gates.push(
        {
          what: `sessions of ${medianMin} min: 99.9 % of look-ups find the closest node`,
          holds: figures['look-ups: closest node'].value >= 0.999,
        },
        {
          what: `sessions of ${medianMin} min: 99.9 % of gets find the newest record`,
          holds: figures['gets: newest record'].value >= 0.999,
        },
      );
    }
  }
  const line = (
    name: string,
    figure: string,
  ): { name: string; points: { x: number; y: number; low: number; high: number }[] } => ({
    name,
    points: rows.map((row) => {
      const { value, low, high } = row.figures[figure] ?? { value: 0, low: 0, high: 0 };
      return { x: Number.parseInt(row.what, 10), y: 100 * value, low: 100 * low, high: 100 * high };
    }),
  });
  return {
    title: `Nodes that come and go: median of a session, ${size} nodes`,
    rows,
    gates,
    pictures: {
      'dht-churn': plot({
        title: `Success under churn, ${size} nodes`,
        x: { label: 'median of a session, minutes', scale: 'log' },
        y: { label: '% of look-ups and gets', to: 100 },
        series: [
          line('look-ups that find the closest node', 'look-ups: closest node'),
          line('look-ups that find the exact k closest', 'exact k closest'),
          line('gets that find the newest record', 'gets: newest record'),
        ],
      }),
    },
  };
}

class Churn {
  readonly #options: ChurnOptions;
  readonly #network: Network;
  readonly #alive: SimNode[] = [];
  readonly #lookups: Lookup[] = [];
  readonly #gets: boolean[] = [];
  readonly #keys: DhtId[] = [];
  #born = 0;
  #asked = 0;

  constructor(options: ChurnOptions) {
    this.#options = options;
    this.#network = new Network({ seed: options.seed + options.medianMs });
  }

  run(): { lookups: Lookup[]; gets: boolean[]; lost: number } {
    const { size, medianMs, measureMs } = this.#options;
    const network = this.#network;
    for (let i = 0; i < size; i++) {
      this.#arrive();
      network.runFor(50);
    }
    network.runFor(1.5 * medianMs);
    this.#putRecords();
    const end = network.now + measureMs;
    while (network.now < end) {
      this.#ask();
      network.runFor(ASK_EVERY_MS);
    }
    while (this.#lookups.length + this.#gets.length < this.#asked) network.runFor(1_000);
    return { lookups: this.#lookups, gets: this.#gets, lost: this.#lostShare() };
  }

  #arrive(): void {
    const network = this.#network;
    const node = network.add(`churn ${this.#options.medianMs} ${this.#born++}`);
    if (this.#alive.length > 0) network.introduce(node, network.random.pick(this.#alive).contact);
    this.#alive.push(node);
    const stayMs = (-Math.log(1 - network.random.float()) * this.#options.medianMs) / Math.LN2;
    network.agenda.after(stayMs, () => this.#leave(node));
  }

  #leave(node: SimNode): void {
    this.#network.kill(node);
    this.#network.forget(node);
    this.#alive.splice(this.#alive.indexOf(node), 1);
    this.#arrive();
  }

  /** Those are counted which somebody stayed long enough to put. */
  #putRecords(): void {
    const network = this.#network;
    for (let i = 0; this.#keys.length < RECORDS; i++) {
      const key = keyOf(`churn ${this.#options.seed} ${i}`);
      network.ask(
        network.random.pick(this.#alive),
        (dht, nowMs) => dht.put({ key, value: new Uint8Array([1]), seq: 1 }, nowMs),
        () => this.#keys.push(key),
      );
      network.runFor(1_000);
    }
  }

  #ask(): void {
    const network = this.#network;
    const key = network.random.bytes(32);
    const asker = network.random.pick(this.#alive);
    const before = [...this.#alive];
    this.#asked += 1;
    this.#whenOver(
      asker,
      (dht, nowMs) => dht.lookup(key, nowMs),
      (result) => {
        if (result === null) {
          this.#asked -= 1;
          return;
        }
        // Who came or went meanwhile may be found or not.
        const present = inOrder(before.filter(({ isAlive }) => isAlive).map(({ contact }) => contact));
        this.#lookups.push(judged(result, asker.contact, present, present));
      },
    );
    const wanted = network.random.pick(this.#keys);
    this.#asked += 1;
    this.#whenOver(
      network.random.pick(this.#alive),
      (dht, nowMs) => dht.get(wanted, nowMs),
      (result) => {
        if (result === null) this.#asked -= 1;
        else this.#gets.push(result.records.length === 1);
      },
    );
  }

  /** Null: whoever asked left before it had its answer, which says nothing of the network. */
  #whenOver(node: SimNode, start: Parameters<Network['ask']>[1], then: (result: QueryResult | null) => void): void {
    let isOver = false;
    this.#network.ask(node, start, (result) => {
      isOver = true;
      then(result);
    });
    // Past every deadline of a query.
    this.#network.agenda.after(40_000, () => {
      if (!isOver) then(null);
    });
  }

  /** Records that nobody keeps any more, whatever a get would do. */
  #lostShare(): number {
    const kept = this.#keys.filter((key) => this.#alive.some(({ dht }) => dht.kept('value', key).length > 0));
    return 1 - kept.length / this.#keys.length;
  }
}
