/** Seeded randomness: a run that failed can be run again as it was. */

/** Of `KVORUM_TEST_SEED`, else a new one. */
export function testSeed(): number {
  const given = Number(process.env['KVORUM_TEST_SEED']);
  return Number.isSafeInteger(given) && given > 0 ? given : Math.trunc(Math.random() * 2 ** 31) + 1;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
