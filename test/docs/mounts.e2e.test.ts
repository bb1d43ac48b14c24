import { expect, test } from 'vitest';
import { runExample } from './run-example.js';

test('the example of docs/mounts.md runs as it stands and prints what it says', () => {
  expect(runExample('docs/mounts.md')).toBe('/workspace\nC.UTF-8\n8\nok\n');
});
