import { classifyRuntime } from '../policy/runtimes.js';
import { isKernelAtLeast } from './host.js';

/** One thing that sessions stand on. */
export interface HostCheck {
  name: string;
  /** `warning`: sessions run, less well or less safely than they could. */
  state: 'ok' | 'warning' | 'failed';
  /** What was found. */
  found: string;
  /** What to do about it; undefined where the state is `ok`. */
  remedy?: string;
}

/** What is found of a runtime on a host. Paths are as the host has them; undefined is what is not there. */
export interface RuntimeFacts {
  kernel: string;
  /** Of the shim, as the PATH of this process has it; the daemon's may differ. */
  shim: string | undefined;
  /** As `runc --version` prints it, such as `1.1.5+ds1`. */
  runc?: string | undefined;
  /** The device can be read and written. */
  kvm: boolean;
  vsock: boolean;
  /** The processor has VT-x, SVM, or is of a kind whose flags do not tell. */
  virtualization: boolean;
  /** Kata's configuration. */
  configuration: string | undefined;
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

/** What a runtime stands on, each with what was found and, where it is missing, how to get it. */
export function checkRuntime(runtime: string, facts: RuntimeFacts): HostCheck[] {
  const kind = classifyRuntime(runtime);
  const shim = judge(`shim of ${runtime}`, facts.shim !== undefined, {
    found: facts.shim ?? `no ${nameShim(runtime)} on PATH`,
    remedy: `install ${nameShim(runtime)} into a directory on the PATH of containerd`,
    // The daemon has a PATH of its own, and runc's shim comes with the daemon.
    otherwise: kind === 'runc' ? 'warning' : 'failed',
  });
  if (kind === 'runc') return [shim, checkRunc(facts.runc)];
  const supported: HostCheck = {
    name: `sessions on ${runtime}`,
    state: 'failed',
    found: 'this version runs sessions with runc alone',
    remedy: 'use the runtime runc',
  };
  return kind === 'kata' ? [shim, ...checkKata(runtime, facts), supported] : [shim, supported];
}

function checkKata(runtime: string, { kernel, kvm, vsock, virtualization, configuration }: RuntimeFacts): HostCheck[] {
  const file = nameKataConfiguration(runtime);
  return [
    judge('kernel', isKernelAtLeast(kernel, 5, 10), { found: kernel, remedy: 'boot a kernel of at least 5.10' }),
    judge('virtualization', virtualization, {
      found: virtualization ? 'not ruled out by the processor' : 'neither vmx nor svm among the flags of the processor',
      remedy: 'enable VT-x or SVM in the firmware, or nested virtualization where this host is a machine itself',
    }),
    judge('/dev/kvm', kvm, {
      found: kvm ? 'can be opened' : 'not there, or not to be read and written',
      remedy: 'load the module kvm_intel or kvm_amd',
    }),
    judge('/dev/vhost-vsock', vsock, {
      found: vsock ? 'can be opened' : 'not there, or not to be read and written',
      remedy: 'load the module vhost_vsock',
    }),
    judge('kata configuration', configuration !== undefined, {
      found: configuration ?? `no ${file}`,
      remedy: `install Kata Containers, or put ${file} into /etc/kata-containers`,
    }),
  ];
}

/** CVE-2025-31133, -52565 and -52881 are fixed in 1.2.8 and 1.3.3; distributions fix older ones without a new number. */
function checkRunc(version: string | undefined): HostCheck {
  if (version === undefined) {
    const remedy = 'install runc, or see that the PATH of containerd has it';
    return { name: 'runc', state: 'warning', found: 'no runc on PATH', remedy };
  }
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  const isFixed =
    major > 1 || (major === 1 && (minor > 3 || (minor === 3 && patch >= 3) || (minor === 2 && patch >= 8)));
  const remedy =
    'update runc to 1.2.8, 1.3.3 or later, or see that its package has the fixes of CVE-2025-31133, -52565 and -52881';
  return judge('runc', isFixed, { found: version, remedy, otherwise: 'warning' });
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
