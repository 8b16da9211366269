/** Two sides of a handshake, without a network. */
import { Admission, decodeControl, encodeControl } from '../../src/transport/admission.ts';
import type { AdmissionOptions, AdmissionOutcome, AdmissionStep } from '../../src/transport/admission.ts';
import { createJoinToken, parseJoinToken } from '../../src/transport/join-token.ts';
import type { NewJoinToken } from '../../src/transport/join-token.ts';
import type { Hello, JoinToken } from '../../src/transport/types.ts';

export const SECRET = 'correct horse battery';
/** Wall clock of both sides. */
export const NOW = 1_700_000_000_000;

export function hello(name: string, id: string): Hello {
  return {
    clusterId: null,
    id,
    name,
    peerId: `peer-${name}`,
    bootEpoch: 1,
    address: `${name}:1`,
    http: '',
    pid: 1,
    protocol: 1,
    extra: {},
  };
}

export function side(role: 'dialer' | 'listener', given: Partial<AdmissionOptions> = {}): Admission {
  const [own, remote] = role === 'dialer' ? ['d', 'l'] : ['l', 'd'];
  return new Admission({
    role,
    credential: { secret: SECRET },
    number: own === 'd' ? 7 : 8,
    wallTime: () => NOW,
    ownPeerId: `peer-${own}`,
    remotePeerId: `peer-${remote}`,
    remoteId: remote === 'd' ? '1' : '2',
    hello: () => hello(own, own === 'd' ? '1' : '2'),
    admit: () => ({ ok: true }),
    ...given,
  });
}

/** Carries messages between the two until nothing more comes; `tamper` may change them. */
export function run(
  dialer: Admission,
  listener: Admission,
  tamper: (message: Record<string, unknown>, from: 'dialer' | 'listener') => Record<string, unknown> = (same) => same,
): { dialer: AdmissionOutcome | null; listener: AdmissionOutcome | null; wire: string } {
  const outcomes: { dialer: AdmissionOutcome | null; listener: AdmissionOutcome | null } = {
    dialer: null,
    listener: null,
  };
  let wire = '';
  const queue: ['dialer' | 'listener', Uint8Array][] = [];
  const take = (from: 'dialer' | 'listener', step: AdmissionStep): void => {
    for (const message of step.send) queue.push([from, message]);
    outcomes[from] ??= step.outcome;
  };
  take('dialer', dialer.start());
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [from, message] = next;
    wire += new TextDecoder().decode(message);
    const to = from === 'dialer' ? 'listener' : 'dialer';
    if (outcomes[to] !== null) continue;
    take(to, (to === 'dialer' ? dialer : listener).receive(encodeControl(tamper(decodeControl(message)!, from))));
  }
  return { ...outcomes, wire };
}

export const CLUSTER = '1234';

/** A token that is good, but for what is given. */
export function token(given: Partial<NewJoinToken> = {}): JoinToken {
  const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);
  return parseJoinToken(
    createJoinToken({ secret: SECRET, clusterId: CLUSTER, expiresMs: NOW + 1000, role: null, nonce, ...given }),
  );
}

/** What a node of the cluster says. */
export function memberHello(name: 'd' | 'l'): Hello {
  return { ...hello(name, name === 'd' ? '1' : '2'), clusterId: CLUSTER };
}
