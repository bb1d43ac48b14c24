import type { ErrorCode } from '../core/error.js';
import { remedies, tellConfiguration, tellShim } from './prerequisites.js';

/** Why a session's init could not be made, in place of a shim's own words. */
export interface FailureCause {
  /** What is at fault. */
  part:
    | 'shim'
    | 'runtime name'
    | 'runtime binary'
    | 'configuration'
    | 'vsock'
    | 'kvm'
    | 'agent'
    | 'hypervisor'
    | 'network'
    | 'annotation'
    | 'sandbox'
    | 'limit'
    | 'control groups';
  code: ErrorCode;
  message: string;
  remedy: string;
}

/** In which words a failure is told, and what they mean; groups of the pattern are the arguments. */
type Known = [
  pattern: RegExp,
  explain: (first: string, second: string) => Omit<FailureCause, 'code'>,
  code?: ErrorCode,
];

// include/uapi/asm-generic/resource.h, by number
const rlimits =
  'cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime'.split(' ');

const agentRemedy =
  'see that kernel and image in the configuration of Kata are there and fit each other, that the machine has enough memory, and raise dial_timeout where the host is slow';

/**
 * The words of containerd 1.6, 1.7 and 2.1, of runc, of Kata's Go shim up to 4.1 and its Rust shim, and of what they start.
 * They come as code UNKNOWN, except that Kata's want of a configuration comes as NOT_FOUND and is no missing container.
 */
const known: Known[] = [
  [
    /runtime "([^"]+)" binary not installed "([^"]+)"/,
    (runtime, shim) => ({
      part: 'shim',
      message: `containerd finds no ${shim}, the shim of ${runtime}`,
      remedy: tellShim(runtime),
    }),
  ],
  [
    /invalid custom binary path: (?:stat )?(\S+):? /,
    (path) => ({
      part: 'shim',
      message: `containerd finds no shim at ${path.replace(/:$/, '')}`,
      remedy: tellShim(path),
    }),
  ],
  [
    /invalid runtime name (\S+), correct runtime name/,
    (name) => ({
      part: 'runtime name',
      message: `${name} is the name of no runtime`,
      remedy: 'name it runc, kata, io.containerd.NAME.VERSION, or the absolute path of a shim',
    }),
    'invalid-argument',
  ],
  [
    // With the first words it is the shim that misses a program; without them it is the session's own command.
    /unable to retrieve OCI runtime error .*: (?:fork\/exec|exec:) "?([^":]+)"?: (.+)/,
    (program, reason) => ({
      part: 'runtime binary',
      message: `the shim cannot run ${program}: ${reason}`,
      remedy: `install ${program} where containerd finds it, or name another program as runtimeBinary`,
    }),
  ],
  [
    /Cannot find usable config file/i,
    () => ({
      part: 'configuration',
      message: 'Kata finds no configuration',
      remedy: tellConfiguration('configuration.toml'),
    }),
  ],
  [
    /host system doesn't support vsock|open \/dev\/vhost-vsock: /,
    () => ({ part: 'vsock', message: 'Kata cannot open /dev/vhost-vsock', remedy: remedies.vsock }),
  ],
  [
    // Dragonball, the Rust shim's own hypervisor, tells the step and not the file.
    /Could not access KVM kernel module|failed to initialize kvm|open \/dev\/kvm: |start vmm server[\s\S]*os error (?:2|13)\b/i,
    () => ({ part: 'kvm', message: 'the hypervisor of Kata cannot use /dev/kvm', remedy: remedies.kvm }),
  ],
  [
    /timed out connecting to (?:hybrid )?vsock|Failed to check if grpc server is working/i,
    () => ({ part: 'agent', message: 'the agent in the virtual machine does not answer', remedy: agentRemedy }),
    'deadline-exceeded',
  ],
  [
    /failed to launch (qemu|cloud-hypervisor|firecracker)/i,
    (name) => ({
      part: 'hypervisor',
      message: `Kata cannot start ${name}`,
      remedy: `see that its path in the configuration of Kata is right, and what the log of containerd says of ${name}`,
    }),
    'unknown',
  ],
  [
    /Host networking requested, not supported by/,
    () => ({
      part: 'network',
      message: 'Kata has no part in the network of the host',
      remedy: 'give the session a network namespace of its own, as networkMode none does',
    }),
  ],
  [
    /annotation (\S+) is not enabled/,
    (name) => ({
      part: 'annotation',
      message: `this host does not let sessions set ${name}`,
      remedy: `add "${name.split('.').at(-1)}" to enable_annotations in the configuration of Kata`,
    }),
  ],
  [
    /Could not find sandbox ID/,
    () => ({
      part: 'sandbox',
      message: 'Kata takes the session for a part of a pod',
      remedy: 'drop the annotation io.kubernetes.cri.container-type',
    }),
  ],
  [
    /error setting rlimit type (\d+)/,
    (type) => ({
      part: 'limit',
      message: `the hard limit of ${rlimits[Number(type)] ?? type} in resources.ulimits is above what containerd itself has on this host`,
      remedy: 'ask for less, or raise the limit of containerd',
    }),
  ],
  [
    /systemd not running on this host/,
    () => ({
      part: 'control groups',
      message: 'systemd is not the init of this host, and makes no control groups here',
      remedy: 'drop runtimeOptions.systemdCgroup, or set it where systemd runs',
    }),
  ],
];

/** What the words of a failed creation or start come from; undefined where they are not known. */
export function explainFailure(text: string): FailureCause | undefined {
  for (const [pattern, explain, code = 'failed-precondition'] of known) {
    const [match, first = '', second = ''] = pattern.exec(text) ?? [];
    if (match !== undefined) return { code, ...explain(first, second) };
  }
  return undefined;
}
