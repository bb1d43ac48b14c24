import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { Channel } from '../../src/rpc/channel.js';
import { findGroups } from '../../src/session/leftovers.js';
import { readTask } from '../../src/session/task.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { onHostWith } from '../support/needs.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const MIB = 1024 * 1024;
const resources = { memoryMb: 64, memorySwapMb: 0, cpus: 0.5, pidsLimit: 33 };

/** Of the unit that runc has systemd make (its docs/systemd.md). */
function nameScope({ sessionId }: Session): string {
  return `${context.namespace}-${sessionId}.scope`;
}

function findGroup(session: Session): string {
  return join('/sys/fs/cgroup/system.slice', nameScope(session));
}

/** What systemd itself says of the unit. */
function show(session: Session, property: string): string {
  return execFileSync('systemctl', ['show', '--value', `--property=${property}`, nameScope(session)])
    .toString()
    .trim();
}

const isInit = existsSync('/run/systemd/system');

test('where systemd is not the init, this is told with what to do, and nothing is left', async ({ skip }) => {
  skip(isInit, 'here systemd is the init');
  const provider = await openProvider({ runtimeOptions: { systemdCgroup: true } });
  const before = await observe(context);
  await expect(provider.createSession()).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringContaining('systemd is not the init of this host'),
    remedy: expect.stringContaining('runtimeOptions.systemdCgroup'),
  });
  expect(await settle(context, before)).toEqual(before);
});

onHostWith('systemd as init')('control groups made by systemd', () => {
  test('a session is a scope with its limits, which hold; it is watched and verified, and leaves nothing', async () => {
    const provider = await openProvider({ runtimeOptions: { systemdCgroup: true } });
    const before = await observe(context);
    const session = await provider.createSession({ resources });
    const { pid } = await readTask(new Channel(context), session.sessionId);
    const group = findGroup(session);
    expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toBe(`0::/system.slice/${nameScope(session)}\n`);
    expect(findGroups(context.namespace, session.sessionId)).toEqual([group]);
    expect(show(session, 'ActiveState')).toBe('active');
    expect(show(session, 'MemoryMax')).toBe(String(64 * MIB));
    const read = (file: string) => readFileSync(join(group, file), 'utf8').trim();
    expect(read('memory.max')).toBe(String(64 * MIB));
    expect(read('cpu.max')).toBe('50000 100000');
    expect(read('pids.max')).toBe('33');
    expect(await session.verify()).toMatchObject({ ok: true });

    const bomb = 'dd if=/dev/zero of=/dev/null bs=200M count=1';
    expect(await session.exec('sh', ['-c', bomb])).toMatchObject({ exitCode: 137, oomKilled: true });
    const timed = await session.exec('sh', ['-c', 'setsid sleep 1001 & wait'], { timeoutMs: relax(200) });
    expect(timed.kill).toMatchObject({ survivors: [], verified: true });
    expect(await session.stats()).toMatchObject({ memoryLimitBytes: 64 * MIB });
    const forks = 'for i in $(seq 40); do sleep 1000 & done';
    expect((await session.exec('sh', ['-c', forks], { drainMs: 50 })).stderr).toMatch(/can't fork/);

    await session.stop({ timeoutMs: 0 });
    await session.start();
    expect(read('memory.max')).toBe(String(64 * MIB));
    await session.pause();
    expect(read('cgroup.events')).toMatch(/^frozen 1$/m);
    expect(await session.kill()).toMatchObject({ survivors: [], verified: true });
    await session.destroy();
    expect(existsSync(group)).toBe(false);
    expect(show(session, 'LoadState')).toBe('not-found');
    expect(await settle({ ...context, ids: [session.sessionId] }, before)).toEqual(before);
  });

  test('a session whose limits are changed behind its back does not verify', async () => {
    const provider = await openProvider({ runtimeOptions: { systemdCgroup: true } });
    await using session = await provider.createSession({ resources });
    execFileSync('systemctl', ['set-property', '--runtime', nameScope(session), 'MemoryMax=infinity']);
    const { checks } = await session.verify();
    // systemd also forgets that there is no swap, which runc tells it only where there is some (1.1.5).
    expect(checks.filter(({ ok }) => !ok).map(({ field }) => field)).toContain('linux.resources.memory.limit');
  });
});
