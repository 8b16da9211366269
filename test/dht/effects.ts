/** What a core wants done, sorted. */
import type { Contact, Dht, DhtMessage, QueryResult, QueryStep } from '../../src/dht/index.ts';

export interface Sent {
  readonly to: Contact;
  readonly message: DhtMessage;
}

export function takeAll(dht: Dht): { sent: Sent[]; results: QueryResult[]; steps: QueryStep[] } {
  const sent: Sent[] = [];
  const results: QueryResult[] = [];
  const steps: QueryStep[] = [];
  for (const effect of dht.takeEffects()) {
    if (effect.type === 'send') sent.push(effect);
    else if (effect.type === 'result') results.push(effect);
    else steps.push(effect);
  }
  return { sent, results, steps };
}
