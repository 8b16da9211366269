/** The handshake of a node that has a join token and not the secret. */
import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeControl, encodeControl } from '../../src/transport/admission.ts';
import type { Admission, AdmissionOptions, AdmissionOutcome } from '../../src/transport/admission.ts';
import { createJoinToken, joinTokenKey } from '../../src/transport/join-token.ts';
import type { Hello, JoinToken, PeerCredential } from '../../src/transport/types.ts';
import { CLUSTER, NOW, SECRET, hello, memberHello, run, side, token } from './handshake.ts';

type Side = 'dialer' | 'listener';
const SIDES: readonly Side[] = ['dialer', 'listener'];

const nameOf = (role: Side): 'd' | 'l' => (role === 'dialer' ? 'd' : 'l');
const otherOf = (role: Side): Side => (role === 'dialer' ? 'listener' : 'dialer');

function member(role: Side, given: Partial<AdmissionOptions> = {}): Admission {
  return side(role, { hello: () => memberHello(nameOf(role)), ...given });
}

function bearer(role: Side, borne: JoinToken = token(), given: Partial<AdmissionOptions> = {}): Admission {
  return side(role, { credential: { token: borne }, ...given });
}

/** A bearer in this role against a member. */
function meet(
  role: Side,
  borne: JoinToken = token(),
  {
    theirs = {},
    ours = {},
    tamper,
  }: {
    theirs?: Partial<AdmissionOptions>;
    ours?: Partial<AdmissionOptions>;
    tamper?: (message: Record<string, unknown>, from: Side) => Record<string, unknown>;
  } = {},
): { bearer: AdmissionOutcome | null; member: AdmissionOutcome | null; wire: string } {
  const sides = {
    [role]: bearer(role, borne, ours),
    [otherOf(role)]: member(otherOf(role), theirs),
  } as Record<Side, Admission>;
  const result = run(sides.dialer, sides.listener, tamper);
  return { bearer: result[role], member: result[otherOf(role)], wire: result.wire };
}

const badToken = (by: 'us' | 'them', message: RegExp): object => ({
  type: 'refused',
  by,
  code: 'ERR_BAD_TOKEN',
  message: expect.stringMatching(message) as unknown,
});

describe.each(SIDES)('a %s with a join token', (role) => {
  test('is let in by a node with the secret, which is told what it bears; the key does not travel', () => {
    const told: Record<string, PeerCredential> = {};
    const note = (who: string) => ({
      admit: (_: Hello, credential: PeerCredential) => {
        told[who] = credential;
        return { ok: true } as const;
      },
    });
    const borne = token({ role: 'learner' });
    const asks = { ...hello(nameOf(role), role === 'dialer' ? '1' : '2'), extra: { role: 'learner' } };
    const result = meet(role, borne, { theirs: note('member'), ours: { ...note('bearer'), hello: () => asks } });
    expect(result.member).toEqual({
      type: 'admitted',
      hello: asks,
      credential: told['member'],
      bearsToken: false,
      number: 7,
    });
    const theirs = memberHello(nameOf(otherOf(role)));
    expect(result.bearer).toEqual({
      type: 'admitted',
      hello: theirs,
      credential: told['bearer'],
      bearsToken: true,
      number: 7,
    });
    expect(told).toEqual({
      member: { type: 'token', role: 'learner', expiresMs: NOW + 1000 },
      bearer: { type: 'secret' },
    });
    for (const encoding of ['base64', 'base64url', 'hex'] as const) {
      expect(result.wire).not.toContain(Buffer.from(borne.key).toString(encoding).slice(0, 20));
    }
    expect(result.wire).not.toContain(SECRET);
  });

  test('is let in until the token expires by the clock of the member, whatever its own clock says', () => {
    const at = (wallMs: number) =>
      meet(role, token(), { theirs: { wallTime: () => wallMs }, ours: { wallTime: () => 9e15 } });
    expect(at(NOW + 6000).member?.type).toBe('admitted');
    const late = at(NOW + 6001);
    expect(late.member).toEqual({ ...badToken('us', /expired at 2023-11-14T22:13:21\.000Z/u), hello: null });
    expect(late.bearer).toMatchObject(badToken('them', /expired at 2023-11-14T22:13:21\.000Z/u));
    // Who has only an expired token is not told who is in the cluster.
    expect(late.wire).not.toContain(`"name":"${nameOf(otherOf(role))}"`);
  });

  test('is refused by another cluster with the same secret, and let in by a member that knows no cluster yet', () => {
    const other = meet(role, token({ clusterId: '99' }));
    expect(other.member).toMatchObject(badToken('us', /for cluster 99, this is cluster 1234/u));
    expect(other.bearer).toMatchObject(badToken('them', /for cluster 99, this is cluster 1234/u));
    const unknown = { hello: () => hello(nameOf(otherOf(role)), role === 'dialer' ? '2' : '1') };
    expect(meet(role, token({ clusterId: '99' }), { theirs: unknown }).member?.type).toBe('admitted');
  });

  test('is refused by another cluster with another secret', () => {
    const result = meet(role, token(), { theirs: { credential: { secret: 'wrong horse battery' } } });
    for (const outcome of [result.bearer, result.member]) {
      expect(outcome).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN', hello: null });
    }
    expect(result.wire).not.toContain('"hello"');
  });

  test('is refused when it asks for another role than that of the token, and both are told', () => {
    let asked = 0;
    const admit = () => {
      asked++;
      return { ok: true } as const;
    };
    const result = meet(role, token({ role: 'agent' }), { theirs: { admit } });
    expect(result.member).toMatchObject(badToken('us', /for the role agent, and . asks for voter/u));
    expect(result.member).toMatchObject({ hello: { name: nameOf(role) } });
    expect(result.bearer).toMatchObject(badToken('them', /for the role agent, and . asks for voter/u));
    expect(asked).toBe(0);
  });

  test('is refused when the shell refuses what it bears', () => {
    const admit = (_: Hello, { type }: PeerCredential) =>
      type === 'secret' ? ({ ok: true } as const) : ({ ok: false, code: 'ERR_FORBIDDEN', message: 'no' } as const);
    const result = meet(role, token(), { theirs: { admit } });
    expect(result.member).toMatchObject({ type: 'refused', by: 'us', code: 'ERR_FORBIDDEN' });
    expect(result.bearer).toMatchObject({ type: 'refused', by: 'them', code: 'ERR_FORBIDDEN' });
  });

  test('is refused with claims that are not the ones that were signed', () => {
    const borne = token({ role: 'learner' });
    for (const changed of [{ role: 'voter' }, { role: null }, { clusterId: '1' }, { expiresMs: NOW + 9e9 }] as const) {
      const { claims, claimsBytes } = token({ role: 'learner', ...changed });
      const result = meet(role, { claims, claimsBytes, key: borne.key });
      // Whoever sees the first proof finds out: the listener.
      const [first, second] = role === 'dialer' ? [result.member, result.bearer] : [result.bearer, result.member];
      const found = role === 'dialer' ? /was not made with the secret of this cluster/u : /does not have the secret/u;
      expect(first).toMatchObject(badToken('us', found));
      expect(second).toMatchObject(badToken('them', found));
      expect(result.wire).not.toContain('"hello"');
    }
  });

  test('is refused with a key that is not the one of the claims', () => {
    const key = Uint8Array.from(token().key);
    key[31]! ^= 1;
    const result = meet(role, { ...token(), key });
    expect(result.member).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN', hello: null });
    expect(result.bearer).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN', hello: null });
  });

  test('is refused with claims that are changed on the way, and with none', () => {
    const change = (to: unknown) =>
      meet(role, token(), {
        tamper: (message, from) =>
          from === role && message['t'] === 'challenge' ? { ...message, claims: to } : message,
      });
    const other = Buffer.from(token({ role: 'voter' }).claimsBytes).toString('base64url');
    expect(change(other).member).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN' });
    // As a node sees it that does not know of tokens.
    expect(change(undefined).member).toMatchObject(
      role === 'dialer' ? { type: 'refused', by: 'us', code: 'ERR_WRONG_SECRET' } : { type: 'malformed' },
    );
    for (const odd of [null, 7, '', '{}', 'AA==', 'x'.repeat(10_000), [], {}]) {
      expect(change(odd).member?.type).not.toBe('admitted');
    }
    for (const odd of [null, 7, 'AA==', 'x'.repeat(10_000)]) expect(change(odd).member?.type).toBe('malformed');
    const later = change(Buffer.from('{"v":2}').toString('base64url'));
    expect(later.member).toMatchObject(badToken('us', /another version of Kvorum/u));
    expect(later.bearer).toMatchObject(badToken('them', /another version of Kvorum/u));
  });

  test('is not let in by what was said another time', () => {
    const said: Uint8Array[] = [];
    const tamper = (message: Record<string, unknown>, from: Side) => {
      if (from === role) said.push(encodeControl(message));
      return message;
    };
    expect(meet(role, token(), { tamper }).member?.type).toBe('admitted');
    const again = member(otherOf(role));
    again.start();
    const outcomes = said.map((message) => again.receive(message).outcome);
    expect(outcomes[1]).toMatchObject(badToken('us', /altered/u));
    expect(outcomes.map((outcome) => outcome?.type)).not.toContain('admitted');
  });

  test('cannot be met by somebody in the middle, who has peer ids of its own', () => {
    const result = meet(role, token(), {
      theirs: { remotePeerId: 'peer-mallory' },
      ours: { remotePeerId: 'peer-mallory' },
    });
    expect(result.member).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN' });
    expect(result.bearer).toMatchObject({ type: 'refused', code: 'ERR_BAD_TOKEN' });
  });

  test('takes nobody for the cluster who does not have the secret', () => {
    for (const credential of [{ secret: 'wrong horse battery' }, null]) {
      const result = meet(role, token(), { theirs: { credential } });
      expect(result.bearer).toMatchObject({ type: 'refused' });
      expect(result.wire).not.toContain('"hello"');
    }
    // Nor by its own proof sent back.
    const one = bearer(role);
    const challenge =
      role === 'dialer'
        ? one.start().send[0]!
        : encodeControl({ t: 'challenge', nonce: Buffer.alloc(32).toString('base64'), number: 1 });
    const { claims: _, ...plain } = decodeControl(challenge)!;
    const first = one.receive(encodeControl(plain));
    const proof =
      role === 'dialer' ? first.send[0]! : encodeControl({ t: 'proof', mac: Buffer.alloc(32).toString('base64') });
    expect(one.receive(proof).outcome).toMatchObject(badToken('us', /does not have the secret/u));
  });

  test('is refused by another bearer, of the same token or another', () => {
    for (const theirs of [token(), token({ nonce: new Uint8Array(16) })]) {
      const sides = { [role]: bearer(role), [otherOf(role)]: bearer(otherOf(role), theirs) } as Record<Side, Admission>;
      const result = run(sides.dialer, sides.listener);
      for (const [side, by] of [
        ['listener', 'us'],
        ['dialer', 'them'],
      ] as const) {
        const told = { ...badToken(by, /both nodes have only a join token/u), code: 'ERR_UNAVAILABLE' };
        expect(result[side]).toMatchObject(told);
      }
      expect(result.wire).not.toContain('"proof"');
    }
  });

  test('hears of a bad token even from one that has not proved itself, and of nothing else', () => {
    const verdict = (code: string) => encodeControl({ t: 'verdict', ok: false, code, message: 'go away' });
    for (const code of ['ERR_BAD_TOKEN', 'ERR_WRONG_SECRET', 'ERR_MEMBER_REMOVED']) {
      const one = bearer(role);
      one.start();
      expect(one.receive(verdict(code)).outcome?.type).toBe(code === 'ERR_MEMBER_REMOVED' ? 'malformed' : 'refused');
      // Who has the secret and speaks to nobody with a token has nothing to hear of tokens.
      const plain = member(role);
      plain.start();
      expect(plain.receive(verdict(code)).outcome?.type).toBe(code === 'ERR_WRONG_SECRET' ? 'refused' : 'malformed');
    }
  });
});

describe('a handshake', () => {
  test('gives a listener’s proof to nobody with a token that is not good', () => {
    for (const bad of [token({ expiresMs: 1 }), token({ clusterId: '7' }), { ...token(), key: new Uint8Array(32) }]) {
      const { wire } = run(bearer('dialer', bad), member('listener'));
      expect(wire.match(/"proof"/g)).toHaveLength(1);
    }
  });

  test('of two with the secret speaks of no token', () => {
    const said: [Side, Record<string, unknown>][] = [];
    run(member('dialer'), member('listener'), (message, from) => {
      said.push([from, message]);
      return message;
    });
    const [dialer, listener, first, second] = said.map(([, message]) => message);
    expect(Object.keys(dialer!)).toEqual(['t', 'nonce', 'number']);
    expect(Object.keys(listener!)).toEqual(['t', 'nonce', 'number']);
    const macBy = (role: Side, context: string, key: string | Uint8Array): string => {
      const hmac = createHmac('sha256', key);
      const nonces = [dialer!, listener!].map(({ nonce }) => Buffer.from(String(nonce), 'base64'));
      for (const part of [
        Buffer.from(context),
        Buffer.from(role),
        ...nonces,
        Buffer.from('peer-d'),
        Buffer.from('peer-l'),
      ]) {
        hmac.update(Buffer.from([0, 0, 0, part.byteLength])).update(part);
      }
      return hmac.digest('base64');
    };
    expect(first).toEqual({ t: 'proof', mac: macBy('dialer', 'kvorum/admission/1', SECRET) });
    expect(second).toEqual({ t: 'proof', mac: macBy('listener', 'kvorum/admission/1', SECRET) });
  });

  test('takes a proof that was made with a token’s key in the other context for none', () => {
    const borne = token();
    const listener = member('listener');
    const nonce = Buffer.alloc(32, 1);
    const claims = Buffer.from(borne.claimsBytes).toString('base64url');
    const answer = listener.receive(
      encodeControl({ t: 'challenge', nonce: nonce.toString('base64'), number: 1, claims }),
    );
    const theirs = Buffer.from(String(decodeControl(answer.send[0]!)!['nonce']), 'base64');
    const hmac = createHmac('sha256', joinTokenKey(SECRET, borne.claimsBytes));
    for (const part of ['kvorum/admission/1', 'dialer', nonce, theirs, 'peer-d', 'peer-l'].map((one) =>
      Buffer.from(one),
    )) {
      hmac.update(Buffer.from([0, 0, 0, part.byteLength])).update(part);
    }
    const step = listener.receive(encodeControl({ t: 'proof', mac: hmac.digest('base64') }));
    expect(step.outcome).toMatchObject(badToken('us', /altered/u));
  });

  test('has the secret of its own credential, not of the one that comes with a token made by somebody else', () => {
    const forged = createJoinToken({
      secret: 'the secret of mallory',
      clusterId: CLUSTER,
      expiresMs: NOW + 1000,
      role: 'voter',
      nonce: new Uint8Array(16),
    });
    expect(forged).toMatch(/^kvt1\./u);
    expect(
      run(bearer('dialer', token({ secret: 'the secret of mallory' })), member('listener')).listener,
    ).toMatchObject(badToken('us', /was not made with the secret of this cluster/u));
  });
});
