/** The DHT of a fake node: one other peer, which keeps everything. */
import { createHash } from 'node:crypto';

import { KvorumError } from '../../src/errors.ts';
import type {
  CallOptions,
  DhtGetAnswer,
  DhtLookupAnswer,
  DhtPeer,
  DhtProvidersAnswer,
  DhtPutAnswer,
  DhtPutOptions,
  DhtQueryOptions,
  DhtRecord,
  DhtReport,
  DhtStep,
  OwnDht,
  Value,
} from '../../src/node/types.ts';
import type { Enter } from './fake-coordination.ts';

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const MAX_BYTES = 4096;
const N2 = { id: '102', peerId: '12D3KooWTwo', name: 'n2', addresses: ['10.0.0.2:7201'] };
export const N2_PEER: DhtPeer = { ...N2, position: position(N2.peerId) };

export class FakeDht implements OwnDht {
  readonly #enter: Enter;
  readonly #values = new Map<string, DhtRecord>();
  #seq = NOW;

  constructor(enter: Enter) {
    this.#enter = enter;
  }

  async get(key: string, options?: DhtQueryOptions): Promise<DhtGetAnswer> {
    const scripted = await this.#called('dht.get', [key], options);
    if (scripted !== undefined) return scripted as DhtGetAnswer;
    return { ...report(`user/${key}`, options, 'FindRecords'), record: this.#values.get(key) ?? null };
  }

  async put(key: string, value: Value, options?: DhtPutOptions): Promise<DhtPutAnswer> {
    const scripted = await this.#called('dht.put', [key, value], options);
    if (scripted !== undefined) return scripted as DhtPutAnswer;
    const bytes = new Uint8Array(Buffer.from(value as string));
    if (bytes.length > MAX_BYTES) {
      throw new KvorumError('ERR_TOO_LARGE', 'the value is too large', { details: { limit: MAX_BYTES } });
    }
    const seq = ++this.#seq;
    const notAfterMs = NOW + (options?.ttlMs ?? DAY_MS);
    this.#values.set(key, { name: `user/${key}`, value: bytes, seq, notAfterMs, peerId: '12D3KooWFake', id: '101' });
    return { ...report(`user/${key}`, options, 'FindNode'), seq, stored: 2, refused: {} };
  }

  async providers(name: string, options?: DhtQueryOptions): Promise<DhtProvidersAnswer> {
    const scripted = await this.#called('dht.providers', [name], options);
    if (scripted !== undefined) return scripted as DhtProvidersAnswer;
    const card = { id: '102', name: 'n2', role: 'voter', addresses: N2.addresses, http: null };
    const record: DhtRecord = {
      ...{ name, value: new Uint8Array(Buffer.from(JSON.stringify(card))), seq: NOW, notAfterMs: NOW + DAY_MS / 48 },
      ...{ peerId: N2.peerId, id: N2.id },
    };
    return { ...report(name, options, 'FindRecords'), records: name === 'group/1' ? [record] : [] };
  }

  async lookup(target: string | { readonly node: string }, options?: DhtQueryOptions): Promise<DhtLookupAnswer> {
    const scripted = await this.#called('dht.lookup', [target], options);
    if (scripted !== undefined) return scripted as DhtLookupAnswer;
    if (typeof target === 'string') return { ...report(`user/${target}`, options, 'FindNode'), node: null };
    const { id, name, addresses } = N2;
    const card = { id, name, role: 'voter' as const, addresses, http: 'http://10.0.0.2:7101' };
    return { ...report(`node/${target.node}`, options, 'FindRecords'), node: target.node === id ? card : null };
  }

  async host(service: string, instance: string, said: string | null): Promise<void> {
    await this.#called('dht.host', [service, instance, said]);
  }

  #called(method: string, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    return this.#enter(method, args, options);
  }
}

function report(name: string, options: DhtQueryOptions | undefined, asked: DhtStep['asked']): DhtReport {
  const step: DhtStep = {
    ...{ step: 1, path: 0, peer: N2_PEER, distance: 254, asked, outcome: 'answered' },
    ...{ contacts: 1, fresh: 0, records: asked === 'FindRecords' ? 1 : 0, rttMs: 1 },
  };
  return {
    ...{ target: position(name), outcome: 'complete' },
    cost: { requests: 1, failures: 0, hops: 1, elapsedMs: 2 },
    closest: [N2_PEER],
    steps: options?.trace === true ? [step] : null,
  };
}

function position(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
