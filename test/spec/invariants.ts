import type { ResolvedPolicy } from '../../src/policy/types.js';
import { INIT_PATH } from '../../src/spec/mounts.js';
import type { OciSpec } from '../../src/spec/types.js';

/** What holds of every spec, whatever was asked: each by name, with what a reader of a failure needs to know. */
export const invariants: Record<string, (spec: OciSpec, policy: ResolvedPolicy) => boolean> = {
  'every namespace is new, none is joined': ({ linux }) =>
    ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'].every((type) =>
      linux.namespaces.some((namespace) => namespace.type === type && namespace.path === undefined),
    ),
  "a user namespace is there where it was asked for, and maps none of the host's own accounts": ({ linux }, policy) => {
    const has = linux.namespaces.some(({ type }) => type === 'user');
    const maps = [...(linux.uidMappings ?? []), ...(linux.gidMappings ?? [])];
    const isApart = maps.every(({ containerID, hostID }) => containerID === 0 && hostID >= 65_536);
    return has === (policy.userns !== undefined) && maps.length === (has ? 2 : 0) && isApart;
  },
  'privileges are only gained where that was asked for': ({ process }, policy) =>
    process.noNewPrivileges === policy.noNewPrivileges,
  'calls are filtered unless unconfined was asked for': ({ linux }, { seccomp }) =>
    (linux.seccomp === undefined) === (seccomp === 'unconfined'),
  'the filter refuses what it does not name, and is of one architecture': ({ linux: { seccomp } }) =>
    seccomp === undefined || (seccomp.defaultAction === 'SCMP_ACT_ERRNO' && seccomp.architectures.length === 1),
  'no capability beyond the defaults and what was added': ({ process }, policy) => {
    const added = policy.capabilities.add.map((name) => `CAP_${name.toUpperCase().replace(/^CAP_/, '')}`);
    return process.capabilities.bounding.every((name) => defaults.includes(name) || added.includes(name));
  },
  'what was dropped is in no set': ({ process }, { capabilities }) => {
    const dropped = capabilities.drop.map((name) => `CAP_${name.toUpperCase().replace(/^CAP_/, '')}`);
    return Object.values(process.capabilities).every((set) => !set.some((name: string) => dropped.includes(name)));
  },
  'the number of processes is limited': ({ linux }) => (linux.resources.pids?.limit ?? 0) > 0,
  'devices are denied but for those that are listed': ({ linux }) =>
    linux.resources.devices?.[0]?.allow === false && linux.resources.devices[0].access === 'rwm',
  'swap is limited with memory': ({ linux: { resources } }) =>
    resources.memory?.limit === undefined || (resources.memory.swap ?? -1) >= resources.memory.limit,
  'the kernel is masked': ({ linux }) =>
    ['/proc/kcore', '/proc/keys', '/sys/firmware', '/proc/kallsyms'].every((path) => linux.maskedPaths.includes(path)),
  'the kernel cannot be set': ({ linux }) =>
    ['/proc/sys', '/proc/sysrq-trigger'].every((path) => linux.readonlyPaths.includes(path)),
  'sysfs and control groups are read-only': ({ mounts }) =>
    mounts.filter(({ type }) => type === 'sysfs' || type === 'cgroup').every(({ options }) => options.includes('ro')),
  'no bind but of the init and of what was resolved': ({ mounts }) =>
    mounts
      .filter(({ type, options }) => type === 'bind' || options.includes('bind') || options.includes('rbind'))
      .every(({ destination, source }) => destination === INIT_PATH || source.startsWith('/srv/')),
  'no mount of a user has set-user-id programs or devices': ({ mounts }) =>
    mounts.slice(8).every(({ options }) => options.includes('nosuid') && options.includes('nodev')),
  'every tmpfs of a user is bounded': ({ mounts }) =>
    mounts.filter(({ type }) => type === 'tmpfs').every(({ options }) => options.some((o) => o.startsWith('size='))),
  'the root is read-only where that was asked for': ({ root }, { readOnlyRootfs }) => root.readonly === readOnlyRootfs,
  'the working directory is absolute, clean and not below /proc': ({ process }) =>
    /^\/(?!proc(\/|$))/.test(process.cwd) && !process.cwd.split('/').includes('..'),
  'no text has a NUL': (spec) => !JSON.stringify(spec).includes('\\u0000'),
  'no secret that is a file is in it': (spec, { secrets }) => {
    const text = JSON.stringify(spec);
    return secrets.every(({ value, as }) => as === 'env' || value.length < 12 || !text.includes(value));
  },
  'no annotation and no hook': (spec) => !('annotations' in spec) && !('hooks' in spec),
};

const defaults = 'CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETGID SETUID'
  .split(' ')
  .map((name) => `CAP_${name}`);
