import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { KILLS_VERIFIED } from '../support/executor.js';
import { observe, settle } from '../support/leaks.js';
import { relax, watchSteal } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

// What the framework's own end-to-end suites assert of a provider.

const provider = await openProvider();

describe('a session', () => {
  let session: Session;
  beforeAll(async () => {
    session = await provider.createSession({
      networkMode: 'none',
      resources: { memoryMb: 128, cpus: 1, ...context.limitPids(64) },
      env: { FROM_SESSION: 'yes' },
    });
  });
  afterAll(() => session.destroy());

  test('separates stdout, stderr and the exit code', async () => {
    expect(await session.exec('sh', ['-c', 'echo out; echo err >&2; exit 42'])).toMatchObject({
      exitCode: 42,
      stdout: 'out\n',
      stderr: 'err\n',
      truncated: { stdout: 0, stderr: 0 },
    });
  });

  test('runs with env, cwd and arguments as they are given', async () => {
    const args = [
      '-c',
      'echo "$PWD|$FROM_SESSION|$OWN"; for a in "$@"; do echo "<$a>"; done',
      'sh',
      'a b',
      '$HOME',
      "it's",
    ];
    const { stdout } = await session.exec('sh', args, { cwd: '/tmp', env: { OWN: 'a=b c' } });
    expect(stdout).toBe("/tmp|yes|a=b c\n<a b>\n<$HOME>\n<it's>\n");
  });

  test('gives the command an end of input at once', async () => {
    expect(await session.exec('cat')).toMatchObject({ exitCode: 0, stdout: '' });
  });

  test('a timeout resolves with 124, keeps the output and leaves no process', async () => {
    const script = 'echo before; sleep 1000 & (setsid sleep 1001 &); trap "" TERM; sleep 1002';
    const stolen = watchSteal();
    const result = await session.exec('sh', ['-c', script], { timeoutMs: relax(300) });
    expect(result).toMatchObject({ exitCode: 124, timedOut: true, stdout: 'before\n' });
    expect(result.kill).toMatchObject({ survivors: [], verified: KILLS_VERIFIED });
    expect(result.durationMs - stolen()).toBeLessThan(relax(1_300));
    if (context.isKata) expect(result.kill?.killed).toEqual([]);
    // What Kata itself is asked to kill is the command, and nobody says that it was all.
    if (KILLS_VERIFIED) expect((await session.exec('ps', ['-o', 'args'])).stdout).not.toContain('sleep');
  });

  test('cannot reach out', async () => {
    const { stdout } = await session.exec('sh', ['-c', 'ls /sys/class/net; cat /proc/net/route | wc -l']);
    expect(stdout).toBe('lo\n1\n');
    expect((await session.exec('nc', ['-w', '1', '192.0.2.1', '80'])).exitCode).not.toBe(0);
  });

  test('reads its limits back from inside', async () => {
    const read = (...paths: string[]) => session.exec('sh', ['-c', `cat ${paths.join(' ')} 2>/dev/null`]);
    expect((await read('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max')).stdout).toBe(
      '134217728\n',
    );
    expect((await read('/sys/fs/cgroup/pids/pids.max', '/sys/fs/cgroup/pids.max')).stdout).toBe(
      context.isKata ? 'max\n' : '64\n',
    );
    expect((await read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu.max')).stdout).toMatch(/^100000\b/);
  });

  test('says which command it does not have', async () => {
    await expect(session.exec('no-such-command')).rejects.toMatchObject({
      code: 'not-found',
      message: 'command "no-such-command" not found in the session',
    });
    await expect(session.exec('/etc/passwd')).rejects.toMatchObject({ code: 'permission-denied' });
  });
});

test('read-only root: nothing can be written but /tmp', async () => {
  await using session = await provider.createSession({ readOnlyRootfs: true });
  const { stderr, exitCode } = await session.exec('touch', ['/file']);
  expect([exitCode, stderr]).toEqual([1, 'touch: /file: Read-only file system\n']);
  expect((await session.exec('touch', ['/tmp/file'])).exitCode).toBe(0);
});

test('destroy leaves nothing, may be called twice, and ends all use', async () => {
  const before = await observe(context);
  const session = await provider.createSession();
  await session.exec('sh', ['-c', 'echo x > /kept; sleep 1000 &'], { drainMs: 50 });
  await session.destroy();
  await session.destroy();
  await expect(session.exec('true')).rejects.toMatchObject({
    code: 'destroyed',
    message: expect.stringMatching(/destroyed/),
  });
  expect(await settle(context, before)).toEqual(before);
});

test('await using destroys', async () => {
  const before = await observe(context);
  {
    await using session = await provider.createSession();
    await session.exec('true');
  }
  expect(await settle(context, before)).toEqual(before);
});

test('healthCheck names the version', async () => {
  expect(await provider.healthCheck()).toMatchObject({ healthy: true, details: { version: context.version } });
});
