import { afterAll, beforeAll, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { cadre } from './cadre.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());

test('push and pull say what they did on standard output, and nothing else', async () => {
  const before = await observe(context);
  const reference = `${registry.host}/team/busybox:1`;
  const line = new RegExp(`^${reference} sha256:[0-9a-f]{64}\n$`);
  cadre('import', '--as', 'local/box:1', context.images.ociLayout);
  expect(cadre('push', '--to', reference, 'local/box:1')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(line),
    stderr: '',
  });
  cadre('images', 'rm', 'local/box:1');
  expect(cadre('pull', reference)).toMatchObject({ status: 0, stdout: expect.stringMatching(line), stderr: '' });
  expect(cadre('run', reference, 'echo', 'ran')).toMatchObject({ status: 0, stdout: 'ran\n' });
  cadre('images', 'rm', reference);
  expect(cadre('pull', `${registry.host}/team/none:1`)).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringContaining('answers 404 (MANIFEST_UNKNOWN)'),
  });
  expect(cadre('pull', '--platform', 'linux', reference)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--platform'),
  });
  expect(await settle(context, before)).toEqual(before);
});
