/** Tells scripts/test.sh what a vitest run did: one JSON line in the file that TEST_SUMMARY names. */
import { appendFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

interface RunSummary {
  readonly passed: number;
  readonly failed: number;
  /** Which failed and of what; one line each. */
  readonly failures: readonly string[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

export class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const path = process.env.TEST_SUMMARY;
    if (!path) return;
    const cases = modules.flatMap((module) => [...module.children.allTests()]);
    const inState = (state: string) => cases.filter((test) => test.result().state === state);
    // A file that does not load has no tests to fail, nor has an error outside of them: both count as one.
    const broken = modules.filter((module) => module.state() === 'failed' && inModule(module, 'failed') === 0);
    const summary: RunSummary = {
      passed: inState('passed').length,
      failed: inState('failed').length + inState('pending').length + broken.length + errors.length,
      failures: [
        ...inState('pending').map((test) => `${nameTest(test)}: not ended`),
        ...inState('failed').map((test) => `${nameTest(test)}: ${describe(test.result().errors)}`),
        ...broken.map((module) => `[${module.project.name}] ${module.relativeModuleId}: ${describe(module.errors())}`),
        ...errors.map((error) => `outside of the tests: ${describe([error])}`),
      ],
      skipped: inState('skipped').map((test) => ({ name: nameTest(test), reason: readReason(test) })),
    };
    appendFileSync(path, `${JSON.stringify(summary)}\n`);
  }
}

function inModule(module: TestModule, state: 'failed'): number {
  return [...module.children.allTests(state)].length;
}

/** The first line of each error and the first place in its stack that is not a package's. */
function describe(errors: readonly Pick<SerializedError, 'message' | 'stack'>[] = []): string {
  return errors
    .map(({ message, stack = '' }) => {
      const place = stack.split('\n').find((line) => /^\s*at /.test(line) && !line.includes('node_modules'));
      return [message.split('\n')[0], place?.trim()].filter(Boolean).join(' ');
    })
    .join('; ');
}

function nameTest(test: TestCase): string {
  return `[${test.project.name}] ${test.module.relativeModuleId}: ${test.fullName}`;
}

function readReason(test: TestCase): string {
  const result = test.result();
  const given = (result.state === 'skipped' ? result.note : undefined) ?? test.meta().skipReason;
  if (given) return given;
  // vitest skips the tests of a hook that failed.
  return test.module.state() === 'failed' ? 'not run, as something before it failed' : 'no reason given';
}

declare module 'vitest' {
  interface TaskMeta {
    /** Why a test does not run here; printed at the end of `npm test`. */
    skipReason?: string;
  }
}
