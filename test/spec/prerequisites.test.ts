import { expect, test } from 'vitest';
import {
  checkContainerd,
  checkRuntime,
  nameKataConfiguration,
  nameShim,
  type ProgramFacts,
  type RuntimeFacts,
} from '../../src/spec/prerequisites.js';

const complete: RuntimeFacts = {
  kernel: '6.1.0-18-amd64',
  shim: '/usr/bin/containerd-shim-kata-v2',
  isCertain: true,
  runc: { path: '/usr/sbin/runc', says: 'runc version 1.3.3' },
  kvm: undefined,
  vsock: undefined,
  virtualization: true,
  configuration: { path: '/etc/kata-containers/configuration.toml', isThere: true },
  missingTools: [],
};

const failing = (runtime: string, facts: RuntimeFacts) =>
  checkRuntime(runtime, facts).filter(({ state }) => state !== 'ok');

test('a host that has all of it fails nothing', () => {
  expect(failing('io.containerd.kata.v2', complete)).toEqual([]);
});

test.each<[missing: string, change: Partial<RuntimeFacts>, name: string, found: string, remedy: string]>([
  [
    'the shim',
    { shim: undefined },
    'shim of io.containerd.kata.v2',
    'no containerd-shim-kata-v2 on the PATH of containerd',
    'install Kata Containers 3 or later and link containerd-shim-kata-v2 into a directory on the PATH of containerd',
  ],
  ['the device of KVM', { kvm: 'ENOENT' }, '/dev/kvm', 'not there', 'load the module kvm_intel or kvm_amd'],
  ['a KVM that works', { kvm: 'ENODEV' }, '/dev/kvm', 'there, but cannot be opened: ENODEV', 'kvm_intel'],
  ['the device of vsock', { vsock: 'ENOENT' }, '/dev/vhost-vsock', 'not there', 'load the module vhost_vsock'],
  [
    'its default configuration',
    { configuration: { path: 'configuration.toml', isThere: false } },
    'kata configuration',
    'no configuration.toml',
    'install Kata Containers, or put configuration.toml into /etc/kata-containers',
  ],
  [
    'the configuration that was chosen',
    { configuration: { path: '/opt/my.toml', isThere: false } },
    'kata configuration',
    'no /opt/my.toml',
    'install Kata Containers, or put one there',
  ],
  ['ip', { missingTools: ['ip'] }, 'network tools', 'no ip', 'install util-linux and iproute2'],
  ['a kernel of 5.10', { kernel: '5.4.0-100-generic' }, 'kernel', '5.4.0-100-generic', 'at least 5.10'],
])('a host for Kata that lacks %s fails that check alone, with a remedy', (_, change, name, found, remedy) => {
  const failures = failing('io.containerd.kata.v2', { ...complete, ...change });
  expect(failures).toEqual([{ name, state: 'failed', found, remedy: expect.stringContaining(remedy) }]);
});

test.each<[what: string, change: Partial<RuntimeFacts>, states: Record<string, string>]>([
  [
    'no flags, and no device',
    { virtualization: false, kvm: 'ENOENT' },
    { virtualization: 'failed', '/dev/kvm': 'failed' },
  ],
  ['no flags, but the device', { virtualization: false }, { virtualization: 'warning' }],
  ['a doubt of Kata itself', { kataCheck: { passed: false, says: 'no' } }, { 'kata-runtime check': 'warning' }],
  [
    'a shim that was not seen, where it was a guess',
    { shim: undefined, isCertain: false },
    { 'shim of kata': 'warning' },
  ],
])('%s', (_, change, states) => {
  const failures = failing('kata', { ...complete, ...change });
  expect(Object.fromEntries(failures.map(({ name, state }) => [name, state]))).toEqual(states);
});

const fixes = ['CVE-2024-21626', 'CVE-2025-31133'];
const says = (version: string): ProgramFacts => ({ path: '/usr/sbin/runc', says: `runc version ${version}` });

test.each<[runc: ProgramFacts | undefined, state: string | undefined, names: string[]]>([
  [says('1.1.5+ds1'), 'warning', fixes],
  [says('1.1.12'), 'warning', fixes.slice(1)],
  [says('1.2.7'), 'warning', fixes.slice(1)],
  [says('1.2.8'), undefined, []],
  [says('1.3.2'), 'warning', fixes.slice(1)],
  [says('1.3.3'), undefined, []],
  [says('1.10.0'), undefined, []],
  [says('2.0.0'), undefined, []],
  [{ path: '/usr/bin/crun', says: 'crun version 1.8.1' }, undefined, []],
  [{ path: '/usr/sbin/runc' }, undefined, []],
  [{ path: '/usr/sbin/runc', problem: 'ended with 1' }, 'warning', ['see that /usr/sbin/runc --version works']],
  [undefined, 'failed', ['install runc']],
])('runc %j is %s', (runc, state, names) => {
  const [check] = failing('runc', { ...complete, shim: '/usr/bin/containerd-shim-runc-v2', runc });
  expect(check?.state).toBe(state);
  expect(fixes.filter((cve) => check?.remedy?.includes(cve))).toEqual(names.filter((name) => name.startsWith('CVE')));
  for (const name of names) expect(check?.remedy).toContain(name);
});

test.each([
  ['1.6.20~ds1', 'ok'],
  ['v2.1.9', 'ok'],
  ['2.1.9+unknown', 'ok'],
  ['1.10.0', 'ok'],
  ['1.5.18', 'failed'],
  ['v0.9.0', 'failed'],
  ['(devel)', 'warning'],
])('containerd %s is %s', (version, state) => {
  expect(checkContainerd(version)).toMatchObject({ name: 'containerd', state, found: `containerd ${version}` });
});

test.each([
  ['runc', 'containerd-shim-runc-v2', 'configuration.toml'],
  ['io.containerd.kata.v2', 'containerd-shim-kata-v2', 'configuration.toml'],
  ['io.containerd.kata-qemu.v2', 'containerd-shim-kata-qemu-v2', 'configuration-qemu.toml'],
  ['io.containerd.runsc.v1', 'containerd-shim-runsc-v1', 'configuration.toml'],
  ['/opt/bin/shim', '/opt/bin/shim', 'configuration.toml'],
  ['/opt/kata/bin/containerd-shim-kata-clh-v2', '/opt/kata/bin/containerd-shim-kata-clh-v2', 'configuration-clh.toml'],
])('%s has the shim %s and, as Kata, %s', (runtime, shim, configuration) => {
  expect(nameShim(runtime)).toBe(shim);
  expect(nameKataConfiguration(runtime)).toBe(configuration);
});

test('control groups of systemd need systemd, where they are asked for', () => {
  expect(failing('io.containerd.runc.v2', { ...complete, systemd: true })).toEqual([]);
  expect(failing('io.containerd.runc.v2', { ...complete, systemd: false })).toEqual([
    {
      name: 'systemd',
      state: 'failed',
      found: 'systemd is not the init of this host: no /run/systemd/system',
      remedy: 'drop runtimeOptions.systemdCgroup, or set it where systemd runs',
    },
  ]);
});
