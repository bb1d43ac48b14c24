import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EVERYWHERE, NEWEST } from '../../scripts/vm/suites.js';

const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('test', name));

/** Each need of each file, as `onHostWith` has it. */
function listNeeds(): { file: string; need: string }[] {
  const tests = files.filter((file) => file.endsWith('.test.ts'));
  return tests.flatMap((file) => {
    const found = [...readFileSync(file, 'utf8').matchAll(/onHostWith\('([^']+)'\)/g)];
    return [...new Set(found.map(([, need = '']) => need))].map((need) => ({ file, need }));
  });
}

const needs = listNeeds();

test('whatever a host may lack, the guest shows: each such suite runs there, as docs/testing.md says', () => {
  expect(needs.length).toBeGreaterThan(2);
  expect(needs.filter(({ file }) => !EVERYWHERE.includes(file) && !NEWEST.includes(file))).toEqual([]);
  const rows = readFileSync('docs/testing.md', 'utf8').matchAll(
    /^\| ([^|]+) \| `([^`]+\.e2e\.test\.ts)`[^|]*\| ([^|]+) \|$/gm,
  );
  const told = [...rows].map(([, need, file, where]) => ({ file, need, where }));
  const expected = needs.map((each) => ({
    ...each,
    where: EVERYWHERE.includes(each.file) ? 'every generation' : '2.1',
  }));
  const sort = (list: typeof told) => list.map((each) => JSON.stringify(each, Object.keys(each).sort())).sort();
  expect(sort(told)).toEqual(sort(expected));
});

test('no other skip is for want of them', () => {
  const reason = /\b(?:skip\(|lacks:|skipReason =)[^;]{0,200}?'([^'/]*(?:cgroup|AppArmor|systemd|bfq|swap)[^'/]*)'/g;
  const found = files.flatMap((file) => [...readFileSync(file, 'utf8').matchAll(reason)].map(([, text]) => text));
  expect(found.sort()).toEqual([
    // Of the guest: what these show is shown on hosts that have the first version of control groups, or no systemd.
    'a frozen process of cgroup v2 dies at once',
    'cgroup v2 takes any quota',
    'device rules in a file (cgroup v2)',
    'here systemd is the init',
    // See docs/testing.md below the table.
    'swap accounting',
  ]);
});
