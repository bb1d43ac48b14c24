import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildPolicySchema } from '../../src/index.js';
import { context } from '../support/context.js';
import { cadre } from './cadre.js';

const { images, root } = context;
cadre('import', images.dockerArchive);

function write(name: string, policy: unknown): string {
  const path = join(root, `${name}.json`);
  writeFileSync(path, typeof policy === 'string' ? policy : JSON.stringify(policy));
  return path;
}

test('policy plan tells the score, its findings and what cannot be honoured', () => {
  const plan = (file: string, ...args: string[]) => cadre('policy', 'plan', '--image', images.reference, ...args, file);
  const strict = plan(write('strict', { profile: 'strict' }));
  expect(strict).toMatchObject({ status: 0, stderr: '' });
  expect(strict.stdout).toMatch(/^score \d+ of 100 on io.containerd.runc.v2\n/);
  const loose = plan(write('loose', { seccomp: 'unconfined', noNewPrivileges: false }));
  expect(loose.stdout).toMatch(/^ {2}-\d+ seccomp: /m);
  const impossible = write('impossible', { resources: { cpus: 10_000 } });
  expect(plan(impossible)).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/^cannot be honoured here: resources.cpus, expected at most \d+/m),
  });
  expect(JSON.parse(plan(impossible, '--json').stdout)).toMatchObject({ mismatched: ['resources.cpus'] });
});

test('policy check, diff and schema ask no daemon', () => {
  const old = write('old', { resources: { memoryMb: 64 } });
  const young = write('young', { resources: { memoryMb: 128 }, readOnlyRootfs: true });
  expect(cadre('policy', 'check', old)).toEqual({ status: 0, stdout: 'ok\n', stderr: '' });
  expect(cadre('policy', 'check', write('wrong', { memory: -1, usre: 'x' }))).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^cadre-containerd: [^\n]*memory = -1[^\n]*\n$/),
  });
  expect(cadre('policy', 'check', write('no-json', '{'))).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('JSON'),
  });
  expect(cadre('policy', 'diff', old, young).stdout).toMatch(
    /^FIELD .*\nreadOnlyRootfs +false +true +new session\nresources.memoryMb +64 +128 +update\n$/,
  );
  expect(JSON.parse(cadre('policy', 'schema').stdout)).toEqual(JSON.parse(JSON.stringify(buildPolicySchema())));
});
