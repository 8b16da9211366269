/** One core among members that exist only as what is said of them: what it sends and tells is looked at by hand. */
import { createGossip } from '../../src/gossip/gossip.ts';
import { INCARNATIONS_PER_BOOT, signedBytes, type UnsignedStatement } from '../../src/gossip/statement.ts';
import type {
  Accusation,
  AliveStatement,
  Details,
  GossipCore,
  GossipMessage,
  GossipOptions,
  HeldLoops,
  LeftStatement,
  MemberEffect,
  MemberId,
  PeerId,
  Ping,
  SendEffect,
  Statement,
} from '../../src/gossip/types.ts';
import { Random } from '../../src/testing/random.ts';
import { signatureOf, verifySignature } from '../lab/gossip/signatures.ts';

export const CLUSTER = 'test';

/** Member 0 is the core under test. */
export function idOf(member: number): MemberId {
  return String(1000 + member);
}

export function peerOf(member: number): PeerId {
  return `peer-${member}`;
}

export function detailsOf(member: number): Details {
  const addresses = [`/ip4/10.0.0.${member}/tcp/7001`];
  return { name: `node-${member}`, role: 'agent', addresses, http: '', metadata: new Uint8Array(0) };
}

export function incarnationOf(counter: number, bootEpoch = 1): number {
  return bootEpoch * INCARNATIONS_PER_BOOT + counter;
}

/** Signed by `signer`. */
export function signed<T extends Statement>(statement: Omit<T, 'signature'>, signer: number, cluster = CLUSTER): T {
  const bytes = signedBytes(cluster, statement as UnsignedStatement);
  return { ...statement, signature: signatureOf(peerOf(signer), bytes) } as T;
}

export function alive(member: number, counter = 0, details: Partial<Details> = {}): AliveStatement {
  const fields = { id: idOf(member), peerId: peerOf(member), incarnation: incarnationOf(counter) };
  return signed<AliveStatement>({ kind: 'alive', ...fields, ...detailsOf(member), ...details }, member);
}

export function suspect(member: number, by: number, counter = 0): Accusation {
  const fields = { id: idOf(member), incarnation: incarnationOf(counter), by: idOf(by) };
  return signed<Accusation>({ kind: 'suspect', ...fields }, by);
}

export function dead(member: number, by: number, counter = 0): Accusation {
  const fields = { id: idOf(member), incarnation: incarnationOf(counter), by: idOf(by) };
  return signed<Accusation>({ kind: 'dead', ...fields }, by);
}

export function left(member: number, counter = 0): LeftStatement {
  return signed<LeftStatement>({ kind: 'left', id: idOf(member), incarnation: incarnationOf(counter) }, member);
}

export class Solo {
  readonly core: GossipCore;
  nowMs = 0;
  /** Since `takeSent`. */
  readonly sent: SendEffect[] = [];
  /** The ping that went out last; null before the first. */
  lastPing: { readonly member: number; readonly ping: Ping } | null = null;
  /** Since `takeTold`. */
  readonly told: MemberEffect[] = [];

  constructor(members: number, options: Partial<GossipOptions> = {}, seed = 1) {
    const random = new Random(seed);
    this.core = createGossip({
      clusterId: CLUSTER,
      self: { id: idOf(0), peerId: peerOf(0), bootEpoch: 1, ...detailsOf(0) },
      known: Array.from({ length: members - 1 }, (_, i) => alive(i + 1)),
      announce: false,
      random: () => random.float(),
      sign: (bytes) => signatureOf(peerOf(0), bytes),
      verify: verifySignature,
      idOf: (peer) => (peer.startsWith('peer-') ? idOf(Number(peer.slice(5))) : null),
      // Phases are of interest in one test only.
      stagger: false,
      ...options,
    });
    this.core.tick(0);
    this.#collect();
  }

  /** Ticks whenever it is due, until then. */
  run(untilMs: number): void {
    while (this.core.nextTickMs() <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.core.nextTickMs());
      this.core.tick(this.nowMs);
      this.#collect();
    }
    this.nowMs = untilMs;
  }

  tick(nowMs: number, held: HeldLoops = {}): void {
    this.nowMs = nowMs;
    this.core.tick(nowMs, held);
    this.#collect();
  }

  receive(from: number, message: GossipMessage): void {
    this.core.receive(peerOf(from), message, this.nowMs);
    this.#collect();
  }

  hear(from: number, ...updates: Statement[]): void {
    this.receive(from, { type: 'gossip', updates });
  }

  do(action: (core: GossipCore) => void): void {
    action(this.core);
    this.#collect();
  }

  takeSent(): SendEffect[] {
    return this.sent.splice(0);
  }

  takeTold(): string[] {
    return this.told.splice(0).map(({ event, id }) => `${event} ${Number(id) - 1000}`);
  }

  /** Of one type, among what was sent since `takeSent`. */
  sentOf<T extends GossipMessage['type']>(type: T): { to: PeerId; message: Extract<GossipMessage, { type: T }> }[] {
    return this.sent
      .filter(({ message }) => message.type === type)
      .map(({ to, message }) => ({ to, message: message as Extract<GossipMessage, { type: T }> }));
  }

  stateOf(member: number): string | undefined {
    return this.core.member(idOf(member))?.state;
  }

  #collect(): void {
    for (const effect of this.core.takeEffects()) {
      if (effect.kind === 'member') this.told.push(effect);
      else {
        this.sent.push(effect);
        if (effect.message.type === 'ping')
          this.lastPing = { member: Number(effect.to.slice(5)), ping: effect.message };
      }
    }
  }
}
