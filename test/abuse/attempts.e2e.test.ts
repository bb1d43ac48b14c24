import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CreateOptions, Session } from '../../src/index.js';
import { capabilityNames } from '../../src/policy/names.js';
import { Channel } from '../../src/rpc/channel.js';
import { readOptional } from '../../src/session/proc.js';
import { readTask } from '../../src/session/task.js';
import { context } from '../support/context.js';
import { type Attempt, attemptGroups } from './attempts.js';
import { attempt, attemptHere, openAbuse } from './probe.js';

const { provider, probe } = await openAbuse();
const channel = new Channel(context);
const env = { HOST_PID: String(process.pid) };
const all: Attempt[] = attemptGroups.flatMap(([, attempts]) => attempts);
/** There only while they are made by the test. */
const isPlanted = ({ name }: Attempt) => name.startsWith('planted_');
/** What a session of one profile is expected to meet on this host. */
const expected = (attempts: Attempt[], profile: 'default' | 'strict') =>
  Object.fromEntries(
    attempts.map((each) => {
      const isThere = each.path === undefined || existsSync(each.path);
      return [each.name, isThere ? (profile === 'strict' && each.strict) || each.expected : 'ENOENT'];
    }),
  );

/** Devices of the host, made inside by the host: an image may bring any, and runc passes them over as it finds them. */
async function plantDevices(session: Session): Promise<void> {
  const { pid } = await readTask(channel, session.sessionId);
  const disk = statSync('/').dev;
  // glibc's makedev(3)
  const [major, minor] = [(disk >> 8) & 0xfff, (disk & 0xff) | ((disk >> 12) & 0xfff00)];
  const nodes = { mem: ['c', 1, 1], kmsg: ['c', 1, 11], disk: ['b', major, minor] };
  for (const [name, [kind, ...numbers]] of Object.entries(nodes)) {
    const path = `/proc/${pid}/root/tmp/planted-${name}`;
    execFileSync('mknod', ['-m', '666', path, String(kind), ...numbers.map(String)]);
  }
}

test('every attempt that there is is expected to meet something', () => {
  const source = readFileSync(fileURLToPath(new URL('probe.c', import.meta.url)), 'utf8');
  const made = [...source.matchAll(/^ {2}X\((\w+),/gm)].map(([, name]) => name);
  expect(all.map(({ name }) => name).sort()).toEqual(made.sort());
});

describe.each(['default', 'strict'] as const)('%s', (profile) => {
  test.each(attemptGroups)('%s', async (_, attempts) => {
    // On a read-only root nothing is planted but in a tmpfs, which has no devices at all.
    const policy = { profile, readOnlyRootfs: false, networkMode: 'none' } satisfies CreateOptions;
    await using session = await provider.createSession(policy);
    if (attempts.some(isPlanted)) await plantDevices(session);
    expect(
      await attempt(
        session,
        attempts.map(({ name }) => name),
        env,
      ),
    ).toEqual(expected(attempts, profile));
  });

  test('a process lowers its own limits all the same', async () => {
    await using session = await provider.createSession({ profile, networkMode: 'none' });
    const { stdout } = await session.exec('sh', ['-c', 'ulimit -n 64 && ulimit -n']);
    expect(stdout).toBe('64\n');
  });
});

describe('it is the session that refuses', () => {
  /** With everything that a policy can open; what this host does not have itself it cannot give. */
  const held = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(readOptional('/proc/self/status') ?? '')?.[1]}`);
  const add = capabilityNames.filter((_, number) => held & (1n << BigInt(number)));
  let wide: Session;
  beforeAll(async () => {
    wide = await provider.createSession({ seccomp: 'unconfined', noNewPrivileges: false, capabilities: { add } });
    return () => wide.destroy();
  });

  /** Harmless as root of the host: nothing is mounted, no clock set, no process traced. */
  const isHarmless = ({ name }: Attempt) =>
    /^(socket|legacy|device|signal|pidfd_host|unshare|keys|k|timer|core|irq|sys|cgroup1|ip_|modprobe|by_handle)/.test(
      name,
    ) && !/^kexec/.test(name);
  /** Parts that a kernel may be built without, and files that a host may not have. */
  const mayLack = (name: string) =>
    /^(device_mem|planted_mem|console|type_ahead)$/.test(name) ||
    // The first version of control groups, which is found by a controller of it.
    (/^(mount_cgroup|cgroup1_release)$/.test(name) && !existsSync('/sys/fs/cgroup/memory'));

  test.each(attemptGroups)('%s: the same attempts meet something else without it', async (_, attempts) => {
    const names = attempts.filter((each) => !isPlanted(each)).map(({ name }) => name);
    const open = await attempt(wide, names, env);
    const here = attemptHere(
      probe,
      attempts.filter(isHarmless).map(({ name }) => name),
      env,
    );
    const inside = expected(attempts, 'strict');
    const same = attempts.filter(
      ({ name }) => open[name] === inside[name] && (here[name] ?? inside[name]) === inside[name],
    );
    const missing = attempts.filter(({ path, name }) => (path !== undefined && !existsSync(path)) || mayLack(name));
    expect(same.filter((each) => !missing.includes(each)).map(({ name }) => name)).toEqual([]);
  });

  test('a device that was planted can be opened on the host', async () => {
    // A host may keep its own root from its disks.
    await using session = await provider.createSession();
    await plantDevices(session);
    const { pid } = await readTask(channel, session.sessionId);
    const kmsg = openSync(`/proc/${pid}/root/tmp/planted-kmsg`, constants.O_RDONLY | constants.O_NONBLOCK);
    closeSync(kmsg);
  });
});

test('with a terminal: what is typed ahead stays in it, and it is no console', async () => {
  await using session = await provider.createSession();
  const script = 'probe console; probe type_ahead; read -t 1 -n 1 typed; echo "read [$typed]"';
  const { stdout } = await session.exec('sh', ['-c', script], { tty: true, env });
  expect(stdout).toMatch(/console (22|25)\r?\n/);
  // Where the kernel lets it be at all (dev.tty.legacy_tiocsti), the reader is inside too.
  expect(stdout).toMatch(/type_ahead (0\s[\s\S]*read \[x\]|5\s[\s\S]*read \[\])/);
});
