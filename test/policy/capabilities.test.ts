import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeCapabilities, findMismatches, type Place } from '../../src/policy/capabilities.js';
import { features, listDemands } from '../../src/policy/features.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { classifyRuntime, dropped } from '../../src/policy/runtimes.js';

const host: Place = { cpus: 4, memoryBytes: 2 ** 33 };

/** A policy for each feature, so that each is met by a real demand. */
const asking: Record<string, object> = {
  'networkMode.none': { networkMode: 'none' },
  'networkMode.allowlist': { networkMode: 'allowlist' },
  'networkMode.full': { networkMode: 'full' },
  'network.name': { networkMode: 'full', network: { name: 'other' } },
  'network.host': { networkMode: 'full', network: { name: 'host' } },
  'network.allow': { networkMode: 'allowlist', network: { allow: ['example.org'] } },
  'network.dns': { networkMode: 'full', network: { dns: ['192.0.2.1'] } },
  'network.ports': { networkMode: 'full', network: { ports: ['8080:80'] } },
  'network.bandwidthKbps': { networkMode: 'full', network: { bandwidthKbps: 1000 } },
  envAllowlist: { envAllowlist: ['A'] },
  secrets: { secrets: [{ name: 'a', value: 'b' }] },
  'mounts.bind': { mounts: [{ path: '/srv', readOnly: true }] },
  'mounts.tmpfs': { mounts: [{ path: '/srv', readOnly: true, type: 'tmpfs' }] },
  'mounts.volume': { mounts: [{ path: 'v', target: '/v', readOnly: true, type: 'volume' }] },
  readOnlyRootfs: { readOnlyRootfs: true },
  user: { user: '1' },
  noNewPrivileges: { noNewPrivileges: true },
  capabilities: { capabilities: { drop: ['ALL'] } },
  'seccomp.default': { seccomp: 'default' },
  'seccomp.strict': { seccomp: 'strict' },
  'seccomp.unconfined': { seccomp: 'unconfined' },
  'seccomp.path': { seccomp: { path: '/x.json' } },
  apparmor: { apparmor: 'x' },
  userns: { userns: true },
  sysctls: { sysctls: { 'net.core.somaxconn': '5' } },
  healthCheck: { healthCheck: { test: ['true'] } },
  'resources.cpuShares': { resources: { cpuShares: 5 } },
  'resources.cpus': { resources: { cpus: 1 } },
  'resources.diskMb': { resources: { diskMb: 5 } },
  'resources.ioWeight': { resources: { ioWeight: 10 } },
  'resources.memoryMb': { resources: { memoryMb: 64 } },
  'resources.memorySwapMb': { resources: { memoryMb: 64, memorySwapMb: 1 } },
  'resources.oomScoreAdj': { resources: { oomScoreAdj: 5 } },
  'resources.pidsLimit': { resources: { pidsLimit: 64 } },
  'resources.timeoutMs': { resources: { timeoutMs: 5 } },
  'resources.ulimits': { resources: { ulimits: [{ type: 'nofile', soft: 5, hard: 5 }] } },
};

const facts = {
  seccomp: fc.boolean(),
  apparmor: fc.boolean(),
  userns: fc.boolean(),
  idmap: fc.boolean(),
  swapAccounting: fc.boolean(),
  ioWeight: fc.boolean(),
  hostNetwork: fc.boolean(),
  allowlist: fc.constant(true),
};
const runtimes = ['runc', 'io.containerd.runc.v2', 'kata', 'io.containerd.kata-qemu.v2', 'io.containerd.runsc.v1'];

test('what is said to be unsupported is what is refused, whatever the runtime and the host', () => {
  expect(Object.keys(asking).sort()).toEqual([...features].sort());
  fc.assert(
    fc.property(fc.record(facts), fc.constantFrom(...runtimes), (known, runtime) => {
      const place = { ...host, ...known, runtime };
      const { unsupported } = describeCapabilities(place);
      for (const feature of features) {
        const policy = parsePolicy({ seccomp: 'unconfined', networkMode: 'none', ...asking[feature] });
        expect(listDemands(policy).map((demand) => demand.feature)).toContain(feature);
        const refused = findMismatches(policy, place).map(({ expected }) => expected);
        expect({ feature, refused }).toEqual({ feature, refused: unsupported[feature] ? [unsupported[feature]] : [] });
      }
    }),
  );
});

test('the five that the framework compares follow from the rest', () => {
  const { unsupported, place, ...rest } = describeCapabilities({ ...host, containerd: '2.1.9' });
  expect(rest).toEqual({
    mounts: !('mounts.bind' in unsupported),
    networkModes: ['none', 'allowlist', 'full'].filter((mode) => !(`networkMode.${mode}` in unsupported)),
    envAllowlist: !('envAllowlist' in unsupported),
    secrets: !('secrets' in unsupported),
    resources: true,
  });
  expect(place).toEqual({ ...host, containerd: '2.1.9' });
});

test.each([
  [{ containerd: '1.6.20~ds1' }, 'containerd 1.6.20~ds1 does not map the ids of its layers: 2.0 and later do'],
  [{ containerd: 'v1.7.24' }, 'containerd v1.7.24 does not map the ids of its layers: 2.0 and later do'],
  [{ snapshotter: 'zfs', containerd: '2.1.9' }, 'snapshotter zfs does not map ids: overlayfs does'],
  [{ idmap: false }, 'overlayfs of this kernel takes no layers with mapped ids: Linux 5.19 and later do'],
  [{ userns: false, idmap: false }, 'this host makes no user namespaces'],
  [{ containerd: '2.1.9' }, undefined],
  [{ containerd: 'v10.0.0', snapshotter: 'overlayfs' }, undefined],
  [{}, undefined],
])('a user namespace at %j', (known, reason) => {
  const faults = findMismatches(parsePolicy({ userns: true }), { ...host, ...known });
  expect(faults).toEqual(
    reason === undefined ? [] : [{ path: 'userns', value: true, expected: `false, as ${reason}` }],
  );
});

describe('a runtime', () => {
  test.each([
    ['runc', 'runc'],
    ['io.containerd.runc.v2', 'runc'],
    ['kata', 'kata'],
    ['io.containerd.kata.v2', 'kata'],
    ['io.containerd.kata-qemu.v2', 'kata'],
    ['kata-clh', 'kata'],
    ['io.containerd.runsc.v1', 'other'],
    ['/opt/kata/bin/containerd-shim-kata-v2', 'kata'],
    ['katana', 'other'],
    ['', 'other'],
  ])('%j is %s', (name, kind) => {
    expect(classifyRuntime(name)).toBe(kind);
  });

  test('Kata: what its shims drop is refused by name where it is asked for, and nothing is without asking', () => {
    const place = { ...host, runtime: 'io.containerd.kata.v2' };
    const find = (policy: object) => findMismatches(parsePolicy(policy), place).map(({ path }) => path);
    expect(find({})).toEqual([]);
    expect(
      find({ resources: { memoryMb: 512, cpus: 1 }, readOnlyRootfs: true, capabilities: { drop: ['ALL'] } }),
    ).toEqual([]);
    expect(find({ profile: 'strict' })).toEqual(['noNewPrivileges', 'resources.pidsLimit', 'resources.ulimits']);
    expect(
      find({
        resources: { ioWeight: 10, oomScoreAdj: 5, memoryMb: 64, memorySwapMb: 64 },
        apparmor: 'x',
        userns: true,
      }).sort(),
    ).toEqual(['apparmor', 'resources.ioWeight', 'resources.memorySwapMb', 'resources.oomScoreAdj', 'userns']);
  });

  test('what it drops is in the policy page', () => {
    const page = readFileSync('docs/policy.md', 'utf8');
    const [, table = ''] = page.split('## What a runtime leaves out');
    for (const kind of ['kata', 'other'] as const) {
      for (const feature of Object.keys(dropped[kind])) {
        expect(table, `${kind}: ${feature}`).toContain(`\`${feature.replace(/^seccomp\..*/, 'seccomp')}\``);
      }
    }
  });
});
