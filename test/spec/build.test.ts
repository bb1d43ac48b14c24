import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import { buildSpec } from '../../src/spec/build.js';
import { chooseEnv } from '../../src/spec/environment.js';
import { isKernelAtLeast } from '../../src/spec/host.js';
import type { ImageConfig } from '../../src/spec/image-config.js';
import { host } from './host-facts.js';
import { findSchemaFaults } from './oci-schema.js';

function build(policy: unknown, image: ImageConfig = {}, more: object = {}) {
  const spec = buildSpec({
    policy: parsePolicy(policy),
    image,
    host,
    hostname: 's1',
    cgroupsPath: '/cadre/s1',
    user: { uid: 0, gid: 0 },
    env: {},
    ...more,
  });
  expect(findSchemaFaults(spec)).toEqual([]);
  return spec;
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
    ['cgroup-v2', build({ resources: { memoryMb: 64 } }, {}, { host: { ...host, cgroup: 'v2', arch: 'arm64' } })],
    [
      'capabilities',
      build(
        { capabilities: { add: ['NET_RAW', 'SYS_PTRACE'], drop: ['KILL'] }, noNewPrivileges: false },
        {},
        { user: { uid: 1000, gid: 1000 } },
      ),
    ],
  ])('%s', async (name, spec) => {
    await expect(`${JSON.stringify(spec, null, 2)}\n`).toMatchFileSnapshot(`golden/${name}.json`);
  });
});

test('what was asked to be mounted comes last, parents first, with the restrictions of each', () => {
  const mounts = [{ type: 'tmpfs', path: '/a/b/c', readOnly: true, sizeBytes: 4096 }];
  const binds = [
    { source: '/srv/deep', target: '/a/b', readOnly: true, hasSubmounts: true },
    { source: '/srv/volume', target: '/a/b/d', readOnly: false, hasSubmounts: true },
    { source: '/srv/work', target: '/workspace', readOnly: false, hasSubmounts: false },
    { source: '/srv/secrets', target: '/run/secrets', readOnly: true, hasSubmounts: false },
  ];
  const spec = build({ mounts }, { WorkingDir: '/image' }, { binds, cwd: '/workspace' });
  expect(spec.process.cwd).toBe('/workspace');
  const lines = spec.mounts.map(({ destination, source, options }) => `${source} ${destination} ${options}`);
  expect(lines.slice(lines.findIndex((line) => line.includes(' /run ')) + 1)).toEqual([
    '/srv/work /workspace bind,rprivate,nosuid,nodev,rw',
    '/srv/deep /a/b rbind,rprivate,nosuid,nodev,ro,rnosuid,rnodev,rro',
    '/srv/secrets /run/secrets bind,rprivate,nosuid,nodev,ro',
    'tmpfs /a/b/c nosuid,nodev,mode=1777,size=4096,ro',
    '/srv/volume /a/b/d rbind,rprivate,nosuid,nodev,rw,rnosuid,rnodev',
    '/usr/bin/catatonit /dev/cadre-init bind,ro,nosuid,nodev',
  ]);
});

test('the environment: only what is named comes from the host, and later ones win', () => {
  const hostEnv = Object.assign(Object.create({ INHERITED: 'x' }), {
    A: 'host',
    B: 'host',
    C: 'host',
    D: 'host',
    E: undefined,
  });
  const secrets = [
    { name: 'B', value: 'secret', as: 'env' as const },
    { name: 'C', value: 'secret', as: 'env' as const },
    { name: 'D', value: 'secret' },
  ];
  const envAllowlist = ['A', 'B', 'C', 'E', 'INHERITED', '__proto__'];
  expect(chooseEnv({ envAllowlist, secrets }, hostEnv, { C: 'session' })).toEqual({
    A: 'host',
    B: 'secret',
    C: 'session',
  });
});

test.each([
  ['6.4.0', true],
  ['6.18.44-fc', true],
  ['6.3.9', false],
  ['5.15.0-91-generic', false],
  ['7.0.0-rc1', true],
])('a kernel %s is at least 6.4: %s', (release, expected) => {
  expect(isKernelAtLeast(release, 6, 4)).toBe(expected);
});

describe('invariants', () => {
  test('hold for every policy that is accepted', () => {
    const policy = fc.record(
      {
        readOnlyRootfs: fc.boolean(),
        capabilities: fc.record(
          {
            add: fc.subarray(['SYS_TIME', 'CAP_CHOWN', 'kill', 'CAP_PERFMON']),
            drop: fc.subarray(['ALL', 'CAP_KILL', 'setuid', 'SYS_TIME']),
          },
          { requiredKeys: [] },
        ),
        resources: fc.record(
          {
            memoryMb: fc.integer({ min: 6, max: 100_000 }),
            cpus: fc.double({ min: 0.01, max: 64, noNaN: true }),
            pidsLimit: fc.integer({ min: 8, max: 100_000 }),
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
        const { bounding, inheritable = [], ambient = [] } = process.capabilities;
        const given = (names: string[] | undefined) =>
          (names ?? []).map((name) => `CAP_${name.toUpperCase()}`.replace('CAP_CAP_', 'CAP_'));
        const added = given(asked.capabilities?.add);
        expect(bounding).not.toContain('CAP_NET_RAW');
        expect(bounding).not.toContain('CAP_SYS_ADMIN');
        expect(bounding.filter((name) => given(asked.capabilities?.drop).includes(name))).toEqual([]);
        // Neither set has more than was asked for by name.
        expect(inheritable).toEqual(ambient);
        expect(ambient.filter((name) => !added.includes(name) || !bounding.includes(name))).toEqual([]);
        expect(linux.resources.pids?.limit).toBeGreaterThan(0);
        expect(linux.resources.devices?.[0]).toEqual({ allow: false, access: 'rwm' });
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
        expect(process.rlimits.map(({ type }) => type).sort()).toEqual(['RLIMIT_CORE', 'RLIMIT_NOFILE']);
        expect(process.oomScoreAdj).toBe(0);
        expect(linux.readonlyPaths).toEqual(expect.arrayContaining(['/proc/sys', '/proc/sysrq-trigger']));
      }),
    );
  });

  test('a program that may pass over a score of 0 is given the next one', () => {
    const score = (resources: object) =>
      build({ resources }, {}, { runtimeBinary: '/usr/bin/crun' }).process.oomScoreAdj;
    expect([{}, { oomScoreAdj: 0 }, { oomScoreAdj: 7 }, { oomScoreAdj: -7 }].map(score)).toEqual([1, 1, 7, -7]);
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

describe('an image', () => {
  test.each([
    [undefined, '/'],
    ['', '/'],
    ['/srv/', '/srv'],
    ['/a//b/./c/..', '/a/b'],
    ['app', '/app'],
    ['../../etc', '/etc'],
    ['/process', '/process'],
  ])('has its processes start in %j: %s', (WorkingDir, cwd) => {
    expect(build({}, { WorkingDir }).process.cwd).toBe(cwd);
  });

  test.each(['/proc/self/fd/7', '/proc', 'proc/1/root', '/a/../proc/self/cwd', '/a\0'])(
    'may not in %j',
    (WorkingDir) => {
      expect(() => build({}, { WorkingDir })).toThrow(
        expect.objectContaining({
          code: 'invalid-argument',
          faults: [expect.objectContaining({ path: 'image.WorkingDir', value: WorkingDir })],
        }),
      );
    },
  );

  test('has variables of which those without a name are left out, and those that no process can have are named', () => {
    expect(build({}, { Env: ['A=1', 'B', '=C', '', 'D='] }).process.env.slice(1)).toEqual(['A=1', 'D=']);
    const Env = ['A=topsecret\0', `B=${'x'.repeat(131_072)}`];
    expect(() => build({}, { Env })).toThrow(
      expect.objectContaining({
        message: expect.not.stringContaining('topsecret'),
        faults: [
          expect.objectContaining({ path: 'image.Env[0]', value: '[hidden]' }),
          expect.objectContaining({ path: 'image.Env[1]', value: '131074 bytes' }),
        ],
      }),
    );
  });

  test('counts with the command towards what execve takes, which is less where the stack is small', () => {
    const Env = Array.from({ length: 10 }, (_, index) => `A${index}=${'x'.repeat(130_000)}`);
    expect(build({}, { Env }).process.env).toHaveLength(11);
    const ulimits = [{ type: 'stack', soft: 1024 * 1024, hard: 1024 * 1024 }];
    expect(() => build({ resources: { ulimits } }, { Env })).toThrow(/at most 262144 bytes/);
  });
});

describe('seccomp', () => {
  const { seccomp } = build({}).linux;
  const listOpen = (rules = seccomp) =>
    new Set(rules?.syscalls.filter((rule) => rule.action === 'SCMP_ACT_ALLOW').flatMap(({ names }) => names));
  const named = listOpen();

  test.each([
    ['SYS_ADMIN', ['mount', 'unshare', 'setns', 'clone3', 'bpf']],
    ['SYS_PTRACE', ['ptrace', 'process_vm_readv', 'kcmp']],
    ['SYS_CHROOT', ['chroot']],
    ['SYS_TIME', ['clock_settime']],
    ['CHOWN', []],
  ])('%s opens what it is for', (name, calls) => {
    const open = listOpen(build({ capabilities: { add: [name] } }).linux.seccomp);
    const more = [...open].filter((call) => !named.has(call));
    expect(more).toEqual(expect.arrayContaining(calls));
    if (calls.length === 0) expect(more).toEqual([]);
  });

  test('no capability opens io_uring, keyrings and userfaultfd', () => {
    const add = ['SYS_ADMIN', 'SYS_PTRACE', 'BPF', 'PERFMON', 'NET_ADMIN', 'SYS_MODULE', 'SYS_BOOT', 'SYS_RAWIO'];
    const open = listOpen(build({ capabilities: { add } }).linux.seccomp);
    expect([...open].filter((call) => /^io_uring|key|userfaultfd/.test(call) && !call.startsWith('pkey'))).toEqual([]);
  });

  test.each([{ arch: 's390x' }, { arch: 'constructor' }, { seccomp: false }])(
    '%j: no filter is no silent one',
    (facts) => {
      const more = { host: { ...host, ...facts } };
      expect(() => build({}, {}, more)).toThrow(expect.objectContaining({ mismatchedAttributes: ['seccomp'] }));
      expect(build({ seccomp: 'unconfined' }, {}, more).linux).not.toHaveProperty('seccomp');
    },
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
    expect(rules('socket')?.map((arg) => arg?.valueTwo)).toEqual([1, 2, 10, 16, 16, 16, 16]);
    expect(rules('clone')).toEqual([{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]);
  });

  test('no name stands twice', () => {
    const names = seccomp?.syscalls[0]?.names ?? [];
    expect(new Set(names).size).toBe(names.length);
  });
});
