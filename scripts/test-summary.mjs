// Adds up what the vitest runs reported (test/support/summary-reporter.ts): test-summary.mjs FILE STATUS
// Ends with 1 when a test failed or none passed, so that no run can end well on an exit code alone.
import { readFileSync } from 'node:fs';

const [path, status] = process.argv.slice(2);
const runs = readFileSync(path ?? '', 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line));
const skipped = runs.flatMap((run) => run.skipped);
const passed = runs.reduce((sum, run) => sum + run.passed, 0);
// A stage that is red without a failed test (a check, a crash) counts as one.
const failed = Math.max(
  runs.reduce((sum, run) => sum + run.failed, 0),
  status === '0' ? 0 : 1,
);

for (const { name, reason } of skipped) console.log(`skipped: ${name}: ${reason}`);
// After the skips, which are many: of a long log the end is what is seen.
for (const failure of runs.flatMap((run) => run.failures)) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
