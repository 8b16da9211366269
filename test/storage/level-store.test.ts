import { describe } from 'vitest';
import { levelHarness } from './harness.ts';
import { logStoreConformance } from './log-store-conformance.ts';
import { stateStoreConformance } from './state-store-conformance.ts';
import { storeConformance } from './store-conformance.ts';

describe('LevelDB store', () => {
  storeConformance(levelHarness);
  logStoreConformance(levelHarness);
  stateStoreConformance(levelHarness);
});
