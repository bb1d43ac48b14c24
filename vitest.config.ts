import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { GENERATIONS } from './test/support/containerd-binary.js';
import { FailureReporter } from './test/support/failure-reporter.js';
import { relax, SLOWNESS } from './test/support/patience.js';
import { SummaryReporter } from './test/support/summary-reporter.js';

const E2E = 'test/**/*.e2e.test.ts';

/**
 * Directory of an installed package that end-to-end tests run instead of the sources: in the guest, where that is what
 * users have, and where nothing of it has to be compiled.
 */
const PACKAGE = process.env.CADRE_TEST_PACKAGE;

/** What has not ended by then hangs. How fast it is to be is asked where that matters: others may have the processors. */
const HANG_MS = Math.max(300_000, relax(60_000));
/** What is polled for must come, the same. */
const POLL_MS = Math.max(20_000, relax(5_000));

/** What holds of a session whatever runs it, once more through the recording shim (test/support/recording-shim) and crun. */
const SESSIONS = [
  'contract',
  'lifecycle',
  'main',
  'logs',
  'attach',
  'at-once',
  'exec-input',
  'exec-options',
  'exec-spawn',
];
/** More of it, on one generation, as that matters to none. What is not here is told of in docs/testing.md. */
const MORE = [
  'audit/audit',
  'commit',
  'create-stages',
  'diff',
  'exec-abort',
  'exec-kill',
  'exec-many',
  'exec-taken',
  'exec-volume',
  'files',
  'files-copy',
  'fork',
  'host-network',
  'labels',
  'logs-durable',
  'mount-swap',
  'mounts',
  'network',
  'recovery/allowlist',
  'recovery/lifecycle',
  'recovery/loss',
  'recovery/network',
  'recovery/pool',
  'recovery/reap',
  'recovery/restart',
  'secrets',
  'stats',
  'update',
  'verify/verify',
];

export default defineConfig({
  test: {
    // A run in which a filter matched nothing has shown nothing.
    passWithNoTests: false,
    // Where tests are slow, each is told as it ends.
    reporters: [SLOWNESS > 1 ? 'verbose' : 'default', new FailureReporter(), new SummaryReporter()],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [E2E],
          testTimeout: HANG_MS,
          expect: { poll: { timeout: POLL_MS } },
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
        },
      },
      ...GENERATIONS.flatMap((generation, index) => [
        e2e(`containerd-${generation}`, [E2E], 2 * index + 1),
        e2e(`kata-${generation}`, [...SESSIONS, ...(generation === '2.1' ? MORE : [])].map(nameSuite), 2 * index + 2),
      ]),
      e2e('crun-2.1', [...SESSIONS, 'cgroup-v2', 'stats'].map(nameSuite), 2 * GENERATIONS.length + 1),
    ],
  },
});

function nameSuite(name: string): string {
  return `test/session/${name}.e2e.test.ts`;
}

function e2e(name: string, include: string[], groupOrder: number) {
  return {
    resolve: { alias: PACKAGE === undefined ? [] : [{ find: /^(?:\.\.?\/)+src\//, replacement: `${PACKAGE}/dist/` }] },
    test: {
      name,
      include,
      globalSetup: ['test/support/global-setup.ts'],
      testTimeout: HANG_MS,
      hookTimeout: HANG_MS,
      expect: { poll: { timeout: POLL_MS } },
      // One daemon serves all files, and leaks are counted on the host: two files at once would see each other.
      fileParallelism: false,
      // Where processors are slow, most of a file's time is the loading of its modules: there files share them.
      isolate: SLOWNESS === 1,
      sequence: { groupOrder },
    },
  };
}
