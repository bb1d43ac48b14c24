import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { context, onlyOn } from '../support/context.js';

// strace(1) sees every program that the library's process starts; the daemon and its shims are none of its children.
onlyOn(['1.6'], 'the library starts the same programs everywhere')('the library', () => {
  test.each([
    { executor: 'task', programs: ['mkfifo', 'node'] },
    { executor: 'supervisor', programs: ['node'] },
  ])('starts no docker, nerdctl or ctr with $executor, but $programs', ({ executor, programs }) => {
    const log = join(context.root, 'strace.log');
    const { images, address, namespace, stateRoot } = context;
    const env = {
      ...process.env,
      IMAGE: images.reference,
      ARCHIVE: images.dockerArchive,
      ADDRESS: address,
      NAMESPACE: namespace,
      STATE: stateRoot,
      EXECUTOR: executor,
    };
    const program = ['node', 'scripts/run-ts.mjs', 'test/provider/one-session.ts'];
    execFileSync('strace', ['-f', '-qq', '-e', 'trace=execve', '-e', 'signal=none', '-o', log, ...program], { env });
    const started = readFileSync(log, 'utf8')
      .split('\n')
      .flatMap(
        (line) =>
          line
            .match(/execve\("([^"]+)".* = 0$/)?.[1]
            ?.split('/')
            .at(-1) ?? [],
      );
    expect([...new Set(started)].sort()).toEqual(programs);
  });
});
