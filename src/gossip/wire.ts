/**
 * Messages as they are encoded: arrays with numbers in place of names, which the shell packs with msgpack behind its version byte. What comes in may be
 * anything: it is a message within LIMITS, or it is refused.
 */
import { LIMITS } from './settings.ts';
import type { GossipMessage, MemberId, MemberRole, Refusal, Statement } from './types.ts';

export type WireValue = number | string | boolean | Uint8Array | readonly WireValue[];

const ROLES: readonly MemberRole[] = ['voter', 'learner', 'agent'];

const ALIVE = 1;
const SUSPECT = 2;
const DEAD = 3;
const LEFT = 4;

const PING = 1;
const ACK = 2;
const PING_REQUEST = 3;
const NACK = 4;
const GOSSIP = 5;
const DIGEST = 6;
const SYNC = 7;

/** Larger than any score. */
const MAX_HEALTH = 255;

export function toWire(message: GossipMessage): WireValue {
  switch (message.type) {
    case 'ping':
      return [PING, message.sequence, message.health, statementsToWire(message.updates)];
    case 'ack':
      return [ACK, message.sequence, message.health, statementsToWire(message.updates)];
    case 'pingRequest':
      return [PING_REQUEST, message.sequence, message.target, statementsToWire(message.updates)];
    case 'nack':
      return [NACK, message.sequence];
    case 'gossip':
      return [GOSSIP, statementsToWire(message.updates)];
    case 'digest':
      return [DIGEST, message.clusterId, message.count, ...message.hash, statementsToWire(message.updates)];
    case 'sync':
      return [SYNC, message.answer, statementsToWire(message.statements)];
  }
}

function statementsToWire(statements: readonly Statement[]): WireValue {
  return statements.map((statement): WireValue => {
    const { kind, id, incarnation, signature } = statement;
    switch (kind) {
      case 'alive': {
        const { peerId, name, role, addresses, http, metadata } = statement;
        return [ALIVE, id, incarnation, signature, peerId, name, ROLES.indexOf(role), addresses, http, metadata];
      }
      case 'left':
        return [LEFT, id, incarnation, signature];
      default:
        return [kind === 'suspect' ? SUSPECT : DEAD, id, incarnation, signature, statement.by];
    }
  });
}

/** Of what was decoded; null when it is no message, and then `onRefused` hears why. Never throws, keeps nothing of what it was given but bytes and strings. */
export function parseGossipMessage(value: unknown, onRefused?: (reason: Refusal) => void): GossipMessage | null {
  const reader = new Reader(value);
  const message = readMessage(reader);
  if (reader.refusal === null) return message;
  onRefused?.(reader.refusal);
  return null;
}

/** Reads fields in order. After the first bad one it gives defaults, and the whole is thrown away. */
class Reader {
  refusal: 'malformed' | 'overLimits' | null = null;
  readonly #fields: readonly unknown[];
  #next = 0;

  constructor(value: unknown) {
    this.#fields = Array.isArray(value) ? (value as readonly unknown[]) : [];
  }

  bad(reason: 'malformed' | 'overLimits'): void {
    this.refusal ??= reason;
  }

  /** More fields than are known are of a later version, which may add some. */
  take(): unknown {
    return this.#fields[this.#next++];
  }

  integer(most = Number.MAX_SAFE_INTEGER): number {
    const value = this.take();
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most) return value;
    this.bad('malformed');
    return 0;
  }

  boolean(): boolean {
    const value = this.take();
    if (typeof value !== 'boolean') this.bad('malformed');
    return value === true;
  }

  string(most: number, least = 0): string {
    const value = this.take();
    if (typeof value !== 'string') this.bad('malformed');
    else if (value.length > most) this.bad('overLimits');
    else if (value.length < least) this.bad('malformed');
    else return value;
    return '';
  }

  memberId(): MemberId {
    const id = this.string(LIMITS.idCharacters, 1);
    if (!/^(?:0|[1-9]\d*)$/.test(id)) this.bad('malformed');
    return id;
  }

  bytes(most: number): Uint8Array {
    const value = this.take();
    if (!(value instanceof Uint8Array)) this.bad('malformed');
    else if (value.length > most) this.bad('overLimits');
    // A copy: what was decoded is a view of a whole frame, which it would keep alive.
    else return Uint8Array.from(value);
    return new Uint8Array(0);
  }

  #items(most: number): readonly unknown[] {
    const value = this.take();
    if (!Array.isArray(value)) this.bad('malformed');
    else if (value.length > most) this.bad('overLimits');
    else return value as readonly unknown[];
    return [];
  }

  strings(most: number, mostCharacters: number): string[] {
    const items = this.#items(most);
    if (items.some((item) => typeof item !== 'string')) this.bad('malformed');
    else if (items.some((item) => (item as string).length > mostCharacters)) this.bad('overLimits');
    else return [...(items as readonly string[])];
    return [];
  }

  statements(most: number): Statement[] {
    const statements: Statement[] = [];
    for (const item of this.#items(most)) {
      const reader = new Reader(item);
      statements.push(readStatement(reader));
      if (reader.refusal !== null) this.bad(reader.refusal);
      if (this.refusal !== null) break;
    }
    return statements;
  }
}

function readMessage(reader: Reader): GossipMessage {
  const type = reader.integer();
  switch (type) {
    case PING:
    case ACK: {
      const [sequence, health] = [reader.integer(), reader.integer(MAX_HEALTH)];
      return { type: type === PING ? 'ping' : 'ack', sequence, health, updates: updatesOf(reader) };
    }
    case PING_REQUEST:
      return {
        ...{ type: 'pingRequest', sequence: reader.integer(), target: reader.memberId() },
        updates: updatesOf(reader),
      };
    case NACK:
      return { type: 'nack', sequence: reader.integer() };
    case GOSSIP:
      return { type: 'gossip', updates: updatesOf(reader) };
    case DIGEST: {
      const clusterId = reader.string(LIMITS.clusterIdCharacters);
      const count = reader.integer();
      const hash: [number, number] = [reader.integer(), reader.integer()];
      return { type: 'digest', clusterId, count, hash, updates: updatesOf(reader) };
    }
    case SYNC:
      return { type: 'sync', answer: reader.boolean(), statements: reader.statements(LIMITS.syncStatements) };
    default:
      reader.bad('malformed');
      return { type: 'gossip', updates: [] };
  }
}

function updatesOf(reader: Reader): Statement[] {
  return reader.statements(LIMITS.updates);
}

function readStatement(reader: Reader): Statement {
  const kind = reader.integer();
  const id = reader.memberId();
  const incarnation = reader.integer();
  const signature = reader.bytes(LIMITS.signatureBytes);
  switch (kind) {
    case ALIVE: {
      const peerId = reader.string(LIMITS.peerIdCharacters, 1);
      const name = reader.string(LIMITS.nameCharacters);
      const role = ROLES[reader.integer()];
      if (role === undefined) reader.bad('malformed');
      const addresses = reader.strings(LIMITS.addresses, LIMITS.addressCharacters);
      const [http, metadata] = [reader.string(LIMITS.httpCharacters), reader.bytes(LIMITS.metadataBytes)];
      const fields = { id, peerId, incarnation, name, role: role ?? 'agent', addresses, http, metadata, signature };
      return { kind: 'alive', ...fields };
    }
    case SUSPECT:
    case DEAD: {
      const by = reader.memberId();
      // Nobody accuses itself.
      if (by === id) reader.bad('malformed');
      return { kind: kind === SUSPECT ? 'suspect' : 'dead', id, incarnation, by, signature };
    }
    case LEFT:
      return { kind: 'left', id, incarnation, signature };
    default:
      reader.bad('malformed');
      return { kind: 'left', id, incarnation, signature };
  }
}
