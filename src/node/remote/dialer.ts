/**
 * Links to nodes, made by one that is no member: the transport of the nodes, with a key of its own made at the start, the same secret, and a Hello
 * that says `client`. It does not listen. One for any number of nodes.
 */
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { ERRORS, KvorumError, type ErrorCode } from '../../errors.ts';
import { createLibp2pTransport } from '../../transport/libp2p-transport.ts';
import { PROTOCOL_VERSION } from '../../transport/limits.ts';
import { memberId } from '../../transport/peer-id.ts';
import type { Channel, Hello, PeerEvent, Transport, Verdict } from '../../transport/types.ts';
import { judgeProtocol } from '../admission.ts';
import { malformed } from './protocol.ts';
import { Requester } from './requester.ts';

export interface DialerOptions {
  /** Of the cluster. */
  readonly secret: string;
  /** What the nodes' logs call it. Default `client`. */
  readonly name?: string | undefined;
}

/** One node, by its address. */
interface Endpoint {
  readonly address: string;
  /** Whose address it is, once that is known. */
  id: string | null;
  /** Dialled without success since the link was lost. */
  failed: boolean;
  /** Why the last dial was of no use, when the other side said so. */
  refusal: KvorumError | null;
  readonly waiting: Set<Waiting>;
}

interface Waiting {
  readonly resolve: (requester: Requester) => void;
  readonly reject: (error: Error) => void;
}

/** Calls that wait for one link. */
const MAX_WAITING = 10_000;

/** Rejects ERR_CONFIG for a secret or a name that cannot be. */
export async function createDialer({ secret, name = 'client' }: DialerOptions): Promise<Dialer> {
  const privateKey = await generateKeyPair('Ed25519');
  const peerId = peerIdFromPrivateKey(privateKey);
  const hello: Hello = {
    clusterId: null,
    id: memberId(peerId),
    name,
    peerId: peerId.toString(),
    bootEpoch: 1,
    address: '',
    http: '',
    pid: process.pid,
    protocol: PROTOCOL_VERSION,
    extra: { client: true },
  };
  const dialer = new Dialer();
  dialer.transport = await createLibp2pTransport({
    privateKey,
    listen: null,
    credential: () => ({ secret }),
    wallTime: Date.now,
    handlers: {
      hello: () => hello,
      admit: (theirs): Verdict => judgeProtocol(theirs) ?? { ok: true },
      frame: (from, channel, frame) => dialer.frame(from, channel, frame),
      peer: (event) => dialer.peer(event),
      dialled: (address, id) => dialer.dialled(address, id),
    },
  });
  return dialer;
}

export class Dialer {
  /** Set once, before anything can happen. */
  transport!: Transport;
  readonly #endpoints = new Map<string, Endpoint>();
  /** By node, while it is linked. */
  readonly #requesters = new Map<string, Requester>();
  #closed = false;

  /** The link to the node at this address, if there is one now. */
  linked(address: string): Requester | null {
    const id = this.#endpoints.get(address)?.id ?? null;
    return id === null ? null : (this.#requesters.get(id) ?? null);
  }

  /** Name of the node at this address, null while it is not linked. */
  nameOf(address: string): string | null {
    const id = this.#endpoints.get(address)?.id ?? null;
    return id === null ? null : (this.transport.peer(id)?.name ?? null);
  }

  /**
   * Dials if nobody has, and keeps the link from then on. Rejects ERR_UNAVAILABLE (outcome none) at once while dialling fails, or with the code of the refusal.
   */
  link(address: string): Promise<Requester> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new KvorumError('ERR_CLOSED', 'the client is closed'));
        return;
      }
      let endpoint = this.#endpoints.get(address);
      if (endpoint === undefined) {
        endpoint = { address, id: null, failed: false, refusal: null, waiting: new Set() };
        this.#endpoints.set(address, endpoint);
        this.transport.connect(address);
      }
      const requester = this.linked(address);
      if (requester !== null) resolve(requester);
      else if (endpoint.failed) reject(unavailable(endpoint));
      else if (endpoint.waiting.size >= MAX_WAITING) {
        reject(new KvorumError('ERR_OVERLOADED', `too many calls wait for the link to ${address}`));
      } else endpoint.waiting.add({ resolve, reject });
    });
  }

  /** Gives up the link to this address. */
  forget(address: string): void {
    const endpoint = this.#endpoints.get(address);
    if (endpoint === undefined) return;
    this.#endpoints.delete(address);
    this.transport.disconnect(address);
    for (const { reject } of endpoint.waiting) reject(new KvorumError('ERR_CLOSED', 'the client is closed'));
    const { id } = endpoint;
    if (id === null || [...this.#endpoints.values()].some((other) => other.id === id)) return;
    this.transport.drop(id, 'ERR_CLOSED', 'the client is closed');
  }

  /** What is under way is rejected with ERR_CLOSED. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const address of this.#endpoints.keys()) this.forget(address);
    for (const requester of this.#requesters.values()) {
      requester.close(new KvorumError('ERR_CLOSED', 'the client is closed'));
    }
    this.#requesters.clear();
    await this.transport.close();
  }

  // What the transport tells.

  frame(from: string, channel: Channel, frame: Uint8Array): void {
    if (channel !== 'client') throw malformed(`channel ${channel}`);
    this.#requesters.get(from)?.frame(frame);
  }

  dialled(address: string, id: string | null): void {
    const endpoint = this.#endpoints.get(address);
    if (endpoint === undefined) return;
    if (id !== null) {
      endpoint.id = id;
      this.#serve(endpoint);
      return;
    }
    endpoint.failed = true;
    for (const { reject } of endpoint.waiting) reject(unavailable(endpoint));
    endpoint.waiting.clear();
  }

  peer(event: PeerEvent): void {
    if (event.type === 'refused') {
      const endpoint = this.#endpoints.get(event.address);
      if (endpoint !== undefined) endpoint.refusal = refusal(event);
      return;
    }
    const { id, name } = event.peer;
    if (event.type === 'lost') return;
    // Up again: another connection has taken the place of the one before, and what had been asked over that is not answered.
    this.#requesters
      .get(id)
      ?.close(new KvorumError('ERR_UNAVAILABLE', `the link to ${name} was lost`, { outcome: 'unknown' }));
    this.#requesters.delete(id);
    if (event.type === 'down') {
      // It is dialled again at once: until that is known to fail, calls wait.
      for (const endpoint of this.#endpoints.values()) if (endpoint.id === id) endpoint.failed = false;
      return;
    }
    this.#requesters.set(id, new Requester({ send: (parts) => this.transport.send(id, 'client', parts) }));
    for (const endpoint of this.#endpoints.values()) if (endpoint.id === id) this.#serve(endpoint);
  }

  #serve(endpoint: Endpoint): void {
    const requester = this.linked(endpoint.address);
    if (requester === null) return;
    endpoint.failed = false;
    endpoint.refusal = null;
    for (const { resolve } of endpoint.waiting) resolve(requester);
    endpoint.waiting.clear();
  }
}

function unavailable({ address, refusal: told }: Endpoint): KvorumError {
  return told ?? new KvorumError('ERR_UNAVAILABLE', `${address} cannot be reached`);
}

function refusal({ address, code, message }: Extract<PeerEvent, { type: 'refused' }>): KvorumError {
  const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'ERR_UNAVAILABLE';
  return new KvorumError(known, `${address}: ${message}`);
}
