import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { IsolationPolicy, ResourceLimits, Session } from '../../src/index.js';
import { unpackJson } from '../../src/rpc/any.js';
import { Channel } from '../../src/rpc/channel.js';
import { findRecord } from '../../src/session/find.js';
import { readTask } from '../../src/session/task.js';
import type { OciSpec } from '../../src/spec/types.js';
import { listFaults } from '../support/attested.js';
import { context, unseen } from '../support/context.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const channel = new Channel(context);
const MIB = 1024 * 1024;
/** What Kata's shims drop, so that it is refused there. */
const { isKata } = context;
const dropped = ['memorySwapMb', 'pidsLimit'];
const start = { memoryMb: 64, cpus: 0.5, cpuShares: 512, ...(isKata ? {} : { memorySwapMb: 32, pidsLimit: 64 }) };
const before = inGuest({
  memory: { limit: 64 * MIB, swap: 96 * MIB },
  cpu: { quota: 50_000, period: 100_000, shares: 512 },
  pids: { limit: 64 },
});

interface Limits {
  memory?: { limit: number; swap?: number };
  cpu?: object;
  pids?: { limit: number };
}

/** The same where Kata runs the session: without what a guest does not have. */
function inGuest({ memory, pids, ...limits }: Limits): Limits {
  if (!isKata) return { ...limits, ...(memory && { memory }), ...(pids && { pids }) };
  return { ...limits, ...(memory && { memory: { limit: memory.limit } }) };
}

/** The limits of the record, after the kernel was seen to have the same. */
async function readLimits(session: Session): Promise<Limits> {
  expect(listFaults(await session.verify())).toEqual([]);
  const { container } = await findRecord(channel, session.sessionId);
  const { memory, cpu, pids } = (unpackJson(container.spec as never) as OciSpec).linux.resources;
  return { ...(memory && { memory }), ...(cpu && { cpu }), ...(pids && { pids }) } as Limits;
}

describe('what is changed holds in the kernel, in the record, for other processes and after a restart', () => {
  test.each<[string, ResourceLimits, Limits]>([
    ['more memory, swap beyond as before', { memoryMb: 256 }, { memory: { limit: 256 * MIB, swap: 288 * MIB } }],
    ['less memory', { memoryMb: 16 }, { memory: { limit: 16 * MIB, swap: 48 * MIB } }],
    ['no swap', { memorySwapMb: 0 }, { memory: { limit: 64 * MIB, swap: 64 * MIB } }],
    ['more of both', { memoryMb: 200, memorySwapMb: 200 }, { memory: { limit: 200 * MIB, swap: 400 * MIB } }],
    ['cpus', { cpus: '250m' }, { cpu: { ...before.cpu, quota: 25_000 } }],
    ['shares', { cpuShares: 2048 }, { cpu: { ...before.cpu, shares: 2048 } }],
    ['processes', { pidsLimit: 20 }, { pids: { limit: 20 } }],
    [
      'everything',
      { memoryMb: 32, memorySwapMb: 0, cpus: 1, cpuShares: 100, pidsLimit: 99 },
      {
        memory: { limit: 32 * MIB, swap: 32 * MIB },
        cpu: { quota: 100_000, period: 100_000, shares: 100 },
        pids: { limit: 99 },
      },
    ],
  ])('%s', async (_, resources, changed) => {
    await using session = await provider.createSession({ resources: start });
    expect(await readLimits(session)).toEqual(before);
    const refused = dropped.filter((name) => isKata && name in resources);
    if (refused.length > 0) {
      await expect(session.update({ resources })).rejects.toMatchObject({
        code: 'capability-mismatch',
        mismatchedAttributes: refused.map((name) => `resources.${name}`),
      });
      expect(await readLimits(session)).toEqual(before);
      return;
    }
    const after = { ...before, ...inGuest(changed) };
    await session.update({ resources });
    expect(await readLimits(session)).toEqual(after);
    const other = await (await openProvider()).connect(session.sessionId);
    await other.stop();
    await session.start();
    expect(await readLimits(other)).toEqual(after);
    await other.update({ resources: start });
    expect(await readLimits(session)).toEqual(before);
    expect((await session.exec('true')).exitCode).toBe(0);
  });
});

test('a session that had no limits gets them; what is not named stays', async () => {
  await using session = await provider.createSession();
  await session.update({ resources: { memoryMb: 100 } });
  const limits = { memory: { limit: 100 * MIB, swap: 100 * MIB }, pids: { limit: 512 } };
  expect(await readLimits(session)).toEqual(inGuest(limits));
  await session.update({ resources: { cpus: 0.2 } });
  expect(await readLimits(session)).toMatchObject({
    memory: { limit: 100 * MIB },
    cpu: { quota: 20_000, period: 100_000 },
  });
});

test('a paused session takes it at once, a stopped one at its next start', async () => {
  await using session = await provider.createSession({ resources: start });
  await session.pause();
  await session.update({ resources: { memoryMb: 50 } });
  expect(await readLimits(session)).toMatchObject({ memory: { limit: 50 * MIB } });
  await session.resume();
  await session.stop();
  await session.update({ resources: { memoryMb: 40 } });
  await session.start();
  expect(await readLimits(session)).toMatchObject({ memory: { limit: 40 * MIB } });
  await session.destroy();
  await expect(session.update({ resources: { memoryMb: 30 } })).rejects.toMatchObject({ code: 'destroyed' });
});

test('several at once end with one of them, whole', async () => {
  await using session = await provider.createSession({ resources: start });
  const other = await (await openProvider()).connect(session.sessionId);
  const limits = [100, 120, 140, 160, 180, 200];
  await Promise.all(
    limits.map((limit, index) =>
      (index % 2 ? session : other).update({ resources: { memoryMb: limit, cpuShares: limit } }),
    ),
  );
  const { memory, cpu } = await readLimits(session);
  const { shares = 0 } = cpu as { shares?: number };
  expect(memory?.limit).toBe(shares * MIB);
  expect(limits).toContain(shares);
});

describe('what is refused is named, and changes nothing', () => {
  test.each<[string, unknown, string, string[]]>([
    [
      'limits of each process',
      { resources: { ulimits: [], oomScoreAdj: 5 } },
      'capability-mismatch',
      ['resources.ulimits', 'resources.oomScoreAdj'],
    ],
    [
      'others beside one that could',
      { resources: { pidsLimit: 20, timeoutMs: 5 } },
      'capability-mismatch',
      ['resources.timeoutMs', ...(isKata ? ['resources.pidsLimit'] : [])],
    ],
    [
      'the rest of the policy',
      { networkMode: 'none', user: 'agent', resources: { pidsLimit: 20 } },
      'capability-mismatch',
      ['networkMode', 'user', ...(isKata ? ['resources.pidsLimit'] : [])],
    ],
    ['an unknown name', { resources: { memory: 5 } }, 'capability-mismatch', ['resources.memory']],
    [
      'more than the host has',
      { resources: { cpus: 10_000, memoryMb: 2 ** 30 } },
      'capability-mismatch',
      ['resources.cpus', 'resources.memoryMb'],
    ],
    [
      'wrong values',
      { resources: { pidsLimit: 1, memoryMb: 'much' } },
      'invalid-argument',
      ['resources.memoryMb', 'resources.pidsLimit'],
    ],
    ['nothing', { resources: {} }, 'invalid-argument', ['resources']],
    ['no object', 7, 'invalid-argument', ['policy']],
  ])('%s', async (_, patch, code, paths) => {
    await using session = await provider.createSession({ resources: start });
    const refused = session.update(patch as Pick<IsolationPolicy, 'resources'>);
    const error = await refused.catch((reason) => reason);
    expect(error).toMatchObject({ code });
    expect(error.faults.map(({ path }: { path: string }) => path).sort()).toEqual([...paths].sort());
    expect(await readLimits(session)).toEqual(before);
  });

  test('less memory than it uses', async () => {
    await using session = await provider.createSession({ resources: start });
    await session.exec('dd', ['if=/dev/zero', 'of=/dev/shm/x', 'bs=1M', 'count=40']);
    await expect(session.update({ resources: { memoryMb: 20 } })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/resources\.memoryMb = 20: expected at least 4\d, which the session uses/),
    });
    expect(await readLimits(session)).toEqual(before);
    expect((await session.exec('ls', ['/dev/shm/x'])).exitCode).toBe(0);
  });

  test('what only the kernel can refuse: what it had taken is undone', async ({ skip }) => {
    skip(isKata, unseen);
    await using session = await provider.createSession({ resources: { ...start, cpus: 0.1 } });
    const { pid } = await readTask(channel, session.sessionId);
    const group = readFileSync(`/proc/${pid}/cgroup`, 'utf8').match(/:cpu(?:,cpuacct)?:(.*)/)?.[1];
    if (group === undefined) return skip('cgroup v2 takes any quota');
    const controller = existsSync('/sys/fs/cgroup/cpu,cpuacct') ? 'cpu,cpuacct' : 'cpu';
    // A quota beyond that of the group above is refused (sched-bwc.rst); runtimes write memory before it.
    writeFileSync(join('/sys/fs/cgroup', controller, dirname(group), 'cpu.cfs_quota_us'), '20000');
    const limits = await readLimits(session);
    await expect(session.update({ resources: { memoryMb: 128, cpus: 1, pidsLimit: 20 } })).rejects.toThrow(/cfs_quota/);
    expect(await readLimits(session)).toEqual(limits);
    await using bare = await provider.createSession();
    await expect(bare.update({ resources: { memoryMb: 128, cpus: 1 } })).rejects.toThrow(/cfs_quota/);
    expect(await readLimits(bare)).toEqual({ pids: { limit: 512 } });
    expect((await bare.exec('cat', ['/sys/fs/cgroup/memory/memory.limit_in_bytes'])).stdout).toBe(
      '9223372036854771712\n',
    );
    writeFileSync(join('/sys/fs/cgroup', controller, dirname(group), 'cpu.cfs_quota_us'), '-1');
  });
});
