import { describe, expect, test } from 'vitest';
import { decodeControl, encodeControl } from '../../src/transport/admission.ts';
import { parseHello } from '../../src/transport/hello.ts';
import { SECRET, hello, run, side } from './handshake.ts';

describe('admission', () => {
  test('lets two in that know the secret, and the secret does not travel', () => {
    const result = run(side('dialer'), side('listener'));
    const admitted = { type: 'admitted', credential: { type: 'secret' }, bearsToken: false, number: 7 };
    expect(result.dialer).toEqual({ ...admitted, hello: hello('l', '2') });
    expect(result.listener).toEqual({ ...admitted, hello: hello('d', '1') });
    expect(result.wire).not.toContain(SECRET);
    expect(result.wire).not.toContain(Buffer.from(SECRET).toString('base64').slice(0, 12));
  });

  test('refuses another secret, and none', () => {
    for (const credential of [{ secret: 'wrong horse battery' }, null]) {
      for (const result of [
        run(side('dialer', { credential }), side('listener')),
        run(side('dialer'), side('listener', { credential })),
      ]) {
        expect(result.dialer).toMatchObject({ type: 'refused', code: 'ERR_WRONG_SECRET' });
        expect(result.listener).toMatchObject({ type: 'refused', code: 'ERR_WRONG_SECRET' });
        // No Hello is shown to a side that has not proved itself.
        expect(result.wire).not.toContain('"hello"');
      }
    }
    expect(run(side('dialer', { credential: null }), side('listener', { credential: null })).listener).toMatchObject({
      code: 'ERR_WRONG_SECRET',
    });
  });

  test('gives a listener’s proof to nobody who has not proved itself', () => {
    const { wire } = run(side('dialer', { credential: { secret: 'a guess of the secret' } }), side('listener'));
    expect(wire.match(/"proof"/g)).toHaveLength(1);
  });

  test('is not fooled by its own proof sent back', () => {
    // A thief answers the dialer’s challenge with that same challenge, and its proof with that same proof.
    const dialer = side('dialer');
    const [challenge] = dialer.start().send;
    const proof = dialer.receive(challenge!).send[0]!;
    expect(dialer.receive(proof).outcome).toMatchObject({ type: 'refused', by: 'us', code: 'ERR_WRONG_SECRET' });
    // And a dialer without the secret plays the listener of one link against the dialer of another.
    const victim = side('listener');
    const other = side('dialer');
    const step = victim.receive(other.start().send[0]!);
    const otherProof = other.receive(step.send[0]!).send[0]!;
    const stolen = decodeControl(otherProof)!;
    const reflectedAtSameRole = side('listener').receive(encodeControl(stolen));
    expect(reflectedAtSameRole.outcome).toMatchObject({ type: 'malformed' });
  });

  test('is not fooled by somebody in the middle, who has peer ids of its own', () => {
    const result = run(
      side('dialer', { remotePeerId: 'peer-mallory' }),
      side('listener', { remotePeerId: 'peer-mallory' }),
    );
    expect(result.listener).toMatchObject({ type: 'refused', code: 'ERR_WRONG_SECRET' });
    expect(result.dialer).toMatchObject({ type: 'refused' });
  });

  test('is not fooled by a proof of another time', () => {
    const record: Record<string, unknown>[] = [];
    run(side('dialer'), side('listener'), (message, from) => {
      if (from === 'dialer') record.push(message);
      return message;
    });
    const listener = side('listener');
    listener.receive(encodeControl(record[0]!));
    expect(listener.receive(encodeControl(record[1]!)).outcome).toMatchObject({ code: 'ERR_WRONG_SECRET' });
  });

  test('is closed by a changed nonce or proof', () => {
    for (const [type, field] of [
      ['challenge', 'nonce'],
      ['proof', 'mac'],
    ] as const) {
      for (const who of ['dialer', 'listener']) {
        const result = run(side('dialer'), side('listener'), (message, from) => {
          if (message['t'] !== type || from !== who) return message;
          const bytes = Buffer.from(String(message[field]), 'base64');
          bytes[5]! ^= 1;
          return { ...message, [field]: bytes.toString('base64') };
        });
        expect(result.dialer?.type).toBe('refused');
        expect(result.listener?.type).toBe('refused');
      }
    }
  });

  test('believes no peer id and no member id but those of the link', () => {
    for (const given of [{ peerId: 'peer-x' }, { id: '3' }]) {
      const result = run(side('dialer', { hello: () => ({ ...hello('d', '1'), ...given }) }), side('listener'));
      expect(result.listener).toMatchObject({
        type: 'malformed',
        reason: expect.stringContaining('of another') as unknown,
      });
    }
  });

  test('takes no verdict from a stranger, except on the secret', () => {
    const verdict = (code: string): Uint8Array => encodeControl({ t: 'verdict', ok: false, code, message: 'go away' });
    for (const role of ['dialer', 'listener'] as const) {
      const early = side(role);
      early.start();
      expect(early.receive(verdict('ERR_MEMBER_REPLACED')).outcome).toMatchObject({ type: 'malformed' });
      const secret = side(role);
      secret.start();
      expect(secret.receive(verdict('ERR_WRONG_SECRET')).outcome).toMatchObject({
        type: 'refused',
        by: 'them',
        hello: null,
      });
    }
    // Nor after the challenge, before the proof.
    const listener = side('listener');
    listener.receive(side('dialer').start().send[0]!);
    expect(listener.receive(verdict('ERR_WRONG_CLUSTER')).outcome).toMatchObject({ type: 'malformed' });
  });

  test('tells both verdicts, whoever refuses', () => {
    const no = (code: string) => () => ({ ok: false, code, message: `because ${code}` }) as const;
    const byListener = run(side('dialer'), side('listener', { admit: no('ERR_L') }));
    expect(byListener.dialer).toMatchObject({ type: 'refused', by: 'them', code: 'ERR_L', message: 'because ERR_L' });
    expect(byListener.listener).toMatchObject({ type: 'refused', by: 'us', code: 'ERR_L' });
    const byDialer = run(side('dialer', { admit: no('ERR_D') }), side('listener'));
    expect(byDialer.dialer).toMatchObject({ type: 'refused', by: 'us', code: 'ERR_D' });
    expect(byDialer.listener).toMatchObject({ type: 'refused', by: 'them', code: 'ERR_D' });
    const both = run(side('dialer', { admit: no('ERR_D') }), side('listener', { admit: no('ERR_L') }));
    expect(both.dialer).toMatchObject({ by: 'them', code: 'ERR_L' });
    expect(both.listener).toMatchObject({ by: 'them', code: 'ERR_D' });
  });

  test('ends on anything that is not what comes next', () => {
    const garbage = [
      new Uint8Array(0),
      new Uint8Array([0xff, 0xfe]),
      encodeControl([]),
      encodeControl({ t: 'hello' }),
      encodeControl({ t: 'challenge', nonce: 'short', number: 1 }),
      ...[undefined, null, -1, 0.5, '1', 2 ** 53].map((number) =>
        encodeControl({ t: 'challenge', nonce: Buffer.alloc(32).toString('base64'), number }),
      ),
      encodeControl({ t: 'challenge', nonce: 7 }),
      new TextEncoder().encode('{"t":"challenge"'),
    ];
    for (const bytes of garbage) expect(side('listener').receive(bytes).outcome).toMatchObject({ type: 'malformed' });
    const done = side('listener');
    done.receive(garbage[0]!);
    expect(done.receive(side('dialer').start().send[0]!).outcome).toMatchObject({ type: 'malformed' });
  });

  test('takes only a Hello that is one', () => {
    const good = hello('x', '18446744073709551615');
    expect(parseHello(JSON.parse(JSON.stringify(good)))).toEqual(good);
    const bad: Record<string, unknown> = {
      clusterId: 'x',
      id: '18446744073709551616',
      name: '',
      peerId: 'p'.repeat(200),
      bootEpoch: -1,
      address: null,
      http: 7,
      pid: 1.5,
      protocol: '1',
      extra: [],
    };
    for (const [field, value] of Object.entries(bad)) expect(parseHello({ ...good, [field]: value })).toBeUndefined();
    for (const value of [null, 7, 'x', []]) expect(parseHello(value)).toBeUndefined();
  });
});
