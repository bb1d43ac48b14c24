/** Changes to a session behind our back, through the kernel alone. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Tampering {
  what: string;
  /** Every check that must fail, and no other may. */
  fields: string[];
  /** Why this host cannot have it. */
  lacks?: string | undefined;
  /** Returns how to undo what would hinder the session's end. */
  act: (pid: number) => (() => void) | unknown;
}

const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers');

function write(pid: number, { v1, v2 }: { v1: [controller: string, file: string]; v2: string }, value: string): void {
  const [controller, file] = isUnified ? ['', v2] : v1;
  writeFileSync(join(findGroup(pid, controller), file), value);
}

function findGroup(pid: number, controller: string): string {
  const entries = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n');
  const [, names = '', path = ''] =
    entries.map((entry) => entry.split(':')).find(([, names]) => names?.split(',').includes(controller)) ?? [];
  return join('/sys/fs/cgroup', names, path);
}

/** A host's program in namespaces of the session. */
function enter(pid: number, namespaces: string[], ...command: string[]): void {
  execFileSync('nsenter', [`--target=${pid}`, ...namespaces, ...command], { stdio: 'pipe' });
}

/** mount(8) reads its own entry in /proc, which is that of the pid namespace. */
const inside = ['--mount', '--pid'];
const mount = (pid: number, ...args: string[]) => enter(pid, inside, '/bin/busybox', 'mount', ...args);

const group = (field: string) => `linux.resources.${field}`;
const limits = ['memory.limit', 'memory.swap', 'cpu.quota', 'cpu.period', 'cpu.shares', 'pids.limit'];

/** For a session of 64 MiB of memory and swap each, half a processor, 512 shares, 64 pids, and a /scratch of 1 MiB. */
export const tamperings: Tampering[] = [
  {
    what: 'a lower limit of memory',
    fields: [group('memory.limit')],
    act: (pid) => write(pid, { v1: ['memory', 'memory.limit_in_bytes'], v2: 'memory.max' }, '33554432'),
  },
  {
    what: 'more swap',
    fields: [group('memory.swap')],
    lacks:
      !isUnified && !existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes') ? 'swap accounting' : undefined,
    act: (pid) => write(pid, { v1: ['memory', 'memory.memsw.limit_in_bytes'], v2: 'memory.swap.max' }, '268435456'),
  },
  {
    what: 'no quota of the processor',
    fields: [group('cpu.quota')],
    act: (pid) => write(pid, { v1: ['cpu', 'cpu.cfs_quota_us'], v2: 'cpu.max' }, isUnified ? 'max' : '-1'),
  },
  {
    what: 'more shares',
    fields: [group('cpu.shares')],
    act: (pid) => write(pid, { v1: ['cpu', 'cpu.shares'], v2: 'cpu.weight' }, '2048'),
  },
  {
    what: 'no limit of processes',
    fields: [group('pids.limit')],
    act: (pid) => write(pid, { v1: ['pids', 'pids.max'], v2: 'pids.max' }, 'max'),
  },
  {
    what: 'a disk that may be opened',
    fields: [group('devices')],
    lacks: isUnified ? 'device rules in a file (cgroup v2)' : undefined,
    act: (pid) => write(pid, { v1: ['devices', 'devices.allow'], v2: '' }, 'b 254:0 r'),
  },
  {
    what: 'a node of a disk',
    fields: ['linux.devices'],
    act: (pid) => execFileSync('mknod', [`/proc/${pid}/root/dev/disk`, 'b', '254', '0']),
  },
  {
    what: 'another control group',
    // The one of v2 has all limits, those of v1 each its own.
    fields: ['linux.cgroupsPath', ...(isUnified ? limits.map(group) : [])],
    act: (pid) => {
      const move = (directory: string) => writeFileSync(join(directory, 'cgroup.procs'), String(pid));
      const own = findGroup(pid, isUnified ? '' : 'blkio');
      if (!isUnified) return move(dirname(own));
      // There only a leaf takes processes (cgroup-v2.rst, "No Internal Process Constraint").
      const other = join(dirname(own), `moved-${pid}`);
      mkdirSync(other);
      move(other);
      return () => {
        move(own);
        rmdirSync(other);
      };
    },
  },
  {
    what: 'another limit of open files',
    fields: ['process.rlimits.RLIMIT_NOFILE'],
    act: (pid) => execFileSync('prlimit', [`--pid=${pid}`, '--nofile=64:100']),
  },
  {
    what: 'another limit of core dumps',
    fields: ['process.rlimits.RLIMIT_CORE'],
    act: (pid) => execFileSync('prlimit', [`--pid=${pid}`, '--core=0:0']),
  },
  {
    what: 'a process that the OOM killer prefers',
    fields: ['process.oomScoreAdj'],
    act: (pid) => writeFileSync(`/proc/${pid}/oom_score_adj`, '500'),
  },
  {
    what: 'a writable root',
    fields: ['root.readonly'],
    act: (pid) => mount(pid, '-o', 'remount,bind,rw', '/'),
  },
  {
    what: 'programs in /dev/shm',
    fields: ['mounts./dev/shm'],
    act: (pid) => mount(pid, '-o', 'remount,bind,nosuid,nodev,exec', '/dev/shm'),
  },
  {
    what: 'a larger tmpfs',
    fields: ['mounts./scratch'],
    act: (pid) => mount(pid, '-o', 'remount,size=2m', '/scratch'),
  },
  {
    what: 'another file system in its place',
    fields: ['mounts./scratch'],
    act: (pid) => mount(pid, '-t', 'proc', 'proc', '/scratch', '-o', 'nosuid,nodev'),
  },
  {
    what: 'another program in the place of the init',
    fields: ['mounts./dev/cadre-init'],
    act: (pid) => mount(pid, '-o', 'bind,ro,nosuid,nodev', '/bin/busybox', '/dev/cadre-init'),
  },
  {
    what: 'one mount more',
    fields: ['mounts'],
    act: (pid) => mount(pid, '-t', 'sysfs', 'sysfs', '/home'),
  },
  {
    what: 'a hidden file that is shown',
    fields: ['linux.maskedPaths./proc/keys'],
    act: (pid) => enter(pid, inside, '/bin/busybox', 'umount', '/proc/keys'),
  },
  {
    what: 'kernel settings that can be written',
    fields: ['linux.readonlyPaths./proc/sys'],
    act: (pid) => mount(pid, '-o', 'remount,bind,rw', '/proc/sys'),
  },
  {
    what: 'one interface more',
    fields: ['linux.namespaces.network.interfaces'],
    act: (pid) => enter(pid, ['--net'], 'busybox', 'ip', 'link', 'add', 'more', 'type', 'veth'),
  },
  {
    what: 'another hostname',
    fields: ['hostname'],
    act: (pid) => enter(pid, ['--uts'], 'hostname', 'elsewhere'),
  },
];
