import { expect, test } from 'vitest';

test('this passes', () => {
  expect(1).toBe(1);
});
