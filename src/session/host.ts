import { existsSync, readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../core/program.js';
import { listLacks, listWallLacks } from '../network/prerequisites.js';
import { assumeLinux, type HostFacts, isKernelAtLeast } from '../spec/host.js';
import { hasSeccomp } from '../spec/seccomp.js';

const CGROUP = '/sys/fs/cgroup';
const BLOCK = '/sys/block';
/** Beside PATH: where Debian and podman's packages put it. */
const initPlaces = ['/usr/bin', '/usr/local/bin', '/usr/libexec/podman', '/usr/lib/podman', '/usr/libexec/catatonit'];

/** Looks at the host that this process runs on. Elsewhere than on Linux an ordinary one is assumed, to plan for. */
export function readHostFacts(): HostFacts {
  if (process.platform !== 'linux') return assumeLinux(process.arch, countCpus(), os.totalmem());
  const cgroup = readCgroupMode();
  return {
    cgroup,
    cpus: countCpus(),
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    arch: process.arch,
    seccomp: existsSync('/proc/sys/kernel/seccomp/actions_avail') && hasSeccomp(process.arch),
    apparmor: readText('/sys/module/apparmor/parameters/enabled') === 'Y',
    // user_namespaces(7): 0 forbids them.
    userns: Number(readText('/proc/sys/user/max_user_namespaces')) > 0,
    // "overlayfs: support idmapped layers" is of Linux 5.19.
    idmap: isKernelAtLeast(os.release(), 5, 19),
    ioWeight: hasBfq(readSchedulers()),
    network: listLacks().length === 0,
    allowlist: listWallLacks().length === 0,
    swapAccounting: hasSwapAccounting(cgroup),
    initPath: findInit(),
  };
}

let cpus: number | undefined;

/** Once: the kernel takes a third of a millisecond to describe them. */
function countCpus(): number {
  cpus ??= os.cpus().length;
  return cpus;
}

/** Empty where there is no such file: the kernel was built without. */
function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
}

function readCgroupMode(): HostFacts['cgroup'] {
  if (existsSync(join(CGROUP, 'cgroup.controllers'))) return 'v2';
  return existsSync(join(CGROUP, 'unified')) ? 'hybrid' : 'v1';
}

/** Of every disk; what lies on top of disks has no scheduler of its own, and what only reads none that matters. */
function readSchedulers(): string[] {
  if (!existsSync(BLOCK)) return [];
  const disks = readdirSync(BLOCK).filter(
    (name) => !/^(sr|fd)\d/.test(name) && existsSync(join(BLOCK, name, 'device')),
  );
  return disks.map((name) => readText(join(BLOCK, name, 'queue/scheduler')));
}

/**
 * Of the kernel's schedulers bfq alone looks at weights (Documentation/block/bfq-iosched.rst); runtimes write those of
 * iocost, which is none, only where there is no bfq. The one in use is in brackets.
 */
export function hasBfq(schedulers: readonly string[]): boolean {
  return schedulers.length > 0 && schedulers.every((scheduler) => scheduler.includes('[bfq]'));
}

/** The root of v2 has no limits of its own, its children do. */
function hasSwapAccounting(cgroup: HostFacts['cgroup']): boolean {
  if (cgroup !== 'v2') return existsSync(join(CGROUP, 'memory/memory.memsw.limit_in_bytes'));
  return readdirSync(CGROUP).some((name) => existsSync(join(CGROUP, name, 'memory.swap.max')));
}

/** catatonit: static, so that it runs in any root file system, and able to wait with no command at all. */
function findInit(): string | undefined {
  return findProgram('catatonit', initPlaces);
}
