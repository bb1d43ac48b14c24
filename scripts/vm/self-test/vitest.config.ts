import { defineConfig } from 'vitest/config';
import { SummaryReporter } from '../../../test/support/summary-reporter.js';

/** Tests that end badly on purpose, for self-test.sh. No other run sees them. */
export default defineConfig({
  test: { include: ['scripts/vm/self-test/*.case.ts'], reporters: ['default', new SummaryReporter()] },
});
