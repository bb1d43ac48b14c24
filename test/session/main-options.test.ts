import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { checkMainOptions } from '../../src/session/main-options.js';

test('what there is is taken', () => {
  const { signal } = new AbortController();
  const stream = new PassThrough();
  checkMainOptions('logs', {});
  checkMainOptions('logs', { follow: true, tail: 0, signal });
  checkMainOptions('attach', { stdin: stream, stdout: stream, stderr: stream, replay: false, signal });
  checkMainOptions('stop', { timeoutMs: 0, signal: undefined });
  checkMainOptions('watchStats', { intervalMs: 1 });
});

test.each([
  ['logs', { tail: -1 }, /tail/],
  ['logs', { tail: Number.NaN, follow: 1 }, /follow[\s\S]*tail|tail[\s\S]*follow/],
  ['logs', { folow: true }, /follow/],
  ['attach', {}, /stdout/],
  ['attach', { stdout: 'text' }, /stdout/],
  ['stop', { timeout: 5 }, /timeoutMs/],
  ['stop', { timeoutMs: 2 ** 31 }, /timeoutMs/],
  ['stop', { signal: 'SIGTERM' }, /AbortSignal/],
  ['watchStats', {}, /intervalMs/],
  ['watchStats', { intervalMs: 0 }, /intervalMs/],
] as const)('%s %o is refused', (what, options, message) => {
  expect(() => checkMainOptions(what, options)).toThrow(message);
});
