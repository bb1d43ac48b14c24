import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DriverError } from '../../../src/core/error.js';
import type { ContainerdProvider, Session } from '../../../src/index.js';
import { context } from '../../support/context.js';
import { observe, settle } from '../../support/leaks.js';
import { openProvider } from '../../support/provider.js';

// On real Kata, by what is known of its shims and not by what the recording one does: see docs/kata.md.

const isHost = process.env.CADRE_E2E_KATA === '1';
const runtime = process.env.CADRE_E2E_KATA_RUNTIME ?? 'kata';
const skipReason = 'needs a host with Kata: npm run test:kata';
const boot = { timeout: 180_000 };

/** Without the double on the daemon's PATH, and with the host's own devices. */
const open = () => openProvider({ runtime });

describe.skipIf(!isHost)('Kata', { meta: { skipReason } }, () => {
  let provider: ContainerdProvider;
  let session: Session;
  beforeAll(async () => {
    provider = await open();
    session = await provider.createSession({ resources: { memoryMb: 512, cpus: 1 } });
  }, boot.timeout);
  afterAll(() => session?.destroy(), boot.timeout);

  test('the host is healthy', async () => {
    expect(await provider.healthCheck()).toMatchObject({ healthy: true });
  });

  test('a session has a kernel of its own', async () => {
    const { stdout, exitCode } = await session.exec('uname', ['-r']);
    expect(exitCode).toBe(0);
    const { stdout: version } = await session.exec('cat', ['/proc/version']);
    expect(version).toContain(stdout.trim());
    const { details } = await provider.healthCheck();
    expect(stdout.trim()).not.toBe(details.kernel);
  });

  test('streams, exit codes, env, cwd and input are those of any session', async () => {
    expect(await session.exec('sh', ['-c', 'echo out; echo err >&2; exit 42'])).toMatchObject({
      exitCode: 42,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect((await session.exec('sh', ['-c', 'echo "$PWD $A"'], { cwd: '/tmp', env: { A: 'b' } })).stdout).toBe(
      '/tmp b\n',
    );
    expect((await session.exec('cat')).stdout).toBe('');
    const input = 'line\n'.repeat(10_000);
    expect((await session.exec('cat', [], { input })).stdout).toBe(input);
    await expect(session.exec('no-such-command')).rejects.toBeInstanceOf(DriverError);
  });

  test('ten execs at once', async () => {
    const all = Array.from({ length: 10 }, (_, i) => session.exec('sh', ['-c', `echo ${i}; exit ${i}`]));
    expect((await Promise.all(all)).map(({ exitCode }) => exitCode)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('a timeout ends the command, and does not claim more', async () => {
    const result = await session.exec('sleep', ['1000'], { timeoutMs: 1_000 });
    expect(result).toMatchObject({ exitCode: 124, timedOut: true, kill: { killed: [], verified: false } });
    expect((await session.exec('ps', ['-o', 'args'])).stdout).not.toContain('sleep 1000');
  });

  test('only loopback, and nothing beyond it', async () => {
    expect((await session.exec('ls', ['/sys/class/net'])).stdout).toBe('lo\n');
    expect((await session.exec('nc', ['-w', '1', '192.0.2.1', '80'])).exitCode).not.toBe(0);
  });

  test('limits are those of the guest and of its control group', async () => {
    const read = 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null';
    expect((await session.exec('sh', ['-c', read])).stdout).toBe(`${512 * 1024 * 1024}\n`);
    expect((await session.stats()).memoryBytes).toBeGreaterThan(0);
  });

  test('calls are filtered and capabilities are few, in the init and in execs', async () => {
    for (const pid of ['1', 'self']) {
      const { stdout } = await session.exec('cat', [`/proc/${pid}/status`]);
      expect(stdout).toMatch(/^Seccomp:\t2$/m);
      expect(BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(stdout)?.[1]}`) & (1n << 21n)).toBe(0n);
    }
  });

  test('what only the guest knows is not attested', async () => {
    const { ok, checks } = await session.verify();
    expect(ok).toBe(false);
    expect(checks.filter((check) => !check.ok).every(({ unverifiable }) => unverifiable === true)).toBe(true);
  });

  test('files of the host, tmpfs and secrets', boot, async () => {
    const secrets = [{ name: 'token', value: 'hidden' }];
    const mounts = [{ path: '/scratch', type: 'tmpfs' as const, readOnly: false }];
    await using own = await provider.createSession({ secrets, mounts, readOnlyRootfs: true });
    expect((await own.exec('cat', ['/run/secrets/token'])).stdout).toBe('hidden');
    expect((await own.exec('touch', ['/scratch/x'])).exitCode).toBe(0);
    expect((await own.exec('touch', ['/x'])).exitCode).not.toBe(0);
  });

  test('a command of its own, with its logs and its code', boot, async () => {
    await using own = await provider.createSession({
      command: ['sh', '-c', 'echo a; echo b >&2; sleep 2; echo c; exit 3'],
    });
    const text = { stdout: '', stderr: '' };
    for await (const { source, data } of own.logs({ follow: true })) text[source] += Buffer.from(data).toString();
    expect(text).toEqual({ stdout: 'a\nc\n', stderr: 'b\n' });
    expect(await own.info()).toMatchObject({ state: 'stopped', exitCode: 3 });
  });

  test('from runc to Kata and back, on the same files', { timeout: 2 * boot.timeout }, async () => {
    await using own = await provider.createSession({ runtime: 'runc' });
    await own.exec('sh', ['-c', 'echo kept >/root/file']);
    for (const next of [runtime, 'runc']) {
      await own.stop({ timeoutMs: 1_000 });
      await own.start({ runtime: next });
      expect((await own.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
    }
  });

  test('a supervisor over stdio: commands, kills, files, input, its own command, two processes', boot, async () => {
    const command = ['sh', '-c', 'echo a; echo b >&2; sleep 1000'];
    await using own = await provider.createSession({ executor: 'supervisor', command });
    const input = 'line\n'.repeat(100_000);
    expect((await own.exec('cat', [], { input })).stdout).toBe(input);
    const script = 'setsid sleep 1000 & (sleep 1001 &); sleep 1002';
    const killed = await own.exec('sh', ['-c', script], { timeoutMs: 1_000 });
    expect(killed).toMatchObject({ exitCode: 124, kill: { verified: true } });
    expect((await own.exec('ps', ['-o', 'args'])).stdout).not.toMatch(/sleep 100[12]/);
    await own.files.writeFile('/tmp/a', 'text');
    expect((await own.exec('cat', ['/tmp/a'])).stdout).toBe('text');
    const execution = await own.spawn('sh', ['-c', 'sleep 1; echo later; exit 4']);
    await execution.detach();
    const other = await open();
    const again = await (await other.connect(own.sessionId)).executions.connect(execution.execId);
    expect(await again.result()).toMatchObject({ stdout: 'later\n', exitCode: 4 });
    const text = { stdout: '', stderr: '' };
    for await (const { source, data } of own.logs()) text[source] += Buffer.from(data).toString();
    expect(text).toEqual({ stdout: 'a\n', stderr: 'b\n' });
  });

  test('stop, start, pause and resume', boot, async () => {
    await session.pause();
    expect((await session.info()).state).toBe('paused');
    await session.resume();
    await session.stop({ timeoutMs: 1_000 });
    await session.start();
    expect((await session.exec('true')).exitCode).toBe(0);
  });

  test('destroy leaves nothing', boot, async () => {
    const before = await observe(context);
    const own = await provider.createSession();
    const { sessionId } = own;
    await own.destroy();
    expect(await settle({ ...context, ids: [sessionId] }, before)).toEqual(before);
  });
});
