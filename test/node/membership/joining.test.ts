/** Whom a node that waits to be let in asks, and what is final for it: the transport is a plain list here. */
import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../../src/errors.ts';
import type { Environment } from '../../../src/node/env.ts';
import { encodeJoined } from '../../../src/node/join-frames.ts';
import { Joining } from '../../../src/node/joining.ts';
import { openMemoryStore } from '../../../src/storage/memory-store.ts';
import { PROTOCOL_VERSION } from '../../../src/transport/limits.ts';
import type { Hello, Peer, PeerEvent, Transport } from '../../../src/transport/types.ts';

type Refused = Extract<PeerEvent, { type: 'refused' }>;

function helloOf(name: string, clusterId: string | null): Hello {
  const identity = { id: name.slice(1), name, peerId: `p${name}`, address: `${name}:1` };
  return { ...identity, clusterId, bootEpoch: 1, http: '', pid: 1, protocol: PROTOCOL_VERSION, extra: {} };
}

function refusal(name: string, code: string, rest: Partial<Refused> = {}): Refused {
  return { type: 'refused', address: `${name}:1`, code, message: `${name} says no`, by: 'them', hello: null, ...rest };
}

class Waiting {
  readonly #joining: Joining;
  readonly #looks: (() => void)[] = [];
  readonly #peers: Peer[] = [];
  #nowMs = 0;
  readonly dialled = new Set<string>();
  readonly asked: string[] = [];
  outcome = 'it waits';

  private constructor(joining: (env: Environment) => Joining) {
    const env: Partial<Environment> = {
      now: () => this.#nowMs,
      every: (_everyMs, task) => {
        this.#looks.push(task);
        return () => undefined;
      },
    };
    this.#joining = joining(env as Environment);
    const transport: Partial<Transport> = {
      connect: (address) => void this.dialled.add(address),
      disconnect: (address) => void this.dialled.delete(address),
      peers: () => this.#peers,
      send: (to) => {
        this.asked.push(to);
        return true;
      },
    };
    this.#joining.run(transport as Transport).then(
      () => (this.outcome = 'it has joined'),
      (error: Error) => (this.outcome = error.message),
    );
  }

  static async create(...names: string[]): Promise<Waiting> {
    const store = await openMemoryStore();
    const addresses = names.map((name) => `${name}:1`);
    const rest = { store, name: 'n9', bootEpoch: 1, role: 'voter', replaces: null, log: () => undefined } as const;
    return new Waiting((env) => new Joining({ ...rest, env, addresses }));
  }

  /** A peer is linked; found at `address`, when this node dialled. */
  async up(name: string, address: string | null, clusterId = '77'): Promise<void> {
    const hello = helloOf(name, clusterId);
    const { id } = hello;
    const credential = { type: 'secret' } as const;
    const peer = { id, name, address: hello.address, hello, credential, dialled: address !== null };
    this.#peers.push(peer);
    if (address !== null) this.#joining.dialled(address, id);
    await this.tell({ type: 'up', peer });
  }

  async down(name: string): Promise<void> {
    const [peer] = this.#peers.splice(
      this.#peers.findIndex((one) => one.name === name),
      1,
    );
    if (peer !== undefined) await this.tell({ type: 'down', peer });
  }

  async tell(event: PeerEvent): Promise<void> {
    this.#joining.peer(event);
    await new Promise(setImmediate);
  }

  /** Of the request that was made last. */
  answer(from: string, request: number, contacts: readonly string[], error: KvorumError | null): void {
    const frame = encodeJoined({ bootEpoch: 1, request, contacts, error, invitation: null });
    this.#joining.frame(from, 'client', Buffer.concat(frame));
  }

  async pass(ms: number): Promise<void> {
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs; this.#nowMs += 200)
      for (const look of this.#looks) look();
    await new Promise(setImmediate);
  }
}

describe('a node that waits to be let in', () => {
  test('asks nobody who dialled it, and is not among those that it looks for', async () => {
    const waiting = await Waiting.create('n1');
    await waiting.up('n5', null, '88');
    await waiting.pass(20_000);
    expect(waiting.asked).toEqual([]);
    await waiting.up('n1', 'n1:1');
    expect(waiting.asked).toEqual(['1']);
  });

  test('asks one who dialled it and is where it looks', async () => {
    const waiting = await Waiting.create('n1');
    await waiting.up('n1', null);
    expect(waiting.asked).toEqual([]);
    await waiting.up('n1', 'n1:1');
    expect(waiting.asked).toEqual(['1']);
  });

  test('does not end for what it holds against one itself when another says: not yet', async () => {
    const waiting = await Waiting.create('n1', 'n2');
    // A node of an older release, say; that it is there alone would not be final either.
    await waiting.tell(refusal('n1', 'ERR_WRONG_PROTOCOL', { by: 'us' }));
    await waiting.tell(refusal('n2', 'ERR_UNAVAILABLE', { hello: helloOf('n2', null) }));
    expect(waiting.outcome).toBe('it waits');
    await waiting.tell(refusal('n2', 'ERR_WRONG_PROTOCOL', { hello: helloOf('n2', '77') }));
    expect(waiting.outcome).toBe('n2 says no');
  });

  // One that joins too is dialled, and shows a token that has expired.
  test('does not end for the token of another, however long it reaches no member', async () => {
    const waiting = await Waiting.create('n1', 'n2', 'n3');
    await waiting.tell(refusal('n1', 'ERR_BAD_TOKEN', { by: 'us' }));
    await waiting.tell(refusal('n2', 'ERR_UNAVAILABLE', { hello: helloOf('n2', null) }));
    await waiting.pass(60_000);
    expect(waiting.outcome).toBe('it waits');
  });

  test.each(['seed', 'n1'])('forgets a refusal when it is linked there: given as %s', async (given) => {
    const waiting = await Waiting.create(given, 'n2');
    await waiting.tell(refusal(given, 'ERR_WRONG_SECRET'));
    // Somebody has mended that.
    await waiting.up('n1', `${given}:1`);
    await waiting.tell(refusal('n2', 'ERR_WRONG_SECRET'));
    expect(waiting).toMatchObject({ asked: ['1'], outcome: 'it waits' });
  });

  describe('that was told who the members are', () => {
    async function told(...given: string[]): Promise<Waiting> {
      const waiting = await Waiting.create(...given);
      await waiting.up('n3', 'n3:1');
      waiting.answer('3', 1, ['n1:1', 'n2:1', 'n3:1'], new KvorumError('ERR_NO_LEADER', 'not now'));
      // For good.
      await waiting.down('n3');
      return waiting;
    }

    test('asks them', async () => {
      const waiting = await told('n3');
      expect([...waiting.dialled].toSorted()).toEqual(['n1:1', 'n2:1', 'n3:1']);
      await waiting.up('n2', 'n2:1');
      expect(waiting.asked).toEqual(['3', '2']);
    });

    test('dials those of now, and those that it was given, no more', async () => {
      const waiting = await told('n3');
      await waiting.up('n2', 'n2:1');
      waiting.answer('2', 2, ['n2:1', 'n7:1'], null);
      expect([...waiting.dialled].toSorted()).toEqual(['n2:1', 'n3:1', 'n7:1']);
    });

    test('goes on to ask one whom it is linked with, though one that is behind does not know of it', async () => {
      const waiting = await told('n3');
      await waiting.up('n2', 'n2:1');
      waiting.answer('2', 2, ['n2:1', 'n7:1'], new KvorumError('ERR_UNAVAILABLE', 'not now'));
      await waiting.up('n7', 'n7:1');
      waiting.answer('7', 3, ['n2:1', 'n7:1'], new KvorumError('ERR_UNAVAILABLE', 'not now'));
      await waiting.pass(200);
      waiting.answer('2', 4, ['n1:1', 'n2:1'], new KvorumError('ERR_NO_LEADER', 'there is none'));
      await waiting.pass(200);
      expect(waiting.asked).toEqual(['3', '2', '7', '2', '7']);
      expect([...waiting.dialled].toSorted()).toEqual(['n1:1', 'n2:1', 'n3:1', 'n7:1']);
    });

    test.each([[['n3']], [['n1', 'n2', 'n3']]])('ends when they refuse it, given %j', async (given) => {
      const waiting = await told(...given);
      await waiting.tell(refusal('n1', 'ERR_MEMBER_REMOVED', { hello: helloOf('n1', '77') }));
      expect(waiting.outcome).toBe('n1 says no');
      expect([...waiting.dialled]).toEqual([]);
    });

    test.each([[['n3']], [['n1', 'n2', 'n3']]])('ends when its token is bad for them, given %j', async (given) => {
      const waiting = await told(...given);
      for (const name of ['n1', 'n2']) await waiting.tell(refusal(name, 'ERR_BAD_TOKEN'));
      await waiting.pass(9000);
      expect(waiting.outcome).toBe('it waits');
      await waiting.pass(2000);
      expect(waiting.outcome).toBe('n1 says no');
    });
  });
});
