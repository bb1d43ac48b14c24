import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { GENERATIONS } from './test/support/containerd-binary.js';
import { relax, SLOWNESS } from './test/support/patience.js';
import { SummaryReporter } from './test/support/summary-reporter.js';

const E2E = 'test/**/*.e2e.test.ts';

/** What holds of a session whatever runs it, once more through the recording shim: see test/support/recording-shim. */
const SESSIONS = ['contract', 'lifecycle', 'main', 'logs', 'attach', 'exec-input', 'exec-options', 'exec-spawn'];
/**
 * More of it, on one generation, as that matters to none. What is not here is about processes that the host sees (trees
 * that are killed, what verify reads back, sources that are swapped), or chooses its runtime itself.
 */
const MORE = [
  'audit/audit',
  'commit',
  'diff',
  'exec-abort',
  'exec-many',
  'exec-taken',
  'exec-volume',

  'labels',
  'logs-durable',
  'mounts',
  'secrets',
  'stats',
  'update',
];

export default defineConfig({
  test: {
    // A run in which a filter matched nothing has shown nothing.
    passWithNoTests: false,
    // Where tests are slow, each is told as it ends.
    reporters: [SLOWNESS > 1 ? 'verbose' : 'default', new SummaryReporter()],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [E2E],
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
        },
      },
      ...GENERATIONS.flatMap((generation, index) => [
        e2e(`containerd-${generation}`, [E2E], 2 * index + 1),
        e2e(
          `kata-${generation}`,
          [...SESSIONS, ...(generation === '2.1' ? MORE : [])].map((name) => `test/session/${name}.e2e.test.ts`),
          2 * index + 2,
        ),
      ]),
    ],
  },
});

function e2e(name: string, include: string[], groupOrder: number) {
  return {
    test: {
      name,
      include,
      globalSetup: ['test/support/global-setup.ts'],
      testTimeout: relax(60_000),
      hookTimeout: relax(60_000),
      expect: { poll: { timeout: relax(1_000) } },
      // One daemon serves all files, and leaks are counted on the host: two files at once would see each other.
      fileParallelism: false,
      // Where processors are slow, most of a file's time is the loading of its modules: there files share them.
      isolate: SLOWNESS === 1,
      sequence: { groupOrder },
    },
  };
}
