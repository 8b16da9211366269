/** About a minute of what `npm run fuzz` does for as long as it is told. */
import { describe, expect, test } from 'vitest';
import { playEpisode } from './episode.ts';
import { playHandshakes } from './handshakes.ts';

const FRAMES = 2000;
const BATCH = 20;
const KNOWN = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((batch) => batch * BATCH + 1);

/** How the peer's mistake is told: to nobody but who closes its link. */
const REFUSALS = new Set(['ERR_INVALID_ARGUMENT', 'ERR_WRONG_PROTOCOL', 'ERR_DATA_VERSION']);

async function play(from: number): Promise<ReadonlyMap<string, number>> {
  const all = new Map<string, number>();
  for (let seed = from; seed < from + BATCH; seed++) {
    try {
      const { outcomes } = await playEpisode(seed, FRAMES);
      for (const [what, count] of outcomes) all.set(what, (all.get(what) ?? 0) + count);
    } catch (cause) {
      throw new Error(`replay: npm run fuzz -- --seed ${seed}`, { cause });
    }
  }
  return all;
}

describe('damaged frames at whole nodes', () => {
  test.each(KNOWN)('known seeds from %i', async (from) => {
    const outcomes = await play(from);
    // All ways in were tried. Pings, gossip, the DHT, and Raft from an agent are dropped in silence.
    for (const channel of ['raft', 'decoding', 'client', 'ping', 'gossip', 'dht'])
      expect(outcomes.get(`${channel} taken`)).toBeGreaterThan(0);
    for (const channel of ['decoding', 'client']) {
      expect(outcomes.get(`${channel} ERR_INVALID_ARGUMENT`)).toBeGreaterThan(0);
    }
    // Entries are damaged too, not only heads.
    expect(outcomes.get('decoding ERR_CORRUPT')).toBeGreaterThan(0);
    for (const what of outcomes.keys()) {
      const [, code = ''] = what.split(' ');
      if (code !== 'taken' && what !== 'decoding ERR_CORRUPT') expect(REFUSALS).toContain(code);
    }
  });

  const from = Math.floor(Math.random() * 2 ** 31);
  test(`${BATCH} new seeds from ${from}`, async () => {
    await play(from);
  });
});

test('damaged handshakes let no stranger in', () => {
  const outcomes = new Map<string, number>();
  for (let seed = 1; seed <= 60; seed++) playHandshakes(seed, outcomes);
  expect(outcomes.get('friend admitted')).toBeGreaterThan(100);
  expect(outcomes.get('stranger refused')).toBeGreaterThan(30);
  expect(outcomes.get('stranger malformed')).toBeGreaterThan(100);
});
