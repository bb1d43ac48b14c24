import { createInputError, DriverError } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { buildCapabilities } from './capabilities.js';
import { checkArguments, checkEnv, mergeEnv } from './environment.js';
import type { HostFacts } from './host.js';
import { buildMounts, INIT_PATH, listMaskedPaths, readonlyPaths } from './mounts.js';
import { buildResources, buildRlimits } from './resources.js';
import { buildSeccomp } from './seccomp.js';
import type { OciSpec, OciUser } from './types.js';

/** What an image says of its processes (image-spec, config.md). */
export interface ImageConfig {
  User?: string | undefined;
  Env?: string[] | undefined;
  WorkingDir?: string | undefined;
}

export interface SpecInput {
  policy: ResolvedPolicy;
  image: ImageConfig;
  host: HostFacts;
  hostname: string;
  cgroupsPath: string;
  user: OciUser;
  /** The session's own command; without one the init only keeps the session alive. */
  command?: readonly string[] | undefined;
  /** Gives the command a terminal. */
  tty?: boolean;
  env: Readonly<Record<string, string>>;
}

/** Throws `invalid-argument` for a command or an environment that no process can be given, with every fault. */
export function checkSpecInput({ command = [], env }: Pick<SpecInput, 'command' | 'env'>): void {
  const faults = [...checkArguments('command', command), ...checkEnv(env)];
  if (faults.length > 0) throw createInputError('session', faults);
}

/** Of a terminal that nobody has attached to. */
const TTY_SIZE = { width: 80, height: 24 };

/** The command that a session's document was built with; empty where it only keeps itself alive. */
export function listCommand({ process }: OciSpec): string[] {
  const [, separator, ...command] = process.args;
  return separator === '--' ? command : [];
}

/** The OCI document of a session. Pure: what it depends on of the host comes in as a value. */
export function buildSpec(input: SpecInput): OciSpec {
  const { policy, image, host, hostname, cgroupsPath, user, command, tty = false, env } = input;
  if (host.initPath === undefined) {
    throw new DriverError('failed-precondition', 'no static init was found on this host: install catatonit');
  }
  const { oomScoreAdj } = policy.resources;
  const seccomp = policy.seccomp === 'default' ? buildSeccomp(host.arch) : undefined;
  return {
    ociVersion: '1.0.2',
    process: {
      ...(tty ? { terminal: true, consoleSize: TTY_SIZE } : {}),
      user,
      // A session without a command needs nothing of its image: -P only waits and reaps.
      args: command === undefined ? [INIT_PATH, '-P'] : [INIT_PATH, '--', ...command],
      env: mergeEnv(image.Env ?? [], tty ? { TERM: 'xterm', ...env } : env),
      cwd: image.WorkingDir || '/',
      capabilities: buildCapabilities(policy.capabilities),
      rlimits: buildRlimits(policy),
      noNewPrivileges: policy.noNewPrivileges,
      ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
    },
    root: { path: 'rootfs', readonly: policy.readOnlyRootfs },
    hostname,
    mounts: buildMounts(policy, host.initPath),
    linux: {
      cgroupsPath,
      // The network namespace is new and stays empty but for loopback.
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'].map((type) => ({ type })),
      resources: buildResources(policy, host),
      ...(seccomp === undefined ? {} : { seccomp }),
      maskedPaths: listMaskedPaths(host.cpus),
      readonlyPaths,
    },
  };
}
