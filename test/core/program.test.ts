import { expect, test } from 'vitest';
import { findProgram, isExecutable } from '../../src/core/program.js';

test.each([
  ['/bin/sh', true],
  ['/bin', false],
  ['/etc/passwd', false],
  ['/no/such', false],
])('%s is a program: %s', (path, expected) => {
  expect(isExecutable(path)).toBe(expected);
});

test('programs are found on PATH and in the places given, files only', () => {
  expect(findProgram('sh')).toMatch(/\/sh$/);
  expect(findProgram('bin', ['/usr'])).toBeUndefined();
  expect(findProgram('no-such-program', ['/bin'])).toBeUndefined();
});
