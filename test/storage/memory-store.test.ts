import { describe } from 'vitest';
import { memoryHarness } from './harness.ts';
import { logStoreConformance } from './log-store-conformance.ts';
import { stateStoreConformance } from './state-store-conformance.ts';
import { storeConformance } from './store-conformance.ts';

describe('memory store', () => {
  storeConformance(memoryHarness);
  logStoreConformance(memoryHarness);
  stateStoreConformance(memoryHarness);
});
