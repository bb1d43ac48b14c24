import { allowed } from './syscalls.js';
import type { OciSeccomp, OciSeccompRule } from './types.js';

const EPERM = 1;
const ENOSYS = 38;

// include/uapi/linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET together.
const NAMESPACE_FLAGS = 0x7e020000;

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Not AF_ALG and AF_VSOCK, which reach the kernel's crypto and the host. */
const families = [1, 2, 10, 16];

/** Linux as it is, with 2.6's version number, and each without the randomised layout's absence being asked for. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

const architectures: Record<string, string> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/**
 * The `default` profile: what ordinary programs call, and EPERM for the rest. Closed on purpose: io_uring (its requests
 * pass no filter), new namespaces and mounts, ptrace and its relatives, bpf, perf, keyrings, modules, kexec, userfaultfd.
 * Undefined for a processor that we have no profile for.
 */
export function buildSeccomp(arch: string): OciSeccomp | undefined {
  const architecture = architectures[arch];
  if (architecture === undefined) return undefined;
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    // No 32-bit sub-architecture: i386's socketcall(2) hides the family of a socket from these rules.
    architectures: [architecture],
    syscalls: [
      allow(allowed),
      ...families.map((family) => allow(['socket'], { index: 0, value: family, op: 'SCMP_CMP_EQ' })),
      ...personalities.map((persona) => allow(['personality'], { index: 0, value: persona, op: 'SCMP_CMP_EQ' })),
      allow(['clone'], { index: 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
      // Its flags are in memory, where no filter sees them; at ENOSYS libc falls back to clone.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ],
  };
}

function allow(names: string[], arg?: NonNullable<OciSeccompRule['args']>[number]): OciSeccompRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...(arg === undefined ? {} : { args: [arg] }) };
}
