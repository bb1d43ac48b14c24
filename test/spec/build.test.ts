import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import { buildSpec, type ImageConfig } from '../../src/spec/build.js';
import type { HostFacts } from '../../src/spec/host.js';

const host: HostFacts = {
  cgroup: 'v1',
  cpus: 2,
  memoryBytes: 8 * 1024 ** 3,
  kernel: '6.1.0',
  arch: 'x64',
  seccomp: true,
  swapAccounting: true,
  initPath: '/usr/bin/catatonit',
};

function build(policy: unknown, image: ImageConfig = {}, more: object = {}) {
  return buildSpec({
    policy: parsePolicy(policy),
    image,
    host,
    hostname: 's1',
    cgroupsPath: '/cadre/s1',
    user: { uid: 0, gid: 0 },
    env: {},
    ...more,
  });
}

// Renewed with `npx vitest run --project unit test/spec -u`; the diff is what reviews read.
describe('golden', () => {
  test.each([
    ['default', build({})],
    [
      'limits',
      build({
        resources: {
          memoryMb: 256,
          memorySwapMb: 64,
          cpus: 1.5,
          cpuShares: 512,
          pidsLimit: 64,
          oomScoreAdj: 500,
          ulimits: [{ type: 'nofile', soft: 64, hard: 128 }],
        },
      }),
    ],
    [
      'read-only',
      build(
        { readOnlyRootfs: true, capabilities: { drop: ['ALL'] } },
        { Env: ['PATH=/bin', 'A=1'], WorkingDir: '/srv' },
        { command: ['sleep', '1'], env: { A: '2' }, user: { uid: 1000, gid: 1000, additionalGids: [2000] } },
      ),
    ],
  ])('%s', async (name, spec) => {
    await expect(`${JSON.stringify(spec, null, 2)}\n`).toMatchFileSnapshot(`golden/${name}.json`);
  });
});

describe('invariants', () => {
  test('hold for every policy that is accepted', () => {
    const policy = fc.record(
      {
        readOnlyRootfs: fc.boolean(),
        capabilities: fc.record({ drop: fc.subarray(['ALL', 'CAP_KILL', 'setuid']) }, { requiredKeys: [] }),
        resources: fc.record(
          {
            memoryMb: fc.integer({ min: 6, max: 100_000 }),
            cpus: fc.double({ min: 0.01, max: 64, noNaN: true }),
            pidsLimit: fc.integer({ min: 1, max: 100_000 }),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(policy, (asked) => {
        const { process, linux, mounts } = build(asked);
        expect(process.noNewPrivileges).toBe(true);
        expect(process.capabilities.bounding).not.toContain('CAP_NET_RAW');
        expect(process.capabilities.bounding).not.toContain('CAP_SYS_ADMIN');
        expect(linux.resources.pids.limit).toBeGreaterThan(0);
        expect(linux.resources.devices[0]).toEqual({ allow: false, access: 'rwm' });
        expect(linux.namespaces.map(({ type }) => type).sort()).toEqual([
          'cgroup',
          'ipc',
          'mount',
          'network',
          'pid',
          'uts',
        ]);
        expect(linux.namespaces.every(({ path }: { path?: string }) => path === undefined)).toBe(true);
        expect(linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
        expect(linux.maskedPaths).toEqual(expect.arrayContaining(['/proc/kcore', '/sys/firmware', '/proc/interrupts']));
        expect(mounts.filter(({ type }) => type === 'bind').map(({ options }) => options.includes('ro'))).toEqual([
          true,
        ]);
        expect(process.rlimits.map(({ type }) => type)).toContain('RLIMIT_NOFILE');
      }),
    );
  });

  test('swap never exceeds what was asked, and is left alone where the kernel does not count it', () => {
    expect(build({ resources: { memoryMb: 8 } }).linux.resources.memory).toEqual({ limit: 8_388_608, swap: 8_388_608 });
    const uncounted = build({ resources: { memoryMb: 8 } }, {}, { host: { ...host, swapAccounting: false } });
    expect(uncounted.linux.resources.memory).toEqual({ limit: 8_388_608 });
  });

  test('without an init on the host there is no spec', () => {
    expect(() => build({}, {}, { host: { ...host, initPath: undefined } })).toThrow(/install catatonit/);
  });
});

describe('seccomp', () => {
  const { seccomp } = build({}).linux;
  const named = new Set(
    seccomp?.syscalls.filter((rule) => rule.action === 'SCMP_ACT_ALLOW').flatMap(({ names }) => names),
  );

  test.each([
    'io_uring_setup',
    'unshare',
    'setns',
    'mount',
    'umount2',
    'ptrace',
    'process_vm_readv',
    'bpf',
    'perf_event_open',
    'keyctl',
    'add_key',
    'request_key',
    'init_module',
    'finit_module',
    'kexec_load',
    'userfaultfd',
    'reboot',
    'pivot_root',
    'chroot',
    'open_by_handle_at',
    'clone3',
    'fsopen',
    'move_mount',
    'open_tree',
    'swapon',
    'settimeofday',
    'quotactl',
    'syslog',
  ])('%s is closed', (name) => {
    expect(named).not.toContain(name);
  });

  test('sockets are open by family, clone without namespaces', () => {
    const rules = (name: string) =>
      seccomp?.syscalls.filter(({ names }) => names.includes(name)).map(({ args }) => args?.[0]);
    expect(rules('socket')?.map((arg) => arg?.value)).toEqual([1, 2, 10, 16]);
    expect(rules('clone')).toEqual([{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]);
  });

  test('no name stands twice', () => {
    const names = seccomp?.syscalls[0]?.names ?? [];
    expect(new Set(names).size).toBe(names.length);
  });
});
