import { defineConfig } from 'vitest/config'

const alias = { 'pg-rehearse': new URL('./src/index.ts', import.meta.url).pathname }

/** Slow, but nothing in them is timed: they may run beside each other. */
const TOOLS = [
  ...['tool-rehearsals', 'real-tools', 'real-tools-oracle', 'tool-looks', 'package'],
  ...['programs', 'traffic-sources', 'tool-cli', 'cli-canary', 'wire-markers'],
].map((name) => `test/slow/${name}.test.ts`)

/** Not slow, but more than the plain tests have time for. */
const BESIDE = ['pass/disturbed', 'apps/source', 'branches/lifecycle', 'traffic/manners'].map(
  (name) => `test/${name}.test.ts`,
)

export default defineConfig({
  resolve: { alias },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  test: {
    // Two cores: real Postgres servers and timing tests disturb each other when many files run at once.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.{ts,tsx}'],
          exclude: ['test/slow/**', ...BESIDE],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'slow',
          include: ['test/slow/**/*.test.ts'],
          exclude: TOOLS,
          testTimeout: 600_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: { name: 'tools', include: [...TOOLS, ...BESIDE], testTimeout: 600_000, hookTimeout: 120_000 },
      },
    ],
  },
})
