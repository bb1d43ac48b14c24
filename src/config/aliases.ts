import { CapabilityMismatchError, createInputError } from '../core/error.js';
import type { ContainerConfig, Deprecation, IsolationConfig } from './types.js';

const KATA = 'io.containerd.kata.v2';
/** The hypervisors that Kata packages a shim of its own for, by every name that is in use for them. */
const backends: Record<string, string> = {
  containerd: KATA,
  qemu: 'io.containerd.kata-qemu.v2',
  clh: 'io.containerd.kata-clh.v2',
  'cloud-hypervisor': 'io.containerd.kata-clh.v2',
  fc: 'io.containerd.kata-fc.v2',
  firecracker: 'io.containerd.kata-fc.v2',
  dragonball: 'io.containerd.kata-dragonball.v2',
};

/** What the block says in today's names. Today's name wins over an old one that says the same. */
export function replaceAliases(config: IsolationConfig, warn: (deprecation: Deprecation) => void): ContainerConfig {
  const { provider, containerOptions = {}, dockerOptions, kata, dockerImage } = config;
  const { cli, ...options } = containerOptions;
  const isKata = provider === 'kata';
  refuseArguments(dockerOptions?.extraArgs ?? []);
  const runtime = options.runtime ?? (isKata ? chooseKata(kata) : undefined);
  const image = options.image ?? (isKata ? kata?.image : dockerOptions?.image) ?? dockerImage;

  const tell = (code: string, old: string, now: string) =>
    warn({ code: `CADRE_CONTAINERD_${code}`, message: `isolation.${old} is deprecated: ${now}` });
  const useContainerd = (name: string) => `use "containerd" with isolation.containerOptions.runtime "${name}"`;
  if (provider === 'docker') {
    const note = "images of a Docker engine's own store are not visible in containerd";
    tell('DOCKER', 'provider "docker"', `${useContainerd(runtime ?? 'runc')}; ${note}`);
  }
  if (isKata) tell('KATA', 'provider "kata"', useContainerd(runtime ?? KATA));
  if (dockerOptions) tell('DOCKER_OPTIONS', 'dockerOptions', describeUse(!isKata, 'isolation.containerOptions.image'));
  if (kata) {
    tell('KATA_OPTIONS', 'kata', describeUse(isKata, 'isolation.containerOptions.image and .runtime'));
  }
  if (dockerImage !== undefined) tell('DOCKER_IMAGE', 'dockerImage', 'use isolation.containerOptions.image');
  if (cli !== undefined) tell('CLI', 'containerOptions.cli', 'it is ignored, as no command line tool is called');
  return { ...options, ...(image === undefined ? {} : { image }), ...(runtime === undefined ? {} : { runtime }) };
}

function describeUse(isUsed: boolean, now: string): string {
  return `${isUsed ? '' : 'it is not used by this provider; '}use ${now}`;
}

/** A shim's own path is a runtime to containerd; `kata-runtime` is another program, which no one calls any more. */
function chooseKata({ runtimePath = '', backend = 'containerd' }: NonNullable<IsolationConfig['kata']> = {}): string {
  const chosen = Object.hasOwn(backends, backend) ? backends[backend] : undefined;
  if (chosen === undefined) {
    const expected = `one of ${Object.keys(backends).join(', ')}`;
    throw createInputError('configuration', [{ path: 'isolation.kata.backend', value: backend, expected }]);
  }
  return /^\/.*\/containerd-shim-[\w-]+$/.test(runtimePath) ? runtimePath : chosen;
}

/** Arguments of a command line that is not called any more: what they asked for would be dropped. */
function refuseArguments(args: readonly string[]): void {
  if (args.length === 0) return;
  const expected = 'the same as fields of the policy, as no command line tool is called';
  throw new CapabilityMismatchError('containerd', [
    { path: 'isolation.dockerOptions.extraArgs', value: args, expected },
  ]);
}
