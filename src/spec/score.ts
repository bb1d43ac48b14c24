import type { ResolvedPolicy } from '../policy/types.js';
import { buildCapabilities } from './capabilities.js';
import type { OciSpec } from './types.js';

/** What each weakness takes off a score of 100: how far it alone brings a session towards its host. */
export const weights = {
  /** CAP_SYS_ADMIN and its like are as good as root on the host (capabilities(7)). */
  'host-capability': 40,
  /** A namespace of the host's in the session. */
  'host-namespace': 30,
  /** Every system call of the kernel can be reached. */
  'seccomp-unconfined': 25,
  /** What is written there is seen by the host, and by whoever else mounts it. */
  'writable-host-mount': 15,
  /** More of the kernel than an ordinary container reaches. */
  'added-capability': 10,
  /** Set-user-id programs of the image give privileges. */
  'new-privileges': 10,
  /** Root inside is root to the kernel, should it get out. */
  'root-user': 10,
  /** A secret in the environment is inherited by every child, and shown by /proc/PID/environ. */
  'secret-in-env': 10,
  /** Every address can be reached. */
  'network-full': 10,
  /** The host may run out of memory. */
  'no-memory-limit': 10,
  /** Programs of the image can be replaced by what runs in it. */
  'writable-root': 5,
  /** The host may be slowed down. */
  'no-cpu-limit': 5,
  /** When the host runs out of memory, others are killed before it. */
  'oom-preferred': 5,
} as const;

/** A weakness that a policy asks for, or leaves open. */
export interface Finding {
  /** Its name; docs/plan.md has them all. */
  rule: keyof typeof weights;
  /** The policy's field. */
  path: string;
  /** Points taken off. */
  weight: number;
  /** What is weak about it, in a sentence. */
  message: string;
}

const hostCapabilities = [
  'BPF',
  'DAC_READ_SEARCH',
  'MAC_ADMIN',
  'MAC_OVERRIDE',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_TIME',
];

const ownNamespaces = ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'];

/**
 * Judges a policy. `user` is as the policy or the image has it; `spec` is the document that was made of it, where there
 * is one, and knows more. A score of 100 has no findings; it falls to 0 at most.
 */
export function scorePolicy(
  policy: ResolvedPolicy,
  { user, spec }: { user: string; spec?: OciSpec | undefined },
): { score: number; findings: Finding[] } {
  const { resources, asked } = policy;
  const findings: Finding[] = [];
  const find = (rule: Finding['rule'], path: string, message: string) =>
    findings.push({ rule, path, weight: weights[rule], message });

  for (const name of listAdded(policy)) {
    if (hostCapabilities.includes(name)) find('host-capability', 'capabilities.add', `${name} reaches the host itself`);
    else find('added-capability', 'capabilities.add', `${name} is more than a container ordinarily has`);
  }
  const lacking = spec ? ownNamespaces.filter((type) => spec.linux.namespaces.every((own) => own.type !== type)) : [];
  for (const type of lacking) find('host-namespace', 'networkMode', `the ${type} namespace is the host's`);
  if (policy.seccomp === 'unconfined') find('seccomp-unconfined', 'seccomp', 'no system call is filtered');
  for (const [index, { type = 'bind', readOnly, path }] of policy.mounts.entries()) {
    if (type === 'bind' && !readOnly)
      find('writable-host-mount', `mounts[${index}]`, `${path} of the host can be written`);
  }
  if (!policy.noNewPrivileges) find('new-privileges', 'noNewPrivileges', 'set-user-id programs give privileges');
  const isRoot = spec ? spec.process.user.uid === 0 : /^(0|root)(:|$)/.test(user);
  if (isRoot && !asked.userns) find('root-user', 'user', 'it runs as root, without a user namespace');
  for (const { name } of (asked.secrets ?? []).filter((secret) => secret.as === 'env')) {
    find('secret-in-env', 'secrets', `${name} is in the environment of every command`);
  }
  if (policy.networkMode === 'full') find('network-full', 'networkMode', 'every address can be reached');
  const isWide = (rule: string) => /^0\.0\.0\.0\/0(:|$)/.test(rule);
  if (policy.networkMode === 'allowlist' && asked.network?.allow?.some(isWide)) {
    find('network-full', 'network.allow', 'every public address can be reached');
  }
  if (resources.memoryBytes === undefined)
    find('no-memory-limit', 'resources.memoryMb', "the host's memory is the limit");
  if (!policy.readOnlyRootfs) find('writable-root', 'readOnlyRootfs', 'the root file system can be written');
  if (resources.cpus === undefined) find('no-cpu-limit', 'resources.cpus', 'every processor of the host is its own');
  if ((resources.oomScoreAdj ?? 0) < 0) {
    find('oom-preferred', 'resources.oomScoreAdj', 'when memory runs out, others are killed before it');
  }
  const lost = findings.reduce((sum, { weight }) => sum + weight, 0);
  return { score: Math.max(0, 100 - lost), findings };
}

/** Without CAP_, beyond those that every session has. */
function listAdded({ capabilities }: ResolvedPolicy): string[] {
  const ordinary = buildCapabilities({ add: [], drop: [] }).bounding;
  const own = buildCapabilities(capabilities).bounding;
  return own.filter((name) => !ordinary.includes(name)).map((name) => name.replace(/^CAP_/, ''));
}
