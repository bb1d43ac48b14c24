import { execFileSync } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { context } from '../support/context.js';
import { compile, makeProject, readExamples } from './examples.js';

/** Runs the first example of a page, as a user's program with the image beside it, and returns what it prints. */
export function runExample(page: string): string {
  const example = readExamples().find(({ place }) => place.startsWith(`${page}:`));
  if (example === undefined) throw new Error(`no example in ${page}`);
  const project = makeProject();
  try {
    writeFileSync(join(project, 'program.ts'), example.code);
    compile(project);
    symlinkSync(context.images.dockerArchive, join(project, 'busybox.tar'));
    const env = { ...process.env, CONTAINERD_ADDRESS: context.address, CONTAINERD_NAMESPACE: context.namespace };
    return execFileSync(process.execPath, ['program.js'], { cwd: project, env, encoding: 'utf8' });
  } finally {
    rmSync(project, { recursive: true });
  }
}
