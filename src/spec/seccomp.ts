import { allowed, openedBy, strictlyAllowed } from './syscalls.js';
import type { OciSeccomp, OciSeccompRule } from './types.js';

type Arg = NonNullable<OciSeccompRule['args']>[number];

const EPERM = 1;
const EINVAL = 22;
const ENOSYS = 38;

// include/uapi/linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET together.
const NAMESPACE_FLAGS = 0x7e020000;

const AF_UNIX = 1;
const AF_NETLINK = 16;
const AF_PACKET = 17;
/** AF_INET and AF_INET6. */
const internet = [2, 10];
/**
 * AF_UNIX, AF_INET and AF_INET6. A list of what is open, as the kernel has some 45: AF_ALG and AF_VSOCK, which reach its
 * crypto and the host, are only the best known of those that are not.
 */
const families = [AF_UNIX, ...internet];

/** By type (SOCK_STREAM, SOCK_DGRAM): the protocol that 0 stands for, and its own number: TCP, UDP. */
const transports: [type: number, protocols: number[]][] = [
  [1, [0, 6]],
  [2, [0, 17]],
];
/** SOCK_NONBLOCK and SOCK_CLOEXEC stand above it. */
const SOCK_TYPE = 0xf;
const NETLINK_ROUTE = 0;

/**
 * NETLINK_ROUTE, which libc lists interfaces with, NETLINK_SOCK_DIAG (ss) and NETLINK_KOBJECT_UEVENT (libudev). The rest
 * is for who administers a network, and much of the kernel's attack surface.
 */
const netlinks = [0, 4, 15];
const NETLINK_AUDIT = 9;

// Of personality(2): Linux as it is, the same without randomised addresses (gdb and ThreadSanitizer ask for it), and the
// question which it is.
const PER_LINUX = 0;
const ADDR_NO_RANDOMIZE = 0x40000;
const ASK = 0xffffffff;

const architectures: Record<string, string> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** A profile exists for the processor, by Node's name of it. */
export function hasSeccomp(arch: string): boolean {
  return Object.hasOwn(architectures, arch);
}

/**
 * The `default` profile: what ordinary programs call, what the capabilities are for, and EPERM for the rest, which
 * programs know as the answer of a sandbox. runc answers ENOSYS to calls that are newer than the list by itself. Closed
 * on purpose: io_uring (its requests pass no filter), new namespaces and mounts, ptrace and its relatives, bpf, perf,
 * keyrings, modules, kexec, userfaultfd. Few entries and one architecture, as runc compiles all of it at every start and
 * every exec. Undefined for a processor that we have no profile for.
 *
 * `strict` has fewer calls, no protocols but TCP and UDP (SCTP, DCCP, MPTCP and ping sockets are modules that a session
 * could have loaded), no netlink but for the list of interfaces, and no personality but the present one.
 */
export function buildSeccomp(
  arch: string,
  capabilities: readonly string[],
  profile: 'default' | 'strict' = 'default',
): OciSeccomp | undefined {
  const architecture = hasSeccomp(arch) ? architectures[arch] : undefined;
  if (architecture === undefined) return undefined;
  const isStrict = profile === 'strict';
  const has = (name: string) => capabilities.includes(name);
  const opened = capabilities.flatMap((name) => openedBy[name] ?? []);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    // No 32-bit sub-architecture: i386's socketcall(2) hides the family of a socket from these rules.
    architectures: [architecture],
    syscalls: [
      allow([...new Set([...(isStrict ? strictlyAllowed : allowed), ...opened])]),
      ...(isStrict ? listStrictSockets() : families.map((family) => allowSocket(family))),
      ...(has('CAP_NET_RAW') ? listRawSockets(isStrict) : []),
      ...(has('CAP_NET_ADMIN')
        ? [allowSocket(AF_NETLINK)]
        : (isStrict ? [NETLINK_ROUTE] : netlinks).map((protocol) => allowSocket(AF_NETLINK, protocol))),
      ...(isStrict ? [PER_LINUX, ASK] : [PER_LINUX, ADDR_NO_RANDOMIZE, ASK]).map((persona) =>
        allow(['personality'], matchInt(0, persona)),
      ),
      ...listOwnLimits(),
      ...(has('CAP_SYS_ADMIN') ? [allow(['clone', 'clone3'])] : closeNamespaces()),
      ...(has('CAP_NET_ADMIN') ? [] : hideAudit(has('CAP_AUDIT_WRITE'))),
    ],
  };
}

function allow(names: string[], ...args: Arg[]): OciSeccompRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...(args.length === 0 ? {} : { args }) };
}

/** Only the lower half is compared, as the kernel reads no more of an int, and callers may leave anything above it. */
function matchInt(index: number, value: number): Arg {
  return { index, value: 0xffffffff, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
}

function allowSocket(family: number, protocol?: number): OciSeccompRule {
  return allow(
    ['socket', 'socketpair'],
    matchInt(0, family),
    ...(protocol === undefined ? [] : [matchInt(2, protocol)]),
  );
}

function listStrictSockets(): OciSeccompRule[] {
  const names = ['socket', 'socketpair'];
  const rules = internet.flatMap((family) =>
    transports.flatMap(([type, protocols]) =>
      protocols.map((protocol) =>
        allow(
          names,
          matchInt(0, family),
          { index: 1, value: SOCK_TYPE, valueTwo: type, op: 'SCMP_CMP_MASKED_EQ' },
          matchInt(2, protocol),
        ),
      ),
    ),
  );
  return [allowSocket(AF_UNIX), ...rules];
}

/** SOCK_RAW of the internet's families is among those that `default` has open; the capability is what it takes. */
function listRawSockets(isStrict: boolean): OciSeccompRule[] {
  const SOCK_RAW = 3;
  const raw = { index: 1, value: SOCK_TYPE, valueTwo: SOCK_RAW, op: 'SCMP_CMP_MASKED_EQ' };
  const rules = isStrict ? internet.map((family) => allow(['socket'], matchInt(0, family), raw)) : [];
  return [allowSocket(AF_PACKET), ...rules];
}

/**
 * A process may set its own limits, by 0 as setrlimit(3) does, and read those of others (prlimit(2)). To set another's
 * would take none but the same user, and could end the session's first process.
 */
function listOwnLimits(): OciSeccompRule[] {
  const noNew = { index: 2, value: 0, op: 'SCMP_CMP_EQ' };
  return [allow(['prlimit64'], matchInt(0, 0)), allow(['prlimit64'], noNew)];
}

function closeNamespaces(): OciSeccompRule[] {
  return [
    allow(['clone'], { index: 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
    // Its flags are in memory, where no filter sees them; at ENOSYS libc falls back to clone.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  ];
}

/** At EINVAL libaudit takes the kernel for one without audit; at EPERM su and cron give up. */
function hideAudit(isOpen: boolean): OciSeccompRule[] {
  if (isOpen) return [allowSocket(AF_NETLINK, NETLINK_AUDIT)];
  const args = [matchInt(0, AF_NETLINK), matchInt(2, NETLINK_AUDIT)];
  return [{ names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: EINVAL, args }];
}
