import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { onHostWith } from '../support/needs.js';
import { openProvider } from '../support/provider.js';

async function runThrough(runtimeBinary: string) {
  // Its supervisor would start commands without it.
  const provider = await openProvider({ runtimeBinary, executor: 'task' });
  const session = await provider.createSession({ resources: { memoryMb: 64 } });
  expect(await session.exec('sh', ['-c', 'echo out; exit 3'])).toMatchObject({ exitCode: 3, stdout: 'out\n' });
  await session.stop();
  await session.start();
  expect(await session.exec('true')).toMatchObject({ exitCode: 0 });
  await session.destroy();
}

test('the program that is named is run for the first task, for each later one and for execs', async () => {
  const log = join(context.root, 'runtime-binary.log');
  const binary = join(context.root, 'runtime-binary');
  writeFileSync(binary, `#!/bin/sh\necho "$*" >>${log}\nexec runc "$@"\n`, { mode: 0o755 });
  await runThrough(binary);
  const calls = readFileSync(log, 'utf8');
  expect(calls.match(/ create /g)).toHaveLength(2);
  expect(calls.match(/ exec /g)).toHaveLength(2);
});

// crun refuses hosts whose cgroups are hybrid, with controllers on v2.
onHostWith('cgroup v2')('another runtime', () => {
  test('crun runs a session', () => runThrough('/usr/bin/crun'));
});

test.each(['/usr/bin/no-such-runtime', '/usr/bin'])(
  '%s is refused by name, before anything is created, and no healthy choice',
  async (runtimeBinary) => {
    // Its supervisor would start commands without it.
    const provider = await openProvider({ runtimeBinary, executor: 'task' });
    expect(await provider.healthCheck()).toMatchObject({
      healthy: false,
      message: `${runtimeBinary}: name a program of this host by its path`,
    });
    await expect(provider.createSession()).rejects.toMatchObject({
      code: 'capability-mismatch',
      mismatchedAttributes: ['runtimeBinary'],
    });
  },
);

test('a program that the shim cannot run is told as the cause, with what to do, and nothing is left', async () => {
  const binary = join(context.root, 'no-program');
  // Executable, as far as the file's mode tells.
  writeFileSync(binary, 'no program', { mode: 0o755 });
  const provider = await openProvider({ runtimeBinary: binary });
  const before = await observe(context);
  await expect(provider.createSession()).rejects.toMatchObject({
    code: 'failed-precondition',
    operation: 'Tasks.Create',
    message: expect.stringContaining(`the shim cannot run ${binary}: exec format error`),
    remedy: expect.stringContaining('runtimeBinary'),
    cause: expect.objectContaining({ code: 'unknown' }),
  });
  expect(await settle(context, before)).toEqual(before);
});

test('gVisor behind the shim of runc is refused by name, as it has one of its own', async () => {
  const provider = await openProvider({ runtimeBinary: '/usr/bin/runsc' });
  await expect(provider.createSession()).rejects.toMatchObject({
    code: 'capability-mismatch',
    mismatchedAttributes: ['runtimeBinary'],
    message: expect.stringContaining('io.containerd.runsc.v1'),
  });
});
