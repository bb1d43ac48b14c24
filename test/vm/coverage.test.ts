import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EVERYWHERE, NEWEST } from '../../scripts/vm/suites.js';

/** Each need of each file, as `onHostWith` has it. */
function listNeeds(): { file: string; need: string }[] {
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  return files.flatMap((name) => {
    const file = join('test', name);
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
