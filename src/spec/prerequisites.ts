import { classifyRuntime } from '../policy/runtimes.js';
import { isKernelAtLeast } from './host.js';

/** One thing that sessions stand on. */
export interface HostCheck {
  /** Such as `containerd`, `init` or `seccomp`. */
  name: string;
  /** `warning`: sessions run, less well or less safely than they could. */
  state: 'ok' | 'warning' | 'failed';
  /** What was found. */
  found: string;
  /** What to do about it; undefined where the state is `ok`. */
  remedy?: string;
}

/** A program of the host, with the first line of what its `--version` says, or why it says none, where it was asked. */
export interface ProgramFacts {
  path: string;
  says?: string;
  problem?: string;
}

/**
 * What is found of a runtime on a host. Paths are as containerd sees them; undefined is what is not there. A device is
 * undefined when it can be opened, else it is the error of the attempt, such as `ENOENT`.
 */
export interface RuntimeFacts {
  kernel: string;
  shim: string | undefined;
  /** The places are containerd's own, so that what is not there is not there for it; else they are guesses. */
  isCertain: boolean;
  /** What runc's shim runs: runc, or the program that was chosen instead. */
  runc?: ProgramFacts | undefined;
  kvm: string | undefined;
  vsock: string | undefined;
  /** The processor has VT-x, SVM, or is of a kind whose flags do not tell. */
  virtualization: boolean;
  /** Kata's configuration: the one that was found, or what was looked for. */
  configuration: { path: string; isThere: boolean };
  /** Programs that a network namespace needs, which Kata has to be given, and that are not there. */
  missingTools: string[];
  /** Whether systemd runs this host; undefined where control groups are not to be its. */
  systemd?: boolean | undefined;
  /** Outcome of `kata-runtime check`; undefined where it was not run. */
  kataCheck?: { passed: boolean; says: string } | undefined;
}

/** File name of the shim of a runtime: `io.containerd.NAME.VERSION` is `containerd-shim-NAME-VERSION` to containerd. */
export function nameShim(runtime: string): string {
  if (runtime.startsWith('/')) return runtime;
  if (!runtime.includes('.')) return `containerd-shim-${runtime}-v2`;
  return `containerd-shim-${runtime.split('.').slice(-2).join('-')}`;
}

/** `configuration-qemu.toml` for `io.containerd.kata-qemu.v2`; the plain one for Kata's default hypervisor. */
export function nameKataConfiguration(runtime: string): string {
  const hypervisor = /kata-([a-z0-9-]+)/.exec(nameShim(runtime).replace(/-v\d+$/, ''))?.[1];
  return hypervisor === undefined ? 'configuration.toml' : `configuration-${hypervisor}.toml`;
}

/** 1.6 is the oldest that is tested; 1.5 lacks what creations rely on. */
export function checkContainerd(version: string): HostCheck {
  const [major = Number.NaN, minor = Number.NaN] = version.replace(/^v/, '').split('.').map(Number.parseFloat);
  const isKnown = Number.isFinite(major) && Number.isFinite(minor);
  return judge('containerd', isKnown && (major > 1 || (major === 1 && minor >= 6)), {
    found: `containerd ${version}`,
    remedy: isKnown ? 'install containerd 1.6 or later' : 'see that it is 1.6 or later, as its version does not tell',
    otherwise: isKnown ? 'failed' : 'warning',
  });
}

/** What a runtime stands on, each with what was found and, where it is missing, how to get it. */
export function checkRuntime(runtime: string, facts: RuntimeFacts): HostCheck[] {
  const kind = classifyRuntime(runtime);
  const known = facts.isCertain ? 'on the PATH of containerd' : 'in the usual places';
  const place = runtime.startsWith('/') ? 'at its path' : known;
  const shim = judge(`shim of ${runtime}`, facts.shim !== undefined, {
    found: facts.shim ?? `no ${nameShim(runtime)} ${place}`,
    remedy: tellShim(runtime),
    // Where containerd's own places could not be read, it may find what was not found here.
    otherwise: facts.isCertain ? 'failed' : 'warning',
  });
  if (kind === 'runc') return [shim, checkRunc(facts), ...checkSystemd(facts)];
  return kind === 'kata' ? [shim, ...checkKata(facts)] : [shim];
}

/** How to get a shim. */
export function tellShim(runtime: string): string {
  const shim = nameShim(runtime);
  if (shim.startsWith('/')) return `install ${shim}, or name the runtime as io.containerd.NAME.VERSION`;
  const place = `${shim} into a directory on the PATH of containerd, such as /usr/local/bin`;
  return classifyRuntime(runtime) === 'kata'
    ? `install Kata Containers 3 or later and link ${place}`
    : `install ${place}`;
}

function checkSystemd({ systemd }: RuntimeFacts): HostCheck[] {
  if (systemd === undefined) return [];
  const found = systemd ? 'the init of this host' : 'systemd is not the init of this host: no /run/systemd/system';
  const remedy = 'drop runtimeOptions.systemdCgroup, or set it where systemd runs';
  return [judge('systemd', systemd, { found, remedy })];
}

function checkKata(facts: RuntimeFacts): HostCheck[] {
  const { kernel, kvm, vsock, virtualization, configuration, missingTools, kataCheck } = facts;
  const { path, isThere } = configuration;
  const checks = [
    judge('kernel', isKernelAtLeast(kernel, 5, 10), { found: kernel, remedy: 'boot a kernel of at least 5.10' }),
    judge('virtualization', virtualization, {
      found: virtualization ? 'not ruled out by the processor' : 'neither vmx nor svm among the flags of the processor',
      remedy: remedies.virtualization,
      // A hypervisor may hide the flags; the device cannot be opened without them.
      otherwise: kvm === undefined ? 'warning' : 'failed',
    }),
    judge('/dev/kvm', kvm === undefined, { found: tellDevice(kvm), remedy: remedies.kvm }),
    judge('/dev/vhost-vsock', vsock === undefined, { found: tellDevice(vsock), remedy: remedies.vsock }),
    judge('kata configuration', isThere, {
      found: isThere ? path : `no ${path}`,
      remedy: tellConfiguration(path),
    }),
    judge('network tools', missingTools.length === 0, {
      found: missingTools.length === 0 ? 'unshare, ip, umount' : `no ${missingTools.join(', ')}`,
      remedy: 'install util-linux and iproute2',
    }),
  ];
  if (kataCheck === undefined) return checks;
  const remedy = 'see what kata-runtime check --verbose says';
  const { passed, says: found } = kataCheck;
  return [...checks, judge('kata-runtime check', passed, { found, remedy, otherwise: 'warning' })];
}

/** How to get a configuration of that name, or at that path. */
export function tellConfiguration(file: string): string {
  return `install Kata Containers, or put ${file.startsWith('/') ? 'one there' : `${file} into /etc/kata-containers`}`;
}

/** What to do about a part that Kata lacks, whether it is found missing before a creation or by one. */
export const remedies = {
  virtualization: 'enable VT-x or SVM in the firmware, or nested virtualization where this host is a machine itself',
  kvm: 'load the module kvm_intel or kvm_amd, and let the daemon read and write /dev/kvm',
  vsock: 'load the module vhost_vsock',
} as const;

function tellDevice(error: string | undefined): string {
  if (error === undefined) return 'can be opened';
  if (error === 'ENOENT') return 'not there';
  return `there, but cannot be opened: ${error}`;
}

/** Of runc's advisories, those that let a container reach its host. Distributions fix older versions without a new number. */
const runcFixes: { cves: string; isFixed: (minor: number, patch: number) => boolean; since: string }[] = [
  { cves: 'CVE-2024-21626', since: '1.1.12', isFixed: (minor, patch) => minor > 1 || (minor === 1 && patch >= 12) },
  {
    cves: 'CVE-2025-31133, CVE-2025-52565, CVE-2025-52881',
    since: '1.2.8 or 1.3.3',
    isFixed: (minor, patch) => minor > 3 || (minor === 3 && patch >= 3) || (minor === 2 && patch >= 8),
  },
];

function checkRunc({ runc, isCertain }: RuntimeFacts): HostCheck {
  if (runc === undefined) {
    const remedy = 'install runc into a directory on the PATH of containerd';
    const found = `no runc ${isCertain ? 'on the PATH of containerd' : 'in the usual places'}`;
    return { name: 'runc', state: isCertain ? 'failed' : 'warning', found, remedy };
  }
  const { path, says, problem } = runc;
  if (says === undefined) {
    const found = problem === undefined ? path : `${path}: ${problem}`;
    const remedy = `see that ${path} --version works`;
    return judge('runc', problem === undefined, { found, remedy, otherwise: 'warning' });
  }
  const version = /^runc version (\S+)/.exec(says)?.[1];
  // Another program, such as crun, with advisories of its own.
  if (version === undefined) return { name: 'runc', state: 'ok', found: `${path}: ${says}` };
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  const open = major > 1 ? [] : runcFixes.filter(({ isFixed }) => major < 1 || !isFixed(minor, patch));
  const list = open.map(({ cves, since }) => `${cves} (${since})`).join(', ');
  const remedy = `update runc, or see that its package has the fixes of ${list}`;
  return judge('runc', open.length === 0, { found: version, remedy, otherwise: 'warning' });
}

/** A check with its remedy where it does not hold. */
export function judge(
  name: string,
  holds: boolean,
  {
    found,
    remedy,
    otherwise = 'failed',
  }: { found: string; remedy: string; otherwise?: Exclude<HostCheck['state'], 'ok'> },
): HostCheck {
  return holds ? { name, state: 'ok', found } : { name, state: otherwise, found, remedy };
}
