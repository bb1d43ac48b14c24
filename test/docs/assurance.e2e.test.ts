import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runExample } from './run-example.js';

test.each(['docs/plan.md', 'docs/audit.md', 'docs/verify.md'])('the example of %s prints what it says', (page) => {
  const text = readFileSync(page, 'utf8');
  const said = /^It prints\n\n```\n(.*?)^```$/ms.exec(text)?.[1] ?? `${/^It prints `(.*)`\.$/m.exec(text)?.[1]}\n`;
  expect(runExample(page).replaceAll(/ +$/gm, '')).toBe(said);
});
