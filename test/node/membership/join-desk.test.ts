/** Whom the desk has added, as what, and until when: what was judged at the door counts, also later. */
import { expect, test } from 'vitest';
import { KvorumError } from '../../../src/errors.ts';
import { makeClusterMap } from '../../../src/node/cluster-map.ts';
import { JoinDesk } from '../../../src/node/join-desk.ts';
import { decodeJoined, encodeJoin, type JoinedFrame, type JoinRole } from '../../../src/node/join-frames.ts';
import type { MemberOperation } from '../../../src/node/member-frames.ts';
import type { Membership } from '../../../src/node/membership.ts';
import { TOKEN_CLOCK_TOLERANCE_MS } from '../../../src/transport/join-token.ts';
import { PROTOCOL_VERSION } from '../../../src/transport/limits.ts';
import type { Peer, PeerCredential } from '../../../src/transport/types.ts';

const map = makeClusterMap([{ id: '1', name: 'n1', peerId: 'p1', address: 'n1:1' }]);

function peer(role: JoinRole, credential: PeerCredential): Peer {
  const identity = { id: '4', name: 'n4', address: 'n4:1' };
  const rest = { clusterId: null, peerId: 'p4', bootEpoch: 1, http: '', pid: 1, protocol: PROTOCOL_VERSION };
  return { ...identity, hello: { ...identity, ...rest, extra: { join: role, role } }, credential, dialled: false };
}

function desk(linked: Peer, wallTime: () => number, added: () => Promise<unknown> = () => Promise.resolve({})) {
  const asked: MemberOperation[] = [];
  const answers: JoinedFrame[] = [];
  const membership = {
    state: { map: { members: map.members } },
    call: (operation: MemberOperation) => {
      asked.push(operation);
      return added();
    },
  } as unknown as Membership;
  const made = new JoinDesk({
    map,
    membership,
    secret: () => 'the secret of all of them',
    peer: (id) => (id === linked.id ? linked : undefined),
    wallTime,
    send: (_to, parts) => {
      answers.push(decodeJoined(Buffer.concat(parts)));
      return true;
    },
  });
  let request = 0;
  const ask = async (role: JoinRole, isAgain = false): Promise<JoinedFrame | undefined> => {
    if (!isAgain) request++;
    const bytes = Buffer.concat(encodeJoin({ bootEpoch: 1, request, timeoutMs: 1000, role, replaces: null }));
    expect(made.frame(linked.id, bytes)).toBe(true);
    await new Promise(setImmediate);
    return answers.at(-1);
  };
  return { ask, asked };
}

test('a bearer is let in while its token is good, by the clock of the member, and not afterwards', async () => {
  const expiresMs = 1_800_000_000_000;
  let now = expiresMs + TOKEN_CLOCK_TOLERANCE_MS;
  const { ask, asked } = desk(peer('voter', { type: 'token', role: 'voter', expiresMs }), () => now);
  expect(await ask('voter')).toMatchObject({ error: null, invitation: { secret: 'the secret of all of them' } });
  expect(asked).toHaveLength(1);
  // It was let in at the door while the token was good, and only asks now.
  now++;
  expect(await ask('voter')).toMatchObject({ contacts: [], error: { code: 'ERR_BAD_TOKEN' }, invitation: null });
  expect(asked).toHaveLength(1);
});

test.each([
  ['learner', 'voter'],
  ['agent', 'voter'],
  ['agent', 'learner'],
  ['voter', 'agent'],
] as const)('who was let in as %s cannot ask to be %s', async (judged, role) => {
  const { ask, asked } = desk(peer(judged, { type: 'secret' }), () => 0);
  expect(await ask(role)).toMatchObject({ contacts: [], error: { code: 'ERR_FORBIDDEN' }, invitation: null });
  expect(asked).toEqual([]);
  expect(await ask(judged)).toMatchObject({ error: null });
  expect(asked.map(({ type }) => type)).toEqual(judged === 'agent' ? [] : ['add']);
});

test('who waits is told who the members are, when it asks again and when it asked in vain', async () => {
  let fail = (_error: Error): void => undefined;
  const added = () => new Promise((_resolve, reject) => (fail = reject));
  const { ask, asked } = desk(peer('voter', { type: 'secret' }), () => 0, added);
  expect(await ask('voter')).toBe(undefined);
  expect(await ask('voter', true)).toMatchObject({ contacts: ['n1:1'], error: null, invitation: null });
  fail(new KvorumError('ERR_NO_LEADER', 'there is none'));
  await new Promise(setImmediate);
  const last = await ask('voter');
  expect(last).toMatchObject({ contacts: ['n1:1'], error: { code: 'ERR_NO_LEADER' }, invitation: null });
  expect(asked).toHaveLength(2);
});
