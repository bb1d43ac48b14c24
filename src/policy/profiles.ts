import { isRecord } from './rule.js';
import type { IsolationPolicy, Layer } from './types.js';

/**
 * What a policy starts from, by name. A profile is no ceiling: what a policy says itself wins, so that whoever runs
 * policies of others looks at them first.
 */
export const builtInProfiles: Readonly<Record<'default' | 'strict' | 'permissive', Layer>> = {
  default: {},
  strict: {
    networkMode: 'none',
    readOnlyRootfs: true,
    noNewPrivileges: true,
    capabilities: { drop: ['ALL'] },
    seccomp: 'strict',
    resources: { memoryMb: 512, cpus: 1, pidsLimit: 128, ulimits: [{ type: 'nofile', soft: 1024, hard: 1024 }] },
  },
  // What can be given without giving up a session's own namespaces, devices, filter of system calls and masked paths:
  // debuggers, su and sudo, file capabilities, chroot, ping.
  permissive: {
    noNewPrivileges: false,
    capabilities: { add: ['AUDIT_WRITE', 'MKNOD', 'NET_RAW', 'SETFCAP', 'SYS_CHROOT', 'SYS_PTRACE'] },
    // More open files than a session has by default are not for every daemon to give.
    resources: { pidsLimit: 4096 },
  },
};

/** Plain objects are merged field by field, at every depth. A list or any other value of `over` replaces the whole. */
export function mergePolicies(base: IsolationPolicy, over: IsolationPolicy): IsolationPolicy {
  return merge(base, over) as IsolationPolicy;
}

function merge(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (!isRecord(base) || !isRecord(over)) return over;
  const own = (record: Record<string, unknown>, key: string) => (Object.hasOwn(record, key) ? record[key] : undefined);
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((key) => [key, merge(own(base, key), own(over, key))]));
}
