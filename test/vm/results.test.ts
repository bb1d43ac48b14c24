import { expect, test } from 'vitest';
import { judge } from '../../scripts/vm/results.js';

const good = { status: 0, passed: 3, failed: 0, failures: [], skipped: [] };

test('a run is good when vitest says so and a test passed; skips of other reasons are allowed', () => {
  expect(judge(good)).toEqual([]);
  expect(judge({ ...good, skipped: [{ name: 'a', reason: 'cgroup v2 takes any quota' }] })).toEqual([]);
});

test.each<[string, object, RegExp]>([
  ['no status', { status: undefined }, /did not come to the end/],
  ['a status', { status: 1 }, /the tests ended with 1/],
  ['a failed test', { failed: 2 }, /2 tests failed/],
  ['no test', { passed: 0 }, /no test passed/],
  ['a skip for cgroups', { skipped: [{ name: 'a', reason: 'needs cgroup v2' }] }, /guest is for: a: needs cgroup v2/],
  ['a skip for AppArmor', { skipped: [{ name: 'a', reason: 'needs AppArmor' }] }, /needs AppArmor/],
])('%s makes it bad', (_, change, expected) => {
  expect(judge({ ...good, ...change }).join()).toMatch(expected);
});
