/**
 * Handshakes whose messages are damaged, exchanged, and recorded ones played again: nothing throws, and whoever does not know the secret is not let in, whatever it says.
 */
import { encodeControl, type Admission, type AdmissionOutcome } from '../../src/transport/admission.ts';
import { Random } from '../../src/testing/random.ts';
import { run, side, SECRET, token } from '../transport/handshake.ts';
import { mutate } from './mutate.ts';

const ROUNDS = 12;

/** How many ended in which way. Throws when a stranger was let in. */
export function playHandshakes(seed: number, outcomes: Map<string, number> = new Map()): Map<string, number> {
  const random = new Random(seed);
  const recorded = record();
  const tally = (what: string, outcome: AdmissionOutcome | null): void => {
    const key = `${what} ${outcome === null ? 'waits' : outcome.type}`;
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const role of ['dialer', 'listener'] as const) {
      const other = role === 'dialer' ? 'listener' : 'dialer';
      // A stranger that has heard others, and has a secret of its own.
      const victim = side(role);
      const stranger = side(other, { credential: { secret: `${SECRET}?` } });
      const heard = converse(victim, stranger, (bytes) =>
        random.chance(0.3) ? random.pick(recorded) : mutate(bytes, random.pick(recorded), random),
      );
      if (heard?.type === 'admitted') throw new Error(`a stranger was let in by a ${role}`);
      tally('stranger', heard);
      // One that knows it, over a line that damages something now and then.
      const friend = side(other, random.chance(0.5) ? {} : { credential: { token: token() } });
      const sometimes = (bytes: Uint8Array): Uint8Array =>
        random.chance(0.15) ? mutate(bytes, random.pick(recorded), random) : bytes;
      tally('friend', converse(side(role), friend, sometimes));
    }
  }
  return outcomes;
}

/** All messages of some handshakes that went well, or were refused. */
function record(): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const keep = (message: Record<string, unknown>): Record<string, unknown> => {
    messages.push(encodeControl(message));
    return message;
  };
  run(side('dialer'), side('listener'), keep);
  run(side('dialer', { credential: { token: token() } }), side('listener'), keep);
  run(side('dialer', { credential: { secret: 'wrong' } }), side('listener'), keep);
  return messages;
}

/** What the victim made of it. `damage` is done to what it hears, and what it says arrives as it is. */
function converse(
  victim: Admission,
  other: Admission,
  damage: (bytes: Uint8Array) => Uint8Array,
): AdmissionOutcome | null {
  let toVictim = [...other.start().send];
  let toOther = [...victim.start().send];
  for (let turn = 0; turn < 8; turn++) {
    for (const bytes of toVictim) {
      const step = victim.receive(damage(bytes));
      if (step.outcome !== null) return step.outcome;
      toOther.push(...step.send);
    }
    toVictim = toOther.flatMap((bytes) => other.receive(bytes).send);
    toOther = [];
  }
  return null;
}
