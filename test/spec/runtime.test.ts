import { describe, expect, test } from 'vitest';
import { checkRuntimeChoice, chooseRuntime, hidesProcesses, needsNetworkPath } from '../../src/spec/runtime.js';

const runcOptions = { type: 'containerd.runc.v1.Options', binaryName: '', systemdCgroup: false, shimCgroup: '' };

describe('what containerd is told', () => {
  test.each([
    ['runc', {}, { name: 'io.containerd.runc.v2' }],
    ['kata', {}, { name: 'io.containerd.kata.v2' }],
    ['io.containerd.kata-qemu.v2', {}, { name: 'io.containerd.kata-qemu.v2' }],
    ['/opt/kata/bin/containerd-shim-kata-v2', {}, { name: '/opt/kata/bin/containerd-shim-kata-v2' }],
    [
      'runc',
      { runtimeBinary: '/usr/bin/crun' },
      { name: 'io.containerd.runc.v2', options: { ...runcOptions, binaryName: '/usr/bin/crun' } },
    ],
    [
      'runc',
      { runtimeOptions: { systemdCgroup: true, shimCgroup: '/shims' } },
      { name: 'io.containerd.runc.v2', options: { ...runcOptions, systemdCgroup: true, shimCgroup: '/shims' } },
    ],
    [
      'kata',
      { runtimeOptions: { configPath: '/etc/kata/clh.toml' } },
      {
        name: 'io.containerd.kata.v2',
        options: { type: 'runtimeoptions.v1.Options', typeUrl: '', configPath: '/etc/kata/clh.toml' },
      },
    ],
    [
      'io.containerd.runsc.v1',
      { runtimeOptions: { configPath: '/etc/runsc.toml' } },
      {
        name: 'io.containerd.runsc.v1',
        options: {
          type: 'runtimeoptions.v1.Options',
          typeUrl: 'io.containerd.runsc.v1.options',
          configPath: '/etc/runsc.toml',
        },
      },
    ],
  ])('of %s with %j', (runtime, more, choice) => {
    expect(chooseRuntime(runtime, more)).toEqual(choice);
  });
});

test.each([
  ['', 'runtime'],
  ['docker', 'runtime'],
  ['io.containerd.kata', 'runtime'],
  ['kata/bin/shim', 'runtime'],
  ['/', 'runtime'],
  ['io.containerd.runc.v2', undefined],
  ['/a/b', undefined],
])('%j as a runtime', (runtime, path) => {
  expect(checkRuntimeChoice({ runtime }).map((fault) => fault.path)).toEqual(path === undefined ? [] : [path]);
});

const MIB = 1024 * 1024;

test.each([
  ['kata', 'annotations', { memoryBytes: 255 * MIB }, ['resources.memoryMb']],
  ['kata', 'annotations', { memoryBytes: 256 * MIB + 1 }, ['resources.memoryMb']],
  ['kata', 'annotations', { memoryBytes: 256 * MIB, cpus: 1.5 }, ['resources.cpus']],
  ['kata', 'annotations', { memoryBytes: 256 * MIB, cpus: 2 }, []],
  ['kata', 'limits', { memoryBytes: MIB, cpus: 0.5 }, []],
  ['runc', 'annotations', { memoryBytes: MIB, cpus: 0.5 }, []],
] as const)('%s sized by %s takes %j but for %j', (runtime, sizing, resources, paths) => {
  const faults = checkRuntimeChoice({ runtime, runtimeOptions: { sizing }, resources });
  expect(faults.map(({ path }) => path)).toEqual(paths);
});

test.each([
  ['runc', false, false],
  ['kata', true, true],
  ['io.containerd.kata-fc.v2', true, true],
  ['io.containerd.runsc.v1', true, false],
])('%s hides its processes: %s, is given a network by path: %s', (runtime, hides, needs) => {
  expect(hidesProcesses({ runtime })).toBe(hides);
  expect(needsNetworkPath(runtime)).toBe(needs);
});
