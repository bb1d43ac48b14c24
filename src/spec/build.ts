import { CapabilityMismatchError, createInputError, DriverError } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { buildCapabilities } from './capabilities.js';
import { checkArguments, checkEnv, checkTotal, mergeEnv } from './environment.js';
import type { HostFacts } from './host.js';
import { type ImageConfig, readImageConfig } from './image-config.js';
import { buildInitArguments, requireInit, type SupervisorPlace } from './init.js';
import { type Bind, buildMounts, listMaskedPaths, listReadonlyPaths } from './mounts.js';
import { buildResources, buildRlimits } from './resources.js';
import { buildSeccomp } from './seccomp.js';
import type { OciCapabilities, OciSeccomp, OciSpec, OciUser } from './types.js';
import { buildIdMappings, checkMapped } from './userns.js';

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
  /** Of the host's files; the policy's own mounts name sources that are not resolved yet. */
  binds?: readonly Bind[];
  /** Where commands begin. Defaults to the image's working directory. */
  cwd?: string | undefined;
  /** Path of the network namespace, or `host` for the host's. Defaults to a new one, which holds loopback alone. */
  netns?: string | undefined;
  /** Content of the file that the policy names. */
  seccomp?: OciSeccomp | undefined;
  /** What runc's shim runs in its place. */
  runtimeBinary?: string | undefined;
  /** Of the shim's, see `annotateGroup`. */
  annotations?: Readonly<Record<string, string>>;
  /** The supervisor as the session's init: its program, and where it is reached. Defaults to the host's init. */
  supervisor?: { path: string; place: SupervisorPlace } | undefined;
}

/** Throws `invalid-argument` for a command or an environment that no process can be given, with every fault. */
export function checkSpecInput({ command = [], env }: Pick<SpecInput, 'command' | 'env'>): void {
  const faults = [...checkArguments('command', command), ...checkEnv(env)];
  if (faults.length === 0) faults.push(...checkTotal(command, mergeEnv([], env), []));
  if (faults.length > 0) throw createInputError('session', faults);
}

/** Of a terminal that nobody has attached to. */
const TTY_SIZE = { width: 80, height: 24 };

const namespaces = ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'];

/**
 * The OCI document of a session. Pure: what it depends on of the host comes in as a value. Throws `invalid-argument`
 * for an image that asks for what no process can be given, and CapabilityMismatchError where calls cannot be filtered.
 */
export function buildSpec(input: SpecInput): OciSpec {
  const { policy, image, host, hostname, cgroupsPath, user, command, tty = false, env, binds, netns } = input;
  const initPath = requireInit(input.supervisor === undefined ? host.initPath : input.supervisor.path);
  const { env: imageEnv, cwd } = readImageConfig(image);
  const args = buildInitArguments(command, input.supervisor?.place);
  const merged = mergeEnv(imageEnv, tty ? { TERM: 'xterm', ...env } : env);
  const capabilities = buildCapabilities(policy.capabilities);
  const rlimits = buildRlimits(policy);
  const faults = [...checkTotal(args, merged, rlimits), ...checkMapped(user, policy.userns?.size)];
  if (faults.length > 0) throw createInputError('session', faults);
  const seccomp = input.seccomp ?? chooseSeccomp(policy, host, capabilities);
  return {
    ociVersion: '1.0.2',
    ...(input.annotations === undefined ? {} : { annotations: input.annotations }),
    process: {
      ...(tty ? { terminal: true, consoleSize: TTY_SIZE } : {}),
      user,
      args,
      env: merged,
      cwd: input.cwd ?? cwd,
      capabilities,
      rlimits,
      noNewPrivileges: policy.noNewPrivileges,
      // Always said: what is not is inherited from containerd, which services keep from the kernel's choice.
      // Before 1.9 crun passes over a 0 and leaves what the shim has, -998 below a service: the next score is as good.
      oomScoreAdj: policy.resources.oomScoreAdj || (input.runtimeBinary === undefined ? 0 : 1),
      ...(policy.apparmor === undefined ? {} : { apparmorProfile: policy.apparmor }),
    },
    root: { path: 'rootfs', readonly: policy.readOnlyRootfs },
    hostname,
    mounts: buildMounts(policy, initPath, binds),
    linux: {
      cgroupsPath,
      namespaces: listNamespaces(policy, netns),
      ...(policy.userns === undefined ? {} : buildIdMappings(policy.userns)),
      resources: buildResources(policy, host),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(Object.keys(policy.sysctls).length === 0 ? {} : { sysctl: policy.sysctls }),
      maskedPaths: listMaskedPaths(host.cpus),
      readonlyPaths: listReadonlyPaths(host.cgroup),
    },
  };
}

function listNamespaces({ userns }: ResolvedPolicy, netns: string | undefined): { type: string; path?: string }[] {
  const all = [...namespaces, ...(userns === undefined ? [] : ['user'])];
  return all.flatMap((type) => {
    if (type !== 'network' || netns === undefined) return [{ type }];
    return netns === 'host' ? [] : [{ type, path: netns }];
  });
}

/** No filter only where none was asked for: one that cannot be had is a mismatch, never left out. */
function chooseSeccomp(policy: ResolvedPolicy, host: HostFacts, capabilities: OciCapabilities): OciSeccomp | undefined {
  const { seccomp: asked } = policy;
  if (asked === 'unconfined') return undefined;
  if (typeof asked === 'object')
    throw new DriverError('failed-precondition', `seccomp profile ${asked.path} was not read`);
  const profile = host.seccomp ? buildSeccomp(host.arch, capabilities.bounding, asked) : undefined;
  if (profile !== undefined) return profile;
  const expected = `unconfined, as this host (${host.arch}) cannot filter system calls`;
  throw new CapabilityMismatchError('containerd', [{ path: 'seccomp', value: asked, expected }]);
}
