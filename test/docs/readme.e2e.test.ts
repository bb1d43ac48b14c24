import { expect, test } from 'vitest';
import { runExample } from './run-example.js';

test('the example of the README runs as it stands and prints what it says', () => {
  expect(runExample('README.md')).toBe('3 0\n');
});
