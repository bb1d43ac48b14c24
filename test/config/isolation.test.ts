import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import type { Deprecation } from '../../src/config/types.js';
import {
  buildIsolationSchema,
  ContainerdProvider,
  loadProvider,
  registerContainerd,
  resolveIsolation,
} from '../../src/index.js';

function resolve(block: unknown, env: Record<string, string | undefined> = {}) {
  const warnings: string[] = [];
  const logs: string[] = [];
  const warn = ({ code, message }: Deprecation) => warnings.push(`${code}: ${message}`);
  const resolved = resolveIsolation(block, { env, warn, log: (message) => logs.push(message) });
  return { resolved, warnings, logs };
}

describe('the block in its own names', () => {
  test('becomes the options of a provider, without a warning', () => {
    const containerOptions = {
      image: 'alpine:3',
      runtime: 'io.containerd.kata.v2',
      namespace: 'n',
      address: '/x.sock',
    };
    for (const provider of ['containerd', 'container', undefined]) {
      const { resolved, warnings } = resolve({ enabled: true, provider, containerOptions, allowFallbackToHost: false });
      expect([resolved, warnings]).toEqual([containerOptions, []]);
    }
  });

  test('every option of a provider that a file can carry', () => {
    const containerOptions = {
      image: 'a:1',
      worktreePath: '/srv/work',
      volumeRoot: '/srv/volumes',
      allowHostPaths: ['/srv/shared'],
      pull: 'never',
      actor: 'ci',
      auditFailure: 'warn',
    };
    expect(resolve({ containerOptions }).resolved).toEqual(containerOptions);
    expect(() => resolve({ containerOptions: { ...containerOptions, hostEnv: {} } })).toThrow(/hostEnv/);
  });

  test('profiles and the policy below each session', () => {
    const given = {
      profile: 'ci',
      profiles: { ci: { resources: { memoryMb: 64 } } },
      policy: { readOnlyRootfs: true },
    };
    const { profile: policyProfile, profiles: policyProfiles, policy } = given;
    const block = { containerOptions: { image: 'a:1' }, policyProfile, policyProfiles, policy };
    expect(resolve(block).resolved).toEqual({ image: 'a:1', ...given });
    const fault = (path: string, value: unknown) => expect.objectContaining({ path, value });
    expect(() => resolve({ ...block, policyProfile: 'c1' })).toThrow(
      expect.objectContaining({ faults: [expect.objectContaining({ path: 'profile', suggestion: 'ci' })] }),
    );
    expect(() => resolve({ ...block, policyProfiles: { ci: { user: 5 } } })).toThrow(
      expect.objectContaining({ faults: [fault('isolation.policyProfiles.ci.user', 5)] }),
    );
  });

  test('switched off it chooses nothing, and an image is not needed', () => {
    expect(resolve({ enabled: false }).resolved).toBeUndefined();
    expect(loadProvider({ enabled: false })).toBeUndefined();
  });

  test('makes a provider', () => {
    expect(loadProvider({ containerOptions: { image: 'alpine:3' } })).toBeInstanceOf(ContainerdProvider);
  });

  test('every fault at once, with the nearest known key', () => {
    const block = { provider: 'dockr', containerOptions: { imge: 'a', runtime: 5 }, enabeld: true };
    expect(() => resolve(block)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        faults: expect.arrayContaining([
          expect.objectContaining({ path: 'isolation.enabeld', suggestion: 'enabled' }),
          expect.objectContaining({ path: 'isolation.containerOptions.imge', suggestion: 'image' }),
          expect.objectContaining({ path: 'isolation.containerOptions.runtime', value: 5 }),
          expect.objectContaining({ path: 'isolation.provider', value: 'dockr' }),
        ]),
      }),
    );
  });

  test.each([
    [undefined, 'isolation'],
    [{}, 'isolation.containerOptions.image'],
    [{ provider: 'kata', kata: { backend: 'vmware' }, dockerImage: 'a' }, 'isolation.kata.backend'],
  ])('%j is refused', (block, path) => {
    expect(() => resolve(block)).toThrow(
      expect.objectContaining({ code: 'invalid-argument', faults: [expect.objectContaining({ path })] }),
    );
  });
});

describe('old names', () => {
  const docker =
    'CADRE_CONTAINERD_DOCKER: isolation.provider "docker" is deprecated: use "containerd" with ' +
    'isolation.containerOptions.runtime "runc"; images of a Docker engine\'s own store are not visible in containerd';
  const dockerOptions =
    'CADRE_CONTAINERD_DOCKER_OPTIONS: isolation.dockerOptions is deprecated: use isolation.containerOptions.image';
  const dockerImage =
    'CADRE_CONTAINERD_DOCKER_IMAGE: isolation.dockerImage is deprecated: use isolation.containerOptions.image';
  const kata = (runtime: string) =>
    'CADRE_CONTAINERD_KATA: isolation.provider "kata" is deprecated: use "containerd" with ' +
    `isolation.containerOptions.runtime "${runtime}"`;
  const kataOptions =
    'CADRE_CONTAINERD_KATA_OPTIONS: isolation.kata is deprecated: use isolation.containerOptions.image and .runtime';
  const cli =
    'CADRE_CONTAINERD_CLI: isolation.containerOptions.cli is deprecated: it is ignored, as no command line tool is called';
  const v2 = 'io.containerd.kata.v2';
  const shim = '/opt/kata/bin/containerd-shim-kata-v2';

  test.each([
    ['docker', { provider: 'docker', dockerOptions: { image: 'a:1' } }, { image: 'a:1' }, [docker, dockerOptions]],
    ['dockerImage', { provider: 'docker', dockerImage: 'a:1' }, { image: 'a:1' }, [docker, dockerImage]],
    ['kata', { provider: 'kata', kata: { image: 'a:1' } }, { image: 'a:1', runtime: v2 }, [kata(v2), kataOptions]],
    [
      'a hypervisor of kata',
      { provider: 'kata', kata: { image: 'a:1', backend: 'firecracker' } },
      { image: 'a:1', runtime: 'io.containerd.kata-fc.v2' },
      [kata('io.containerd.kata-fc.v2'), kataOptions],
    ],
    [
      'the path of a shim',
      { provider: 'kata', kata: { image: 'a:1', runtimePath: shim } },
      { image: 'a:1', runtime: shim },
      [kata(shim), kataOptions],
    ],
    [
      'the path of kata-runtime, which is not called',
      { provider: 'kata', kata: { image: 'a:1', runtimePath: '/usr/bin/kata-runtime' } },
      { image: 'a:1', runtime: v2 },
      [kata(v2), kataOptions],
    ],
    ['cli', { containerOptions: { cli: 'nerdctl', image: 'a:1' } }, { image: 'a:1' }, [cli]],
    [
      'the new name before the old one',
      { provider: 'kata', containerOptions: { image: 'new:1', runtime: 'runc' }, kata: { image: 'a:1' } },
      { image: 'new:1', runtime: 'runc' },
      [kata('runc'), kataOptions],
    ],
    [
      'those of another provider, which are not used',
      { provider: 'docker', dockerImage: 'a:1', kata: { image: 'k:1' } },
      { image: 'a:1' },
      [
        docker,
        'CADRE_CONTAINERD_KATA_OPTIONS: isolation.kata is deprecated: it is not used by this provider; ' +
          'use isolation.containerOptions.image and .runtime',
        dockerImage,
      ],
    ],
  ])('%s', (_, block, options, warnings) => {
    expect(resolve(block)).toEqual({ resolved: options, warnings, logs: [] });
  });

  test('arguments of a command line are refused by name, as nothing would do what they say', () => {
    const block = { provider: 'docker', dockerImage: 'a:1', dockerOptions: { extraArgs: ['--privileged'] } };
    expect(() => resolve(block)).toThrow(
      expect.objectContaining({ mismatchedAttributes: ['isolation.dockerOptions.extraArgs'] }),
    );
    expect(resolve({ ...block, dockerOptions: { extraArgs: [] } }).resolved).toEqual({ image: 'a:1' });
  });

  test('the process is told once for each, by default', async () => {
    const emitted: unknown[] = [];
    const listen = (warning: Error & { code?: string }) => emitted.push([warning.name, warning.code]);
    process.on('warning', listen);
    for (let i = 0; i < 2; i++) loadProvider({ provider: 'docker', dockerImage: 'a:1' }, { env: {} });
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', listen);
    expect(emitted).toEqual([
      ['DeprecationWarning', 'CADRE_CONTAINERD_DOCKER'],
      ['DeprecationWarning', 'CADRE_CONTAINERD_DOCKER_IMAGE'],
    ]);
  });
});

describe('the environment', () => {
  const block = { containerOptions: { image: 'a:1', runtime: 'runc', address: '/config.sock' } };

  test('goes before the configuration, and says so', () => {
    const env = { CADRE_RUNTIME: 'kata', CONTAINERD_ADDRESS: '/env.sock', CONTAINERD_NAMESPACE: 'env', CADRE_X: 'y' };
    expect(resolve(block, env)).toEqual({
      resolved: { image: 'a:1', runtime: 'kata', address: '/env.sock', namespace: 'env' },
      warnings: [],
      logs: [
        'isolation.containerOptions.runtime is kata, from CADRE_RUNTIME',
        'isolation.containerOptions.address is /env.sock, from CONTAINERD_ADDRESS',
        'isolation.containerOptions.namespace is env, from CONTAINERD_NAMESPACE',
      ],
    });
  });

  test('a variable without a value is none', () => {
    expect(resolve(block, { CADRE_RUNTIME: '', CONTAINERD_ADDRESS: undefined }).resolved).toEqual(
      block.containerOptions,
    );
  });

  test('chooses the provider', () => {
    const { resolved, logs, warnings } = resolve({ dockerImage: 'a:1' }, { CADRE_ISOLATION_PROVIDER: 'kata' });
    expect(resolved).toEqual({ image: 'a:1', runtime: 'io.containerd.kata.v2' });
    expect(logs).toEqual(['isolation.provider is kata, from CADRE_ISOLATION_PROVIDER']);
    expect(warnings).toHaveLength(2);
    expect(() => resolve(block, { CADRE_ISOLATION_PROVIDER: 'podman' })).toThrow(
      expect.objectContaining({ faults: [expect.objectContaining({ path: 'CADRE_ISOLATION_PROVIDER' })] }),
    );
  });
});

describe('registerContainerd', () => {
  /** Of the framework's shape: factories that are called when their provider is first asked for. */
  class ProviderRegistry {
    readonly #factories = new Map<string, () => unknown>();
    register(name: string, factory: () => unknown) {
      this.#factories.set(name, factory);
      return this;
    }
    describe() {
      return [...this.#factories.keys()];
    }
    resolve({ override, config }: { override?: string; config?: string }) {
      return this.#factories.get(override ?? config ?? 'host')?.();
    }
  }

  test('every name, each made when it is asked for and once', () => {
    const registry = new ProviderRegistry();
    const warnings: string[] = [];
    const warn = ({ code }: Deprecation) => warnings.push(code);
    registerContainerd(
      registry,
      { containerOptions: { image: 'a:1' } },
      { env: { CADRE_ISOLATION_PROVIDER: 'containerd' }, warn },
    );
    expect(registry.describe()).toEqual(['containerd', 'container', 'docker', 'kata']);
    expect(warnings).toEqual([]);
    const chosen = registry.resolve({ config: 'containerd' });
    expect(chosen).toBeInstanceOf(ContainerdProvider);
    expect(registry.resolve({ config: 'containerd' })).toBe(chosen);
    expect(registry.resolve({ override: 'docker', config: 'containerd' })).not.toBe(chosen);
    expect(registry.resolve({ override: 'kata' })).toBeInstanceOf(ContainerdProvider);
    expect(warnings).toEqual(['CADRE_CONTAINERD_DOCKER', 'CADRE_CONTAINERD_KATA']);
    expect(registry.resolve({})).toBeUndefined();
  });

  test('the configuration is checked at once, and nothing is registered when it is switched off', () => {
    const registry = new ProviderRegistry();
    expect(() => registerContainerd(registry, { containerOptions: {} }, { env: {} })).toThrow(/containerOptions.image/);
    registerContainerd(registry, { enabled: false }, { env: {} });
    expect(registry.describe()).toEqual([]);
  });
});

describe('what the block asks for every session is held to this host at once', () => {
  const load = (block: object) => () => resolve({ containerOptions: { image: 'a:1' }, ...block });
  const mismatch = (...paths: string[]) =>
    expect.objectContaining({
      name: 'CapabilityMismatchError',
      mismatchedAttributes: paths,
      unsupportedPolicies: paths,
      providerName: 'containerd',
    });

  test.each([
    [
      { policy: { resources: { cpus: 10_000, memoryMb: 2 ** 30 } } },
      ['policy.resources.cpus', 'policy.resources.memoryMb'],
    ],
    [{ policy: { cpu: '9999000m' } }, ['policy.cpu']],
    [{ policy: { resources: { diskMb: 5 } } }, ['policy.resources.diskMb']],
    [
      { policyProfile: 'ci', policyProfiles: { ci: { memory: 2 ** 50 }, other: { cpu: 10_000 } } },
      ['policyProfiles.ci.memory'],
    ],
    [
      {
        policy: { cpu: 10_000 },
        policyProfile: 'ci',
        policyProfiles: { ci: { cpu: 9_000, resources: { diskMb: 5 } } },
      },
      ['policyProfiles.ci.resources.diskMb', 'policy.cpu'],
    ],
    [{ policy: { mounts: [{ path: '/tmp', target: '/proc/x', readOnly: true }] } }, ['policy.mounts[0]']],
  ])('%j', (block, paths) => {
    expect(load(block)).toThrow(mismatch(...paths.map((path) => `isolation.${path}`)));
  });

  test('what another layer takes back is not asked for', () => {
    const policyProfiles = { ci: { cpu: 10_000 } };
    expect(load({ policyProfile: 'ci', policyProfiles, policy: { cpu: 0.5 } })().resolved).toMatchObject({
      image: 'a:1',
    });
    expect(load({ policyProfiles })().resolved).toMatchObject({ image: 'a:1' });
  });

  test('a registry is told when it registers', () => {
    const register = () => expect.unreachable();
    const block = { containerOptions: { image: 'a:1' }, policy: { resources: { cpus: 10_000 } } };
    expect(() => registerContainerd({ register }, block, { env: {} })).toThrow(
      mismatch('isolation.policy.resources.cpus'),
    );
  });
});

describe('isolation.schema.json', () => {
  const schema = JSON.parse(readFileSync('isolation.schema.json', 'utf8'));

  test('is what the loader reads', () => {
    expect(schema).toEqual(JSON.parse(JSON.stringify(buildIsolationSchema())));
  });

  const validate = new Ajv2020({ strict: true, allowUnionTypes: false }).compile(schema);
  test.each([
    [{ provider: 'containerd', containerOptions: { image: 'alpine:3', address: 'auto' } }, true],
    [{ provider: 'docker', dockerOptions: { image: 'a', extraArgs: ['x'] }, dockerImage: 'a' }, true],
    [{ provider: 'kata', kata: { runtimePath: '/x', image: 'a', backend: 'qemu' }, allowFallbackToHost: false }, true],
    [{ enabled: false, policyProfile: 'ci', policyProfiles: { ci: { memory: 2 ** 30 } }, policy: { user: 'a' } }, true],
    [{ provider: 'podman' }, false],
    [{ containerOptions: { imge: 'a' } }, false],
    [{ containerOptions: { pull: 'sometimes' } }, false],
    [{ policy: { memory: 'much' } }, false],
    [{ enabeld: true }, false],
  ])('%j: %s', (block, expected) => {
    expect(validate(block)).toBe(expected);
  });
});
