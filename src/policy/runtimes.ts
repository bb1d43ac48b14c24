import type { Feature } from './features.js';

/** What is known of a runtime, by its name: the plain one, containerd's (`io.containerd.runc.v2`), or its shim's path. */
export type RuntimeKind = 'runc' | 'kata' | 'other';

/** `kata-qemu`, `kata-clh` and the like are Kata with another hypervisor. */
export function classifyRuntime(name: string): RuntimeKind {
  const plain = name.replace(/^(io\.containerd\.|\/.*\/containerd-shim-)/, '').replace(/[.-]v\d+$/, '');
  if (plain === 'runc') return 'runc';
  return /^kata(-[a-z0-9]+)*$/.test(plain) ? 'kata' : 'other';
}

const byGuest = 'nothing, as the virtual machine of Kata drops it without a word';
const byExec = 'nothing, as Kata gives it to the command of the session alone and not to what is executed in it';
const byNobody = 'nothing, as the runtime-spec lets a runtime leave it out and this one is not known to have it';

/**
 * What a runtime does not do though the spec says it, with what can be asked instead. Both shims of Kata (4.1) pass
 * processor and memory limits to the guest and leave out those of pids, block I/O and devices; its agent has no
 * AppArmor. Its Go shim sends of an exec only the terminal, the user, the arguments, the environment and the working
 * directory.
 */
export const dropped: Readonly<Record<RuntimeKind, Readonly<Partial<Record<Feature, string>>>>> = {
  runc: {},
  kata: {
    'resources.pidsLimit': byGuest,
    'resources.ioWeight': byGuest,
    'resources.oomScoreAdj': 'nothing, as it would be a score inside the virtual machine of Kata and not on this host',
    'resources.ulimits': byExec,
    noNewPrivileges: byExec,
    apparmor: byGuest,
    userns: byGuest,
    'network.host': 'another network, as the virtual machine of Kata has no part in the network of the host',
    'resources.memorySwapMb': 'nothing, as a guest of Kata has none of the swap of this host',
  },
  // `features.json` of the runtime-spec lists these as what a runtime may lack.
  other: {
    'seccomp.default': byNobody,
    'seccomp.strict': byNobody,
    'seccomp.path': byNobody,
    apparmor: byNobody,
    userns: byNobody,
    sysctls: byNobody,
  },
};
