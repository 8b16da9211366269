import { defineConfig } from 'vitest/config';

/**
 * Three projects, run one after the other by `npm test`:
 * - unit: one room of the house at a time, in this process, no cluster; a slow one is a bug.
 * - sim: whole clusters on simulated time, disk and network, in this process; seeded.
 * - integration: real node processes on loopback.
 */
export default defineConfig({
  test: {
    restoreMocks: true,
    unstubEnvs: true,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/sim/**', 'test/fuzz/**', 'test/integration/**', 'test/package/**'],
          testTimeout: 10_000,
          hookTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'sim',
          include: ['test/sim/**/*.test.ts', 'test/fuzz/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          // Each file starts clusters of three processes; two at once on two cores would measure each other.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
