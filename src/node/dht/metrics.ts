/** Metrics of the DHT, read from live state when they are scraped. For a node and for an agent. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { DhtStats, Refusal } from '../../dht/index.ts';
import type { DhtDriver } from './driver.ts';
import type { MovedPeers } from './moved-peers.ts';
import { OBJECTIONS } from './rules.ts';

const REFUSALS: readonly Refusal[] = [
  'too-large',
  'expired',
  'too-far-ahead',
  'bad-signature',
  'older',
  'not-accepted',
  'peer-limit',
  'full',
  'forged-contact',
  'unsolicited',
  'wrong-answer',
  'wrong-key',
  'own',
  'overloaded',
];

/** All are named `kvorum_dht_…`. */
export function registerDhtMetrics(registry: Registry, driver: DhtDriver, moved: MovedPeers): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (stats: DhtStats) => number): void => {
    const metric: Gauge = new Gauge({ name, help, registers, collect: () => metric.set(value(driver.stats())) });
  };
  gauge('kvorum_dht_joined', '1: somebody has answered, and not everybody is silent since.', ({ joined }) =>
    joined ? 1 : 0,
  );
  gauge('kvorum_dht_contacts', 'Peers in the routing table.', ({ contacts }) => contacts);
  gauge('kvorum_dht_contacts_failing', 'Of these, peers that did not answer last.', ({ failing }) => failing);
  gauge('kvorum_dht_owned', 'Records that this node publishes.', ({ owned }) => owned);
  gauge('kvorum_dht_queries', 'Queries under way.', ({ queries, upkeepQueries }) => queries + upkeepQueries);
  gauge('kvorum_dht_pending_requests', 'Requests without an answer yet.', ({ pendingRequests }) => pendingRequests);
  const kept = (name: string, help: string, of: (stats: DhtStats) => readonly [number, number]): void => {
    const metric: Gauge = new Gauge({
      name,
      help,
      labelNames: ['kind'],
      registers,
      collect: () => {
        const [value, provider] = of(driver.stats());
        metric.set({ kind: 'value' }, value);
        metric.set({ kind: 'provider' }, provider);
      },
    });
  };
  kept('kvorum_dht_records', 'Records kept for others and for itself.', ({ records, providers }) => [
    records,
    providers,
  ]);
  kept('kvorum_dht_record_bytes', 'Bytes of their values.', ({ recordBytes, providerBytes }) => [
    recordBytes,
    providerBytes,
  ]);

  const total = (name: string, help: string, value: (stats: DhtStats) => number): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers,
      collect: () => {
        metric.reset();
        metric.inc(value(driver.stats()));
      },
    });
  };
  total('kvorum_dht_requests_total', 'Requests sent.', ({ requestsSent }) => requestsSent);
  total('kvorum_dht_answers_total', 'Answers to requests of others.', ({ answersSent }) => answersSent);
  total('kvorum_dht_timeouts_total', 'Requests that nobody answered.', ({ timeouts }) => timeouts);
  total('kvorum_dht_evicted_total', 'Peers that gave way to others.', ({ evicted }) => evicted);
  total('kvorum_dht_verifications_total', 'Signatures verified.', ({ signaturesChecked }) => signaturesChecked);
  total('kvorum_dht_unsent_total', 'Messages without a link, or with a full queue.', () => driver.unsent);
  total('kvorum_dht_moved_total', 'Peers dialled where the DHT said that they are.', () => moved.found);

  const reasons = (name: string, help: string, of: () => Readonly<Record<string, number>>): void => {
    const metric: Counter = new Counter({
      name,
      help,
      labelNames: ['reason'],
      registers,
      collect: () => {
        metric.reset();
        for (const [reason, count] of Object.entries(of())) metric.inc({ reason }, count);
      },
    });
  };
  // All reasons, always: an alert on what is not there never fires.
  reasons('kvorum_dht_refused_total', 'What was not believed, kept or served, by reason.', () => ({
    ...zeros(REFUSALS),
    ...driver.stats().refused,
    malformed: driver.malformed,
  }));
  reasons('kvorum_dht_not_accepted_total', 'Records under a name that their signer may not write, by reason.', () => ({
    ...zeros(OBJECTIONS),
    ...driver.objections,
  }));
}

function zeros(reasons: readonly string[]): Record<string, number> {
  return Object.fromEntries(reasons.map((reason) => [reason, 0]));
}
