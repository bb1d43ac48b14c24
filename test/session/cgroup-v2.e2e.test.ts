import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CreateOptions, Session } from '../../src/index.js';
import { Channel } from '../../src/rpc/channel.js';
import { findCgroups } from '../../src/session/leftovers.js';
import { readTask } from '../../src/session/task.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { onHostWith } from '../support/needs.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const channel = new Channel(context);
const MIB = 1024 * 1024;
const bomb = 'dd if=/dev/zero of=/dev/null bs=200M count=1';

/** Where the kernel has the session, by what it says of its init. */
async function findGroup(session: Session): Promise<string> {
  const { pid } = await readTask(channel, session.sessionId);
  return join('/sys/fs/cgroup', readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().replace('0::', ''));
}

onHostWith('cgroup v2')('cgroup v2', () => {
  // Literal values of the kernel's files (cgroup-v2.rst), so that no code of ours says what is right. runc 1.3.2 and
  // newer make another weight of shares, hence the two.
  test.each<[string, CreateOptions['resources'], Record<string, string | RegExp>]>([
    ['memory without swap', { memoryMb: 64 }, { 'memory.max': '67108864', 'memory.swap.max': '0' }],
    [
      'swap is counted apart',
      { memoryMb: 64, memorySwapMb: 32 },
      { 'memory.max': '67108864', 'memory.swap.max': '33554432' },
    ],
    ['processor', { cpus: 0.5, cpuShares: 2048 }, { 'cpu.max': '50000 100000', 'cpu.weight': /^(79|174)$/ }],
    ['processes', { pidsLimit: 33 }, { 'pids.max': '33' }],
    ['nothing asked', {}, { 'memory.max': 'max', 'cpu.max': 'max 100000', 'pids.max': '512', 'memory.oom.group': '0' }],
  ])('%s', async (_, resources, files) => {
    await using session = await provider.createSession({ resources: resources ?? {} });
    const group = await findGroup(session);
    for (const [file, expected] of Object.entries(files)) {
      const found = readFileSync(join(group, file), 'utf8').trim();
      if (typeof expected === 'string') expect(found, file).toBe(expected);
      else expect(found, file).toMatch(expected);
    }
    expect((await session.verify()).checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  test('verify() finds each limit that is not what was asked', async () => {
    await using session = await provider.createSession({
      resources: { memoryMb: 64, memorySwapMb: 32, cpus: 0.5, cpuShares: 512, pidsLimit: 64 },
    });
    const group = await findGroup(session);
    for (const [file, value, field] of [
      ['memory.swap.max', 'max', 'memory.swap'],
      ['memory.max', 'max', 'memory.limit'],
      ['cpu.max', '100000 100000', 'cpu.quota'],
      ['cpu.weight', '1000', 'cpu.shares'],
      ['pids.max', '65', 'pids.limit'],
    ] as const) {
      const path = join(group, file);
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, value);
      const { ok, checks } = await session.verify();
      expect(ok).toBe(false);
      expect(checks.filter((each) => !each.ok).map((each) => each.field)).toEqual([`linux.resources.${field}`]);
      writeFileSync(path, before);
    }
  });

  test('a session sees its own limits at the root of what it sees, and cannot change them', async () => {
    await using session = await provider.createSession({ resources: { memoryMb: 64 } });
    const { stdout } = await session.exec('sh', ['-c', 'cat /proc/self/cgroup /sys/fs/cgroup/memory.max']);
    expect(stdout).toBe('0::/\n67108864\n');
    const write = await session.exec('sh', ['-c', 'echo max > /sys/fs/cgroup/memory.max']);
    expect(write).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/Read-only file system/) });
  });

  test('out of memory takes one process and is told, of an exec and as an event; the session lives on', async () => {
    await using session = await provider.createSession({ resources: { memoryMb: 48 } });
    const abort = new AbortController();
    const events = provider.events({ signal: abort.signal });
    const seen = (async () => {
      for await (const { topic, sessionId } of events) if (topic === '/tasks/oom') return sessionId;
      return undefined;
    })();
    const result = await session.exec('sh', ['-c', `${bomb}; echo $?; exit 2`]);
    expect(result).toMatchObject({ exitCode: 2, stdout: '137\n', oomKilled: true });
    expect(await session.exec('sh', ['-c', 'kill -9 $$'])).toMatchObject({ exitCode: 137, oomKilled: false });
    expect(await seen).toBe(session.sessionId);
    abort.abort();
  });

  test('limits of processes and of the processor hold', async () => {
    await using full = await provider.createSession({ resources: { pidsLimit: 20 } });
    const forks = await full.exec('sh', ['-c', 'for i in $(seq 30); do sleep 1000 & done'], { drainMs: 50 });
    expect(forks.stderr).toMatch(/can't fork/);
    await using session = await provider.createSession({ resources: { cpus: 0.2 } });
    const group = await findGroup(session);
    const read = () => Number(/^nr_throttled (\d+)$/m.exec(readFileSync(join(group, 'cpu.stat'), 'utf8'))?.[1]);
    const before = read();
    const busy = await session.spawn('sh', ['-c', 'while :; do :; done']);
    await expect.poll(read, { timeout: relax(10_000) }).toBeGreaterThan(before);
    await busy.kill();
  });

  test('stats are those of the kernel: memory, processes, bytes written', async () => {
    await using session = await provider.createSession({ resources: { memoryMb: 200 } });
    const before = await session.stats();
    await session.exec('dd', ['if=/dev/zero', 'of=/dev/shm/x', 'bs=1M', 'count=40']);
    await session.exec('dd', ['if=/dev/zero', 'of=/root/x', 'bs=1M', 'count=8', 'conv=fsync']);
    const after = await session.stats();
    expect(after).toMatchObject({ memoryLimitBytes: 200 * MIB, pids: 1 });
    expect(after.memoryBytes - before.memoryBytes).toBeGreaterThan(38 * MIB);
    expect(after.ioWriteBytes - before.ioWriteBytes).toBeGreaterThanOrEqual(8 * MIB);
  });

  test('paused is frozen; a kill ends it frozen, forks and orphans included, and leaves no group', async () => {
    const before = await observe(context);
    const session = await provider.createSession();
    const group = await findGroup(session);
    const read = (file: string) => readFileSync(join(group, file), 'utf8');
    const forking = 'while :; do (sleep 5 &) ; sleep 0.01; done';
    const execution = await session.spawn('sh', ['-c', forking]);
    await session.pause();
    expect(read('cgroup.events')).toMatch(/^frozen 1$/m);
    const members = read('cgroup.procs').trim().split('\n').length;
    expect(members).toBeGreaterThan(1);
    expect(await session.kill()).toMatchObject({ survivors: [], verified: true });
    await execution.result();
    await session.destroy();
    expect(findCgroups(context.namespace, 0).filter(({ id }) => id === session.sessionId)).toEqual([]);
    expect(await settle({ ...context, ids: [session.sessionId] }, before)).toEqual(before);
  });

  test('a timeout freezes, kills the tree and thaws', async () => {
    await using session = await provider.createSession();
    const beside = await session.spawn('sh', ['-c', 'trap "exit 5" TERM; touch /tmp/up; while :; do sleep 0.05; done']);
    await session.exec('sh', ['-c', 'until [ -e /tmp/up ]; do sleep 0.05; done']);
    const result = await session.exec('sh', ['-c', 'sleep 1000 & setsid sleep 1001 & wait'], { timeoutMs: relax(200) });
    expect(result.kill).toMatchObject({ survivors: [], verified: true });
    expect(readFileSync(join(await findGroup(session), 'cgroup.freeze'), 'utf8')).toBe('0\n');
    await beside.kill('SIGTERM');
    expect(await beside.result()).toMatchObject({ exitCode: 5 });
  });
});
