import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cadre-summary-'));
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What the last lines of `npm test` would be after a vitest run of these files. */
function summarize(files: Record<string, string>): { code: number | null; lines: string[] } {
  const reporter = resolve('test/support/summary-reporter.ts');
  const config = `import { SummaryReporter } from ${JSON.stringify(reporter)};
    export default { test: { include: ['*.case.ts'], reporters: [new SummaryReporter()] } };`;
  const head = "import { beforeAll, describe, expect, test } from 'vitest';\n";
  writeFileSync(join(root, 'vitest.config.ts'), config);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, `${name}.case.ts`), head + text);
  const summary = join(root, 'summary');
  writeFileSync(summary, '');
  const vitest = resolve('node_modules/vitest/vitest.mjs');
  const { status } = spawnSync(process.execPath, [vitest, 'run', '--root', root], {
    env: { ...process.env, TEST_SUMMARY: summary },
  });
  const { status: code, stdout } = spawnSync(process.execPath, ['scripts/test-summary.mjs', summary, `${status}`]);
  return { code, lines: stdout.toString().trim().split('\n') };
}

test('passed and skipped tests are counted, and skips listed with their reason', () => {
  const { code, lines } = summarize({
    good: `
      test('one', () => {});
      test('two', (context) => context.skip('no KVM here'));
      describe.skip('three', { meta: { skipReason: 'only on containerd 1.6: long' } }, () => { test('a', () => {}); });
    `,
  });
  expect(lines.at(-1)).toBe('1 passed, 0 failed, 2 skipped');
  expect(lines.filter((line) => /good.case.ts: (two: no KVM here|three > a: only on .*long)$/.test(line))).toHaveLength(
    2,
  );
  expect(code).toBe(0);
});

test.each([
  ['a failed test', "test('x', () => expect(1).toBe(2));", /bad.case.ts: x: expected 1 to be 2.* at .*bad.case.ts:2/],
  ['a file that does not load', "import './absent.js'; test('x', () => {});", /bad.case.ts: .*absent.js/],
  ['a hook that fails', "beforeAll(() => { throw new Error('no'); }); test('x', () => {});", /bad.case.ts: no at /],
  [
    'an error outside of tests',
    "test('x', () => { setTimeout(() => { throw new Error('late'); }); });",
    /outside of the tests: late at .*bad.case.ts:2/,
  ],
])('%s is a failure and is told before the last line', (_, text, failure) => {
  const { code, lines } = summarize({ good: "test('y', () => {});", bad: text });
  expect(lines.at(-1)).toMatch(/^[12] passed, 1 failed, [01] skipped$/);
  expect(lines.at(-2)).toMatch(/^failed: /);
  expect(lines.at(-2)).toMatch(failure);
  expect(code).toBe(1);
});

test('a run without tests, or a red stage without a failed test, is a failure', () => {
  const summary = join(root, 'summary');
  const run = (status: string) => spawnSync(process.execPath, ['scripts/test-summary.mjs', summary, status]);
  writeFileSync(summary, '');
  expect(run('0').status).toBe(1);
  writeFileSync(summary, '{"passed":3,"failed":0,"failures":[],"skipped":[]}\n');
  expect(run('0').status).toBe(0);
  expect(run('7').stdout.toString()).toBe('3 passed, 1 failed, 0 skipped\n');
  expect(run('7').status).toBe(1);
});

test('the shell scripts have no syntax error', () => {
  const scripts = [
    'setup',
    'containerds',
    'test',
    'demo',
    'vm/run',
    'vm/image',
    'vm/payload',
    'vm/init',
    'vm/self-test',
  ];
  for (const script of scripts) execFileSync('bash', ['-n', `scripts/${script}.sh`]);
});
