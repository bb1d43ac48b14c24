import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { attemptGroups } from '../abuse/attempts.js';

const [, checklist = ''] = readFileSync('docs/security.md', 'utf8').split('## Checklist');
const lines = [...checklist.matchAll(/^\| (.+) \| `(test\/\S+)`: (.+) \|$/gm)].map(([, claim, file, title]) => ({
  claim: claim as string,
  file: file as string,
  title: title as string,
}));

test('every line of the checklist names a test', () => {
  const rows = checklist.split('\n').filter((line) => line.startsWith('| ')).length;
  // All but the heads.
  expect(lines).toHaveLength(rows - 1);
  expect(lines.length).toBeGreaterThan(20);
});

test.each(lines)('$claim: the test is there', ({ file, title }) => {
  expect(existsSync(file), file).toBe(true);
  const text = readFileSync(file, 'utf8');
  const isNamed = [...text.matchAll(/['"`]([^\n]*?)['"`]|^ {2}(\w+):/gm)].some(([, quoted, key]) =>
    (quoted ?? key)?.includes(title),
  );
  expect(isNamed, `${file} has a test or a group named ${title}`).toBe(true);
});

test('every group of attempts is on the checklist', () => {
  const named = lines.filter(({ file }) => file === 'test/abuse/attempts.ts').map(({ title }) => title);
  expect(
    attemptGroups.map(([group]) => group).filter((group) => group !== 'terminals' && !named.includes(group)),
  ).toEqual([]);
});
