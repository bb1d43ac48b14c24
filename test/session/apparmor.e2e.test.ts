import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { Channel } from '../../src/rpc/channel.js';
import { readTask } from '../../src/session/task.js';
import { cadre } from '../cli/cadre.js';
import { context } from '../support/context.js';
import { onHostWith } from '../support/needs.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const channel = new Channel(context);
const NAME = 'cadre-default';
/** All else that would deny, taken away. */
const open = {
  seccomp: 'unconfined' as const,
  noNewPrivileges: false,
  capabilities: { add: ['SYS_ADMIN', 'SYS_PTRACE', 'DAC_OVERRIDE'] },
};

function isLoaded(): boolean {
  return readFileSync('/sys/kernel/security/apparmor/profiles', 'utf8').includes(`${NAME} (enforce)\n`);
}

async function sh(session: Session, line: string): Promise<string> {
  const { stdout } = await session.exec('sh', ['-c', `exec 2>&1; ${line}`]);
  return stdout.trim();
}

/** What the spec itself makes read-only is made writable again, from outside, so that nothing but the profile is left. */
async function unlock(session: Session): Promise<void> {
  const { pid } = await readTask(channel, session.sessionId);
  for (const words of [
    ['remount,bind,rw', '/proc/sys'],
    ['remount,rw', '/sys'],
  ]) {
    execFileSync('nsenter', [`--target=${pid}`, '--mount', '--pid', '/bin/busybox', 'mount', '-o', ...words]);
  }
}

const attempts = [
  'mount -t tmpfs x /var',
  'mount --bind /root /home',
  'umount /dev/shm',
  ': >> /proc/uptime',
  'echo x > /proc/sys/kernel/domainname',
  'echo 0 > /sys/kernel/mm/ksm/run',
];

onHostWith('AppArmor')('AppArmor', () => {
  afterAll(() => {
    if (isLoaded()) cadre('apparmor', 'unload');
  });

  test('a profile that is not loaded is refused, with what loads it; nothing is created', async () => {
    await expect(provider.createSession({ apparmor: NAME })).rejects.toMatchObject({
      mismatchedAttributes: ['apparmor'],
      message: expect.stringContaining('cadre-containerd apparmor load'),
    });
  });

  test('loaded it confines init, execs and what they start, also after a stop and in a fork', async () => {
    expect(cadre('apparmor', 'load')).toMatchObject({ status: 0, stderr: '' });
    expect(isLoaded()).toBe(true);
    await using session = await provider.createSession({ apparmor: NAME });
    const confinement = `${NAME} (enforce)`;
    expect(await sh(session, 'cat /proc/1/attr/current; cat /proc/self/attr/current')).toBe(
      `${confinement}\n${confinement}`,
    );
    const check = async () => {
      const { ok, checks } = await session.verify();
      expect(checks.filter((each) => !each.ok)).toEqual([]);
      expect(checks.find(({ field }) => field === 'process.apparmorProfile')).toMatchObject({ observed: confinement });
      expect(ok).toBe(true);
    };
    await check();
    await session.stop({ timeoutMs: 1 });
    await session.start();
    await check();
    // What sessions do all day goes on under it.
    expect(
      await sh(session, 'echo x > /root/f && cat /root/f && kill -0 $$ && ls /sys/class/net && echo y > /dev/null'),
    ).toBe('x\nlo');
    expect(await session.exec('sh', ['-c', 'sleep 1000 & wait'], { timeoutMs: relax(300) })).toMatchObject({
      exitCode: 124,
      kill: { survivors: [], verified: true },
    });
  });

  test('it denies by itself what nothing else does: mounts, and writes to /proc and /sys', async () => {
    await using confined = await provider.createSession({ ...open, apparmor: NAME });
    await using free = await provider.createSession(open);
    for (const session of [confined, free]) await unlock(session);
    for (const line of attempts) {
      expect(await sh(confined, `${line} && echo done`), line).toMatch(/Permission denied$/);
      expect(await sh(free, `${line} && echo done`), line).toBe('done');
    }
    const leave = 'echo "changeprofile unconfined" > /proc/self/attr/current; cat /proc/self/attr/current';
    expect(await sh(confined, leave)).toMatch(/(denied|No such file or directory)\ncadre-default \(enforce\)$/);
  });

  test('it is not taken from those whom it confines, and is gone when it is', async () => {
    const session = await provider.createSession({ apparmor: NAME });
    expect(cadre('apparmor', 'unload')).toMatchObject({ status: 1, stderr: expect.stringContaining('is in use') });
    await session.destroy();
    expect(cadre('apparmor', 'unload')).toMatchObject({ status: 0, stderr: '' });
    expect(isLoaded()).toBe(false);
    expect(cadre('apparmor', 'show').stdout).toContain(`profile ${NAME} `);
  });
});
