import type { ResolvedPolicy } from '../policy/types.js';
import type { HostFacts } from './host.js';
import type { OciResources, OciRlimit } from './types.js';

/** The kernel's own default period of the CFS quota, in µs (sched-bwc.rst). */
const PERIOD_US = 100_000;
/**
 * The kernel's own defaults (INR_OPEN_CUR and INR_OPEN_MAX of include/uapi/linux/fs.h): no daemon has less to give, and
 * the containerd service's own limit, often infinity, makes programs crawl that close every possible descriptor.
 */
const NOFILE = { type: 'RLIMIT_NOFILE', soft: 1024, hard: 4096 };
/**
 * No core dumps: they would fill the root file system, or be fed to a program of the host's, as root, where
 * /proc/sys/kernel/core_pattern is a pipe. 1 is the one limit that a pipe respects (do_coredump of fs/coredump.c).
 */
const CORE = { type: 'RLIMIT_CORE', soft: 1, hard: 1 };

/** `linux.resources` (runtime-spec, config-linux.md), which runc writes for cgroup v1 and v2 alike. */
export function buildResources({ resources }: ResolvedPolicy, host: HostFacts): OciResources {
  const { memoryBytes, memorySwapBytes, cpus, cpuShares, pidsLimit, ioWeight } = resources;
  const memory: OciResources['memory'] = {};
  if (memoryBytes !== undefined) {
    memory.limit = memoryBytes;
    // Memory and swap together. Equal to the limit unless asked otherwise: swap would be a way around it.
    if (host.swapAccounting) memory.swap = memoryBytes + (memorySwapBytes ?? 0);
  }
  const cpu: OciResources['cpu'] = {};
  if (cpuShares !== undefined) cpu.shares = cpuShares;
  if (cpus !== undefined) {
    cpu.quota = Math.round(cpus * PERIOD_US);
    cpu.period = PERIOD_US;
  }
  return {
    // runc adds the harmless ones (null, zero, full, random, urandom, tty, ptmx) to a list that denies all.
    devices: [{ allow: false, access: 'rwm' }],
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    pids: { limit: pidsLimit },
    ...(ioWeight === undefined ? {} : { blockIO: { weight: ioWeight } }),
  };
}

/** POSIX limits of every process; open files and core dumps are always bounded. */
export function buildRlimits({ resources: { ulimits } }: ResolvedPolicy): OciRlimit[] {
  const limits = ulimits.map(({ type, soft, hard }) => ({ type: nameRlimit(type), soft, hard }));
  const isUnset = (limit: OciRlimit) => limits.every(({ type }) => type !== limit.type);
  return [...limits, ...[NOFILE, CORE].filter(isUnset)];
}

function nameRlimit(type: string): string {
  const upper = type.toUpperCase();
  return upper.startsWith('RLIMIT_') ? upper : `RLIMIT_${upper}`;
}

/** The limits of a session after a change to some of them: what the change does not name stays. */
export function changeResources(current: OciResources, change: ResolvedPolicy, host: HostFacts): OciResources {
  const { memoryMb, memorySwapMb, pidsLimit } = change.asked.resources ?? {};
  const built = buildResources(change, host);
  const { limit = 0, swap = limit } = current.memory ?? {};
  const isMemoryAsked = memoryMb !== undefined || memorySwapMb !== undefined;
  const memory = isMemoryAsked ? { ...built.memory } : { ...current.memory };
  // Swap is counted together with memory: as much beyond the limit as before.
  if (memoryMb !== undefined && memorySwapMb === undefined && memory.swap !== undefined) memory.swap += swap - limit;
  const cpu = { ...current.cpu, ...built.cpu };
  return {
    ...current,
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(pidsLimit === undefined ? {} : { pids: built.pids }),
    ...(built.blockIO === undefined ? {} : { blockIO: built.blockIO }),
  };
}
