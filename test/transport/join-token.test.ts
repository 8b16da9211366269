import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import {
  createJoinToken,
  joinTokenKey,
  judgeClaims,
  judgeRole,
  parseJoinToken,
} from '../../src/transport/join-token.ts';
import { SECRET, hello, token } from './handshake.ts';

const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);
const made = createJoinToken({
  secret: SECRET,
  clusterId: '1234',
  expiresMs: 1_700_000_000_000,
  role: 'learner',
  nonce,
});
const [, claimsText, keyText] = made.split('.') as [string, string, string];

const encode = (text: string): string => Buffer.from(text).toString('base64url');

function rejection(text: string): string {
  try {
    parseJoinToken(text);
  } catch (error) {
    if (KvorumError.is(error, 'ERR_BAD_TOKEN')) return error.message;
    throw error;
  }
  throw new Error(`taken: ${text}`);
}

describe('a join token', () => {
  test('has the form that is written down, and the key that anybody makes of it', () => {
    // The key by `openssl dgst -sha256 -hmac`.
    const claims = '{"v":1,"cluster":"1234","exp":1700000000000,"role":"learner","nonce":"AAECAwQFBgcICQoLDA0ODw"}';
    expect(made).toBe(`kvt1.${encode(claims)}.K5B0nB6yQ4CWfDX-fqhoH_2OlkHdBYnH7wIeO46KTa4`);
    expect(Buffer.from(joinTokenKey(SECRET, Buffer.from(claims))).toString('base64url')).toBe(keyText);
  });

  test('is read as it was made, for every role, with spaces and a line end around it', () => {
    for (const role of ['voter', 'learner', 'agent', null] as const) {
      for (const clusterId of ['0', '18446744073709551615']) {
        const expiresMs = role === null ? 8.64e15 : 0;
        const text = createJoinToken({ secret: SECRET, clusterId, expiresMs, role, nonce });
        const read = parseJoinToken(` ${text}\n`);
        expect(read.claims).toEqual({ clusterId, expiresMs, role, nonce: 'AAECAwQFBgcICQoLDA0ODw' });
        expect(read.key).toEqual(joinTokenKey(SECRET, read.claimsBytes));
      }
    }
  });

  test('has another key for another secret and for every claim that is changed', () => {
    const keys = [
      token(),
      token({ secret: 'another secret here' }),
      token({ clusterId: '1235' }),
      token({ expiresMs: 1 }),
      token({ role: 'voter' }),
      token({ nonce: new Uint8Array(16) }),
    ].map(({ key }) => Buffer.from(key).toString('hex'));
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('is not made of what no token can say', () => {
    const good = { secret: SECRET, clusterId: '1', expiresMs: 1, role: null, nonce } as const;
    for (const bad of [
      { clusterId: '01' },
      { clusterId: 'x' },
      { expiresMs: -1 },
      { expiresMs: 1.5 },
      { expiresMs: Number.NaN },
      { expiresMs: 8.64e15 + 1 },
      { role: 'king' as 'voter' },
      { nonce: new Uint8Array(15) },
    ]) {
      expect(() => createJoinToken({ ...good, ...bad })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error,
      );
    }
  });

  test('that is no token, or not a whole one, is told from one of another version', () => {
    for (const text of ['', 'hello', 'kvt1', 'kvt1.', `kvt1.${claimsText}`, `${made}.x`, `x${made}`, claimsText]) {
      expect(rejection(text)).toMatch(/^this is not a join token: kvt1\.CLAIMS\.KEY is expected/u);
    }
    for (const text of [
      made.slice(0, -1),
      `kvt1.${claimsText}.`,
      `kvt1..${keyText}`,
      `kvt1.${claimsText}x.${keyText}`,
    ]) {
      expect(rejection(text)).toMatch(/cut short or altered/u);
    }
    expect(rejection(`kvt1.${claimsText}.${keyText.slice(0, -3)}`)).toMatch(/its key has 30 bytes instead of 32/u);
    for (const text of [`kvt2.${claimsText}.${keyText}`, 'kvt12.a.b.c.d', `kvt2.${'x'.repeat(10_000)}`]) {
      expect(rejection(text)).toMatch(/another version of Kvorum/u);
    }
    expect(rejection(`kvt1.${encode('{"v":2,"all":"new"}')}.${keyText}`)).toMatch(/another version of Kvorum/u);
    expect(rejection(`kvt1.${'A'.repeat(5000)}.${keyText}`)).toMatch(/too long: \d+ characters/u);
    expect(rejection(`kvt1.${encode(`{"v":1${' '.repeat(255)}}`)}.${keyText}`)).toMatch(/too long|claims .* too long/u);
  });

  test('with a key that is written in another way is not the same token', () => {
    // The last character of 43 carries four bits: three others would give the same bytes.
    const last = keyText.at(-1)!;
    const other = String.fromCharCode(last.charCodeAt(0) + 1);
    expect(Buffer.from(keyText.slice(0, -1) + other, 'base64url')).toEqual(Buffer.from(keyText, 'base64url'));
    expect(rejection(made.slice(0, -1) + other)).toMatch(/not base64url/u);
    expect(rejection(`${made}=`)).toMatch(/not base64url/u);
  });

  test('has claims in one form only', () => {
    const good = { v: 1, cluster: '1', exp: 1, role: null, nonce: 'AAECAwQFBgcICQoLDA0ODw' };
    const read = (claims: string): string => rejection(`kvt1.${encode(claims)}.${keyText}`);
    expect(parseJoinToken(`kvt1.${encode(JSON.stringify(good))}.${keyText}`).claims.clusterId).toBe('1');
    const values: Record<string, unknown[]> = {
      v: ['1', null, true, undefined],
      cluster: [1, '-1', '01', '', '18446744073709551616', null],
      exp: ['1', -1, 1.5, 1e17, null, undefined],
      role: ['king', '', 0, undefined, ['voter']],
      nonce: ['', 'AA', 'AAECAwQFBgcICQoLDA0ODw==', 'AAECAwQFBgcICQoLDA0OD!', 7, null],
    };
    for (const [claim, wrong] of Object.entries(values)) {
      for (const value of wrong) expect(read(JSON.stringify({ ...good, [claim]: value }))).toMatch(/malformed/u);
    }
    const text = JSON.stringify(good);
    for (const same of [
      ` ${text}`,
      text.replace('"v":1,', '"v": 1,'),
      text.replace('"exp":1,', '"exp":1e0,'),
      text.replace('"exp":1,', '"exp":2,"exp":1,'),
      JSON.stringify({ ...good, more: 1 }),
      JSON.stringify({ ...good, v: undefined }).replace('}', ',"v":1}'),
      text.replace('null', '"\\u0076oter"'),
    ]) {
      expect(read(same)).toMatch(/malformed/u);
    }
    for (const odd of ['', 'null', '[]', '7', '"kvt1"', '{', '\u{fffd}']) expect(read(odd)).toMatch(/malformed/u);
    expect(rejection(`kvt1.${Buffer.from([0xff, 0xfe]).toString('base64url')}.${keyText}`)).toMatch(/malformed/u);
  });

  test('is good until it expires, by five seconds more at most, and in its cluster', () => {
    const { claims } = token({ expiresMs: 10_000 });
    const at = (wallMs: number, clusterId: string | null = '1234'): string | null =>
      judgeClaims(claims, { wallMs, clusterId });
    for (const wallMs of [0, 10_000, 15_000]) expect(at(wallMs)).toBeNull();
    for (const wallMs of [15_001, 1e12, Infinity, Number.NaN]) {
      expect(at(wallMs)).toBe(
        'the join token expired at 1970-01-01T00:00:10.000Z, by the clock of the member: have a new one made',
      );
    }
    expect(at(0, null)).toBeNull();
    expect(at(0, '77')).toMatch(/is for cluster 1234, this is cluster 77/u);
  });

  test('is for the role that it says, or for any; who asks for none asks to be a voter', () => {
    const asks = (extra: Record<string, unknown>) => ({ ...hello('d', '1'), extra });
    const any = token({ role: null }).claims;
    for (const role of ['voter', 'learner', 'agent'] as const) {
      const { claims } = token({ role });
      expect(judgeRole(any, asks({ role }))).toBeNull();
      expect(judgeRole(claims, asks({ role }))).toBeNull();
      for (const asked of ['voter', 'learner', 'agent', 'king', null, 7]) {
        if (asked !== role)
          expect(judgeRole(claims, asks({ role: asked }))).toMatch(`for the role ${role}, and d asks`);
      }
      expect(judgeRole(claims, asks({})) === null).toBe(role === 'voter');
    }
  });
});
