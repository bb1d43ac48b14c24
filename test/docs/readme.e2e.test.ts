import { execFileSync } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { compile, makeProject, readExamples } from './examples.js';

const project = makeProject();
afterAll(() => rmSync(project, { recursive: true }));

test('the example of the README runs as it stands and prints what it says', () => {
  const [example] = readExamples();
  expect(example?.place).toMatch(/^README\.md:/);
  writeFileSync(join(project, 'program.ts'), example?.code ?? '');
  compile(project);
  symlinkSync(context.images.dockerArchive, join(project, 'busybox.tar'));
  const env = { ...process.env, CONTAINERD_ADDRESS: context.address, CONTAINERD_NAMESPACE: context.namespace };
  const output = execFileSync(process.execPath, ['program.js'], { cwd: project, env, encoding: 'utf8' });
  expect(output).toBe('3 0\n');
});
