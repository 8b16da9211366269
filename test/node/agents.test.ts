import { expect, test } from 'vitest';
import { AgentGate } from '../../src/node/agents.ts';
import { CHANNELS, type Peer } from '../../src/transport/types.ts';

function peer(extra: Record<string, unknown>): Peer {
  const identity = { id: '1', name: 'a', address: 'a:1' };
  const rest = { clusterId: '1', peerId: 'p', bootEpoch: 1, http: '', pid: 1, protocol: 1, extra };
  return { ...identity, hello: { ...identity, ...rest }, credential: { type: 'secret' }, dialled: false };
}

test('an agent has no part in Raft, and what it tries is counted', () => {
  const peers = new Map([
    ['agent', peer({ role: 'agent' })],
    ['voter', peer({ role: 'voter' })],
    ['older', peer({})],
  ]);
  const gate = new AgentGate((id) => peers.get(id));
  const refused = CHANNELS.filter((channel) => !gate.passes('agent', channel));
  expect(refused).toEqual(['raft', 'snapshot']);
  expect(gate.refused).toBe(2);
  for (const id of ['voter', 'older', 'gone']) {
    for (const channel of CHANNELS) expect(gate.passes(id, channel), `${id} ${channel}`).toBe(true);
  }
  expect(gate.refused).toBe(2);
});
