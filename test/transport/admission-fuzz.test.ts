/**
 * Messages that no honest peer sends: the handshake ends, never throws, and never lets anybody in who does not have the secret or a good token. fast-check prints the seed of a failure,
 * and the seed replays it; nonces are drawn anew in every handshake, and no outcome depends on their values.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeControl, encodeControl } from '../../src/transport/admission.ts';
import type { Admission } from '../../src/transport/admission.ts';
import type { Credential } from '../../src/transport/types.ts';
import { NOW, SECRET, hello, memberHello, run, side, token } from './handshake.ts';

type Side = 'dialer' | 'listener';
type Message = Record<string, unknown>;

const otherOf = (role: Side): Side => (role === 'dialer' ? 'listener' : 'dialer');

function party(role: Side, credential: Credential): Admission {
  const name = role === 'dialer' ? 'd' : 'l';
  const own = credential !== null && 'secret' in credential ? memberHello(name) : hello(name, name === 'd' ? '1' : '2');
  return side(role, { credential, hello: () => own });
}

const alteredKey = Uint8Array.from(token().key, (byte, at) => (at === 7 ? byte ^ 128 : byte));

/** By what a node may have, what does not let anybody in there. */
const LOCKS: readonly { readonly own: Credential; readonly bad: readonly Credential[] }[] = [
  {
    own: { secret: SECRET },
    bad: [
      null,
      { secret: `${SECRET}.` },
      { token: { ...token(), key: alteredKey } },
      { token: { ...token({ role: 'voter' }), key: token({ role: 'learner' }).key } },
      { token: token({ expiresMs: NOW - 60_000 }) },
      { token: token({ clusterId: '4321' }) },
      { token: token({ role: 'agent' }) },
      { token: token({ secret: 'another secret here' }) },
    ],
  },
  { own: { token: token() }, bad: [null, { secret: 'another secret here' }, { token: token() }] },
  { own: null, bad: [null, { secret: SECRET }, { token: token() }] },
];

/** All that two with good credentials say to each other, to be said again by somebody else. */
const recorded: readonly Message[] = [{ secret: SECRET }, { token: token() }].flatMap((credential) => {
  const said: Message[] = [];
  for (const bearer of ['dialer', 'listener'] as const) {
    const sides = {
      [bearer]: party(bearer, credential),
      [otherOf(bearer)]: party(otherOf(bearer), { secret: SECRET }),
    };
    const { dialer, listener } = run(sides['dialer']!, sides['listener']!, (message) => {
      said.push(message);
      return message;
    });
    if (dialer?.type !== 'admitted' || listener?.type !== 'admitted') throw new Error('these two belong together');
  }
  return said;
});

const value = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    '',
    {},
    [],
    0,
    -1,
    1e300,
    'ERR_BAD_TOKEN',
    'A'.repeat(43),
    'A'.repeat(700),
  ),
  fc.constantFrom<unknown>(hello('d', '1'), memberHello('l'), { ok: true }, { ok: false, code: 'ERR_X' }),
  fc.jsonValue({ maxDepth: 2 }),
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc.uint8Array({ maxLength: 140 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
);
const field = fc.constantFrom('t', 'nonce', 'claims', 'mac', 'hello', 'verdict', 'ok', 'code', 'message', '__proto__');
const kind = fc.constantFrom('challenge', 'proof', 'hello', 'verdict', 'ping', 'dismissed', 'constructor');

/** What is done to one message on its way. */
const edit = fc.oneof(
  { weight: 6, arbitrary: fc.constant((message: Message): Message => message) },
  fc.tuple(field, value).map(([name, to]) => (message: Message): Message => ({ ...message, [name]: to })),
  field.map((name) => (message: Message): Message => {
    const { [name]: _, ...rest } = message;
    return rest;
  }),
  kind.map((t) => (message: Message): Message => ({ ...message, t })),
  fc.nat(recorded.length - 1).map((at) => (): Message => recorded[at]!),
  fc.tuple(field, fc.nat()).map(([name, at]) => (message: Message): Message => {
    const text = message[name];
    if (typeof text !== 'string' || text === '') return message;
    const i = at % text.length;
    return { ...message, [name]: text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1) };
  }),
);

const edits = fc.array(edit, { maxLength: 8 });
const lock = fc
  .constantFrom(...LOCKS)
  .chain(({ own, bad }) =>
    fc.tuple(fc.constant(own), fc.constantFrom(...bad), fc.constantFrom<Side>('dialer', 'listener')),
  );

describe('a handshake', () => {
  test('with one that has nothing good to show lets nobody in, whatever becomes of the messages', () => {
    fc.assert(
      fc.property(lock, edits, ([own, bad, role], changes) => {
        const sides = { [role]: party(role, own), [otherOf(role)]: party(otherOf(role), bad) } as Record<
          Side,
          Admission
        >;
        let at = 0;
        const result = run(sides.dialer, sides.listener, (message) => changes[at++]?.(message) ?? message);
        expect(result[role]?.type).not.toBe('admitted');
      }),
      { numRuns: 3000 },
    );
  });

  test('lets nobody in by messages of other handshakes, its own sent back, and bytes that are none', () => {
    const said = fc.oneof(
      fc.tuple(fc.constantFrom(...recorded), edit).map(
        ([message, change]) =>
          (): Uint8Array =>
            encodeControl(change(message)),
      ),
      fc.tuple(fc.nat(5), edit).map(([back, change]) => (own: readonly Message[]): Uint8Array => {
        const message = own[own.length - 1 - (back % Math.max(own.length, 1))];
        return encodeControl(change(message ?? { t: 'proof' }));
      }),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => (): Uint8Array => bytes),
      fc.json({ maxDepth: 2 }).map((text) => (): Uint8Array => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(lock, fc.array(said, { maxLength: 8 }), ([own, , role], messages) => {
        const victim = party(role, own);
        const told = victim.start().send.map((bytes) => decodeControl(bytes)!);
        for (const message of messages) {
          const { send, outcome } = victim.receive(message(told));
          expect(outcome?.type).not.toBe('admitted');
          told.push(...send.map((bytes) => decodeControl(bytes)!));
        }
        expect(victim.ended()).toBeNull();
      }),
      { numRuns: 3000 },
    );
  });

  test('of two that belong together ends without anybody let in once a nonce, claims or a proof are changed', () => {
    const good: readonly Credential[] = [{ secret: SECRET }, { token: token() }];
    const bytes = (text: unknown): string =>
      typeof text === 'string' ? Buffer.from(text, 'base64').toString('hex') : '';
    const counts = { admitted: 0, changed: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(...good),
        fc.constantFrom<Side>('dialer', 'listener'),
        edits,
        (own, role, changes) => {
          const sides = { [role]: party(role, own), [otherOf(role)]: party(otherOf(role), { secret: SECRET }) };
          let at = 0;
          let changed = false;
          const result = run(sides['dialer']!, sides['listener']!, (message) => {
            const to = changes[at++]?.(message) ?? message;
            changed ||= ['nonce', 'claims', 'mac'].some(
              (name) => name in message && bytes(message[name]) !== bytes(to[name]),
            );
            return to;
          });
          const admitted = [result.dialer, result.listener].filter((outcome) => outcome?.type === 'admitted');
          if (changed) expect(admitted).toEqual([]);
          for (const outcome of admitted)
            expect(outcome).toMatchObject({ hello: { peerId: expect.stringMatching(/^peer-[dl]$/u) as unknown } });
          counts.changed += Number(changed);
          counts.admitted += Number(admitted.length > 0);
        },
      ),
      { numRuns: 2000 },
    );
    // Both happened, so a handshake that lets everybody in, or nobody, would be noticed.
    expect(counts.admitted).toBeGreaterThan(20);
    expect(counts.changed).toBeGreaterThan(20);
  });
});
