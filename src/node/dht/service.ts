/** `node.dht`: what callers give is checked here, and names get their namespace. */
import { Buffer } from 'node:buffer';
import type { Contact, QueryStep, SignedRecord } from '../../dht/index.ts';
import { KvorumError } from '../../errors.ts';
import { checkCount, checkMs, checkName, checkTimeout, invalid } from '../calls.ts';
import type {
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
} from '../dht-types.ts';
import type { Value } from '../types.ts';
import { decodeCard } from './card.ts';
import type { DhtDriver, DriverQuery, Finding } from './driver.ts';
import { decodeEnvelope, MAX_BODY_BYTES } from './envelope.ts';
import type { Hosting, Said } from './hosting.ts';
import { keyOf, parseName } from './names.ts';

const MAX_PATHS = 8;
const MIN_TTL_MS = 1000;
const DEFAULT_TTL_MS = 24 * 3_600_000;
const MAX_TTL_MS = 48 * 3_600_000;
/** Storing comes after the search, and waits so long for who does not answer. */
const STORING_MS = 2000;

const encoder = new TextEncoder();

export interface DhtParts {
  readonly driver: DhtDriver;
  readonly hosting: Hosting;
}

/** Calls the action once there is a DHT, or rejects. */
type Serve = <T>(action: (parts: DhtParts) => Promise<T>) => Promise<T>;

export class DhtService implements OwnDht {
  readonly #serve: Serve;

  constructor(serve: Serve) {
    this.#serve = serve;
  }

  async get(key: string, options: DhtQueryOptions = {}): Promise<DhtGetAnswer> {
    const name = userName(key);
    const query = checkQuery(options);
    return await this.#serve(async ({ driver }) => {
      const finding = await driver.get(name, query);
      const [record] = recordsOf(finding, driver);
      return { ...reportOf(name, finding, driver), record: record ?? null };
    });
  }

  async put(key: string, value: Value, options: DhtPutOptions = {}): Promise<DhtPutAnswer> {
    const name = userName(key);
    const body = checkValue(value);
    const ttlMs = Math.round(checkMs('ttlMs', options.ttlMs, MIN_TTL_MS, MAX_TTL_MS, DEFAULT_TTL_MS));
    const query = checkQuery(options);
    return await this.#serve(({ driver }) => put(driver, { name, body, ttlMs, republish: false }, query));
  }

  async providers(name: string, options: DhtQueryOptions = {}): Promise<DhtProvidersAnswer> {
    const space = typeof name === 'string' ? parseName(name)?.space : undefined;
    if (space !== 'group' && space !== 'service') {
      throw invalid(`what is provided is group/1 or service/NAME, not ${JSON.stringify(name)}`);
    }
    const query = checkQuery(options);
    return await this.#serve(async ({ driver }) => {
      const finding = await driver.providers(name, query);
      // An empty one stands in the place of what is provided no more.
      const records = recordsOf(finding, driver).filter(({ value }) => value.length > 0);
      return { ...reportOf(name, finding, driver), records };
    });
  }

  async lookup(target: string | { readonly node: string }, options: DhtQueryOptions = {}): Promise<DhtLookupAnswer> {
    const query = checkQuery(options);
    if (typeof target === 'string') {
      const name = userName(target);
      return await this.#serve(async ({ driver }) => {
        return { ...reportOf(name, await driver.lookup(name, query), driver), node: null };
      });
    }
    const name = typeof target === 'object' && target !== null ? `node/${target.node}` : '';
    if (parseName(name) === null) throw invalid('what is looked up is a key, or { node: decimal id of a node }');
    return await this.#serve(async ({ driver }) => {
      const finding = await driver.get(name, query);
      const [record] = recordsOf(finding, driver);
      return { ...reportOf(name, finding, driver), node: record === undefined ? null : decodeCard(record.value) };
    });
  }

  async host(service: string, instance: string, said: string | null): Promise<void> {
    checkName(instance);
    if (parseName(`service/${checkName(service)}`) === null) throw invalid('service must be a text of 1 to 512 bytes');
    const parsed = said === null ? null : checkSaid(said);
    // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
    await this.#serve(async ({ hosting }) => hosting.host(service, instance, parsed));
  }
}

function checkSaid(said: string): Said {
  let value: unknown;
  try {
    value = JSON.parse(said);
  } catch (cause) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'what an instance says of itself must be JSON', { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Said;
  throw invalid('what an instance says of itself must be a JSON object');
}

interface Draft {
  readonly name: string;
  readonly body: Uint8Array;
  readonly ttlMs: number;
  readonly republish: boolean;
}

/** What is there may be of a clock that is ahead of this one: then it is outdone. */
async function put(driver: DhtDriver, draft: Draft, query: DriverQuery & { timeoutMs: number }): Promise<DhtPutAnswer> {
  const { name } = draft;
  const timed = (leftMs: number): DriverQuery => ({
    ...query,
    timeoutMs: Math.max(1, leftMs / 2, leftMs - STORING_MS),
  });
  let seq = driver.nextSeq();
  let finding = await driver.put({ ...draft, seq }, timed(query.timeoutMs));
  const { stored: kept, refused: why, cost } = finding.result;
  if (kept === 0 || why.older !== undefined) {
    const leftMs = query.timeoutMs - cost.elapsedMs;
    const known = await driver.get(name, timed(leftMs));
    const newest = known.result.records[0]?.seq ?? -1;
    if (newest >= seq) {
      seq = newest + 1;
      finding = await driver.put({ ...draft, seq }, timed(leftMs - known.result.cost.elapsedMs));
    }
  }
  const { stored, refused } = finding.result;
  if (stored === 0 && refused.older === undefined) throw notStored(finding);
  return { ...reportOf(name, finding, driver), seq, stored, refused };
}

function notStored({ result: { refused } }: Finding): KvorumError {
  if (refused['peer-limit'] !== undefined || refused.full !== undefined) {
    return new KvorumError('ERR_QUOTA', 'those who would keep it have no room for more of this node', {
      details: { refused },
    });
  }
  return new KvorumError('ERR_TIMEOUT', 'nobody has said that it keeps it', {
    outcome: 'unknown',
    details: { refused },
  });
}

function checkQuery({ paths, trace, timeoutMs, signal }: DhtQueryOptions): DriverQuery & { timeoutMs: number } {
  if (trace !== undefined && typeof trace !== 'boolean') throw invalid('trace must be true or false');
  return {
    ...(paths !== undefined && { paths: checkCount('paths', paths, 1, MAX_PATHS) }),
    ...(trace !== undefined && { trace }),
    ...(signal !== undefined && { signal }),
    timeoutMs: Math.max(1, checkTimeout(timeoutMs)),
  };
}

function userName(key: string): string {
  const name = typeof key === 'string' ? `user/${key}` : '';
  if (parseName(name) !== null) return name;
  throw invalid('key must be a text of 1 to 512 bytes');
}

function checkValue(value: Value): Uint8Array {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw invalid('value must be a string or bytes');
  const body = typeof value === 'string' ? encoder.encode(value) : new Uint8Array(value);
  if (body.length <= MAX_BODY_BYTES) return body;
  throw new KvorumError('ERR_TOO_LARGE', `the value has ${body.length} bytes, ${MAX_BODY_BYTES} are allowed`, {
    details: { limit: MAX_BODY_BYTES },
  });
}

function reportOf(name: string, { result, steps }: Finding, driver: DhtDriver): DhtReport {
  const peerOf = ({ id, peerId, name: said, addresses }: Contact): DhtPeer => ({
    ...{ id: driver.idOf(peerId), peerId, name: said, addresses },
    position: hex(id),
  });
  return {
    target: hex(keyOf(name)),
    outcome: result.outcome,
    cost: { ...result.cost, elapsedMs: rounded(result.cost.elapsedMs) },
    closest: result.closest.map(peerOf),
    steps: steps === null ? null : steps.map((step) => stepOf(step, peerOf(step.peer))),
  };
}

function stepOf(step: QueryStep, peer: DhtPeer): DhtStep {
  const { step: place, path, distance, asked, outcome, contacts, fresh, records, rttMs } = step;
  return { step: place, path, peer, distance, asked, outcome, contacts, fresh, records, rttMs: rounded(rttMs) };
}

function recordsOf({ result }: Finding, driver: DhtDriver): DhtRecord[] {
  return result.records.flatMap((record) => recordOf(record, driver) ?? []);
}

function recordOf({ value, seq, notAfter, peerId }: SignedRecord, driver: DhtDriver): DhtRecord | null {
  const envelope = decodeEnvelope(value);
  const id = driver.idOf(peerId);
  // Neither comes past the rules.
  if (envelope === null || id === null) return null;
  return { name: envelope.name, value: envelope.body, seq, notAfterMs: notAfter, peerId, id };
}

/** To a hundredth of a millisecond. */
function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
