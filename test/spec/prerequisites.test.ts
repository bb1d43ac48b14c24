import { expect, test } from 'vitest';
import { checkRuntime, nameKataConfiguration, nameShim, type RuntimeFacts } from '../../src/spec/prerequisites.js';

const complete: RuntimeFacts = {
  kernel: '6.1.0-18-amd64',
  shim: '/usr/bin/containerd-shim-kata-v2',
  runc: '1.3.3',
  kvm: true,
  vsock: true,
  virtualization: true,
  configuration: '/etc/kata-containers/configuration.toml',
};

const failing = (runtime: string, facts: RuntimeFacts) =>
  checkRuntime(runtime, facts).flatMap(({ name, state, remedy }) => (state === 'ok' ? [] : [[name, state, !!remedy]]));

// Sessions do not run on Kata yet, whatever the host has.
const always = ['sessions on kata', 'failed', true];

test.each<[missing: string, change: Partial<RuntimeFacts>, name?: string]>([
  ['nothing', {}],
  ['the shim', { shim: undefined }, 'shim of kata'],
  ['the device of KVM', { kvm: false }, '/dev/kvm'],
  ['the device of vsock', { vsock: false }, '/dev/vhost-vsock'],
  ['the configuration', { configuration: undefined }, 'kata configuration'],
  ['virtualization', { virtualization: false }, 'virtualization'],
  ['a kernel of 5.10', { kernel: '5.4.0-100-generic' }, 'kernel'],
])('a host for Kata that lacks %s fails that check alone, with a remedy', (_, change, name) => {
  const expected = name === undefined ? [always] : [[name, 'failed', true], always];
  expect(failing('kata', { ...complete, ...change })).toEqual(expected);
});

test.each<[version: string | undefined, isWarned: boolean]>([
  ['1.1.5+ds1', true],
  ['1.2.7', true],
  ['1.2.8', false],
  ['1.3.2', true],
  ['1.3.3', false],
  ['1.10.0', false],
  [undefined, true],
])('runc %s is warned of: %s', (runc, isWarned) => {
  const shim = '/usr/bin/containerd-shim-runc-v2';
  expect(failing('runc', { ...complete, shim, runc })).toEqual(isWarned ? [['runc', 'warning', true]] : []);
});

test.each([
  ['runc', 'containerd-shim-runc-v2', 'configuration.toml'],
  ['io.containerd.kata.v2', 'containerd-shim-kata-v2', 'configuration.toml'],
  ['io.containerd.kata-qemu.v2', 'containerd-shim-kata-qemu-v2', 'configuration-qemu.toml'],
  ['io.containerd.runsc.v1', 'containerd-shim-runsc-v1', 'configuration.toml'],
  ['/opt/bin/shim', '/opt/bin/shim', 'configuration.toml'],
])('%s has the shim %s and, as Kata, %s', (runtime, shim, configuration) => {
  expect(nameShim(runtime)).toBe(shim);
  expect(nameKataConfiguration(runtime)).toBe(configuration);
});
