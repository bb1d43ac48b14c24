import { isRecord } from './rule.js';
import type { IsolationPolicy } from './types.js';

/**
 * What a policy starts from, by name. A profile is no ceiling: what a policy says itself wins. Those who write the
 * policies of others check what they wrote.
 */
export const profiles = {
  /** The defaults of every field. */
  default: {},
  /** The least that a program which needs no more than its own files can run with. */
  strict: {
    networkMode: 'none',
    readOnlyRootfs: true,
    noNewPrivileges: true,
    capabilities: { drop: ['ALL'] },
    seccomp: 'strict',
    resources: {
      memoryMb: 512,
      memorySwapMb: 0,
      cpus: 1,
      pidsLimit: 128,
      ulimits: [
        { type: 'nofile', soft: 1024, hard: 1024 },
        { type: 'memlock', soft: 65_536, hard: 65_536 },
        { type: 'msgqueue', soft: 819_200, hard: 819_200 },
      ],
    },
  },
  /**
   * What may be given without giving up the session's own namespaces, devices, system call filter and masked paths:
   * debuggers, su and sudo, packages with file capabilities, nested chroots, ping.
   */
  permissive: {
    readOnlyRootfs: false,
    noNewPrivileges: false,
    capabilities: { add: ['AUDIT_WRITE', 'MKNOD', 'NET_RAW', 'SETFCAP', 'SYS_CHROOT', 'SYS_PTRACE'] },
    seccomp: 'default',
    resources: { pidsLimit: 4096, ulimits: [{ type: 'nofile', soft: 65_536, hard: 65_536 }] },
  },
} as const satisfies Record<string, Layer>;

/** One of the policies that are merged: a profile, or the provider's own. It names no profile itself. */
export type Layer = Readonlyish<Omit<IsolationPolicy, 'profile'>>;

/** Plain objects are merged field by field, at every depth; lists and all other values of `over` replace those of `base`. */
export function mergePolicies(base: IsolationPolicy, over: IsolationPolicy): IsolationPolicy {
  return merge(base, over) as IsolationPolicy;
}

function merge(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (!isRecord(base) || !isRecord(over)) return over;
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((key) => [key, merge(own(base, key), own(over, key))]));
}

function own(record: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
