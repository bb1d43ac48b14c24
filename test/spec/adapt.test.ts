import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import { adaptSpec } from '../../src/spec/adapt.js';
import { buildSpec } from '../../src/spec/build.js';
import type { RuntimeOptions } from '../../src/spec/runtime.js';
import { host as ordinary } from './host-facts.js';
import { findSchemaFaults } from './oci-schema.js';

const host = { ...ordinary, cgroup: 'v2' as const };
const policy = parsePolicy({
  networkMode: 'none',
  resources: { memoryMb: 512, memorySwapMb: 64, cpus: 2, cpuShares: 512, pidsLimit: 64, ioWeight: 100 },
});
const plain = buildSpec({
  policy,
  image: {},
  host,
  hostname: 's1',
  cgroupsPath: '/cadre/s1',
  user: { uid: 0, gid: 0 },
  env: {},
});

function adapt(runtime: string, runtimeOptions?: RuntimeOptions, spec = plain) {
  const adapted = adaptSpec(spec, { runtime, runtimeOptions, policy, networkPath: '/run/s1/netns', host });
  expect(findSchemaFaults(adapted)).toEqual([]);
  return adapted;
}

describe('for Kata', () => {
  test('limits that its shims drop are left out, and the rest is as asked', () => {
    expect(adapt('kata').linux.resources).toEqual({
      memory: { limit: 512 * 1024 ** 2 },
      cpu: plain.linux.resources.cpu,
    });
  });

  test('the network namespace is given by path', () => {
    const { namespaces } = adapt('kata').linux;
    expect(namespaces.find(({ type }) => type === 'network')).toEqual({ type: 'network', path: '/run/s1/netns' });
  });

  test('the profile of system calls is asked for inside', () => {
    expect(adapt('kata').annotations).toEqual({ 'io.katacontainers.config.runtime.disable_guest_seccomp': 'false' });
    const { seccomp: _, ...linux } = plain.linux;
    expect(adapt('kata', undefined, { ...plain, linux }).annotations).toBeUndefined();
  });

  test('sized by annotations, the machine is the limit', () => {
    const { annotations, linux } = adapt('kata', { sizing: 'annotations' });
    expect(annotations).toMatchObject({
      'io.katacontainers.config.hypervisor.default_memory': '512',
      'io.katacontainers.config.hypervisor.default_vcpus': '2',
      'io.katacontainers.config.hypervisor.default_max_vcpus': '2',
    });
    expect(linux.resources).toEqual({ cpu: { shares: 512 } });
  });
});

test('there and back again is the same document', () => {
  expect(adapt('runc', undefined, adapt('kata', { sizing: 'annotations' }))).toEqual(adapt('runc'));
});
