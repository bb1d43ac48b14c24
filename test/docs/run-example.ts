import { execFileSync } from 'node:child_process';
import { cpSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { context } from '../support/context.js';
import { compile, makeProject, readExamples } from './examples.js';

/** Runs the first example of a page, as a user's program with the image beside it, and returns what it prints. */
export function runExample(page: string): string {
  const example = readExamples().find(({ place }) => place.startsWith(`${page}:`));
  if (example === undefined) throw new Error(`no example in ${page}`);
  return runProgram((path) => writeFileSync(path, example.code));
}

/** Runs every block of a page, each with a session and a live command of its own, and returns what they print. */
export function runBlocks(page: string): string {
  const blocks = readExamples().filter(({ place }) => place.startsWith(`${page}:`));
  if (blocks.length === 0) throw new Error(`no example in ${page}`);
  const given = [
    "import { ContainerdProvider } from '@cadre-dev/runtime-provider-containerd';",
    "const provider = new ContainerdProvider({ image: process.env.IMAGE ?? '' });",
    "await provider.importImage('busybox.tar');",
  ];
  const programs = blocks.map(({ code }) =>
    [
      '{',
      'await using session = await provider.createSession();',
      "const execution = await session.spawn('sleep', ['60']);",
      `{\n${code}}`,
      'void execution;',
      '}',
    ].join('\n'),
  );
  const program = [...given, ...programs, 'await provider[Symbol.asyncDispose]();', ''].join('\n');
  return runProgram((path) => writeFileSync(path, program));
}

/** Runs a program of examples/ with the image in the store, and returns what it prints. */
export function runFile(path: string, ...args: string[]): string {
  return runProgram((program) => cpSync(path, program), args);
}

function runProgram(write: (path: string) => void, args: string[] = []): string {
  const project = makeProject();
  try {
    write(join(project, 'program.ts'));
    compile(project);
    symlinkSync(context.images.dockerArchive, join(project, 'busybox.tar'));
    const { address, namespace, images } = context;
    const env = {
      ...process.env,
      CONTAINERD_ADDRESS: address,
      CONTAINERD_NAMESPACE: namespace,
      IMAGE: images.reference,
    };
    return execFileSync(process.execPath, ['program.js', ...args], { cwd: project, env, encoding: 'utf8' });
  } finally {
    rmSync(project, { recursive: true });
  }
}
