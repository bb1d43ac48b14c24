/** Tells why a test failed when it has: a run that is killed does not come to vitest's own list of failures. */
import type { Reporter, TestCase } from 'vitest/node';

export class FailureReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { errors = [] } = test.result();
    for (const { message, diff, stack } of errors) {
      console.error([`FAILED ${test.fullName}: ${message}`, diff, stack].filter(Boolean).join('\n'));
    }
  }
}
