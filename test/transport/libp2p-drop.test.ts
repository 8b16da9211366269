import { afterEach, expect, test } from 'vitest';
import { CHANNELS } from '../../src/transport/types.ts';
import { eventTypes, linked } from './conformance.ts';
import { Libp2pHarness } from './libp2p-harness.ts';

let h: Libp2pHarness;
afterEach(() => h.close());

test.each([
  ['nothing is said', 0, 50],
  ['something is said before', 50, 0],
  ['something is said meanwhile', 0, 0],
  ['something is said 1 ms before', 1, 0],
  ['something is said 3 ms before', 3, 0],
])('who is dropped is told why: %s', async (how, afterMs, settleMs) => {
  h = new Libp2pHarness();
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b' });
  let told = 0;
  for (let round = 0; round < 10; round++) {
    a.transport.connect(b.transport.address);
    await h.until(() => linked(a, b) && linked(b, a), 'linked');
    a.transport.disconnect(b.transport.address);
    await h.pass(settleMs);
    b.events.splice(0);
    if (how !== 'nothing is said') for (const channel of CHANNELS) b.transport.send(a.id, channel, [Uint8Array.of(1)]);
    if (afterMs > 0) await h.pass(afterMs);
    a.transport.drop(b.id, 'ERR_MEMBER_REMOVED', `gone ${round}`);
    await h.until(() => !linked(b, a), 'apart');
    await h.pass(20);
    if (eventTypes(b).includes('refused')) told++;
  }

  expect({ told, malformed: a.transport.stats().malformed }).toEqual({ told: 10, malformed: 0 });
});
