import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ProviderOptions } from '../../src/provider/options.js';
import { context } from '../support/context.js';
import { startDaemon } from '../support/daemon.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { findShim } from './shim.js';

async function runThrough(options: Partial<ProviderOptions>) {
  // Its supervisor would start commands without it.
  const provider = await openProvider({ ...options, executor: 'task' });
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
  await runThrough({ runtimeBinary: binary });
  const calls = readFileSync(log, 'utf8');
  expect(calls.match(/ create /g)).toHaveLength(2);
  expect(calls.match(/ exec /g)).toHaveLength(2);
});

test('crun runs a session, and is understood where it cannot start a command', async () => {
  // It refuses hosts whose cgroups are hybrid, with controllers on v2: there it is to see those of v1 alone.
  const unified = '/sys/fs/cgroup/unified';
  await using daemon = existsSync(unified)
    ? await startDaemon({ generation: context.generation, prelude: `umount ${unified}` })
    : undefined;
  const place = daemon && { address: daemon.address, stateRoot: join(daemon.root, 'sessions') };
  const options = { ...place, runtimeBinary: '/usr/bin/crun' };
  await runThrough(options);
  const provider = await openProvider({ ...options, executor: 'task' });
  await using session = await provider.createSession();
  await expect(session.exec('no-such')).rejects.toMatchObject({ code: 'not-found' });
  await expect(session.exec('/etc/passwd')).rejects.toMatchObject({ code: 'permission-denied' });
  await expect(session.exec('true', [], { cwd: '/absent' })).rejects.toMatchObject({ code: 'invalid-argument' });
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

test('the shim is in the control group that was named for it, and its session is not', async () => {
  const name = `shims-of-${context.namespace}`;
  const root = '/sys/fs/cgroup';
  const isGroup = (path: string) => existsSync(join(path, 'cgroup.procs'));
  const hierarchies = isGroup(root) ? [root] : readdirSync(root).map((entry) => join(root, entry));
  const groups = hierarchies.filter(isGroup).map((hierarchy) => join(hierarchy, name));
  try {
    for (const group of groups) {
      mkdirSync(group);
      // Of cgroup v1: nothing can enter a set without any (cpusets.rst).
      for (const file of ['cpuset.cpus', 'cpuset.mems'].filter((each) => existsSync(join(group, each)))) {
        if (!isGroup(root)) writeFileSync(join(group, file), readFileSync(join(group, '..', file)));
      }
    }
    const provider = await openProvider({ runtimeOptions: { shimCgroup: `/${name}` } });
    await using session = await provider.createSession();
    const { sessionId } = session;
    expect(readFileSync(`/proc/${findShim(sessionId)}/cgroup`, 'utf8')).toMatch(new RegExp(`:/${name}$`, 'm'));
    expect((await session.verify()).checks.filter(({ ok }) => !ok)).toEqual([]);
    await session.destroy();
    // It ends a moment after its session.
    await expect
      .poll(() => groups.every((group) => readFileSync(join(group, 'cgroup.procs'), 'utf8') === ''))
      .toBe(true);
  } finally {
    for (const group of groups.filter((each) => existsSync(each))) rmdirSync(group);
  }
});
