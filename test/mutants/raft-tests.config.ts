import { defineConfig } from 'vitest/config';

/** What Stryker judges the Raft core by: its unit tests, scenario scripts included, and no simulation. */
export default defineConfig({
  test: { include: ['test/raft/**/*.test.ts'], testTimeout: 10_000, hookTimeout: 10_000 },
});
