/** The profile that `cadre-containerd apparmor load` loads, for `apparmor: 'cadre-default'`. */
export const APPARMOR_PROFILE = 'cadre-default';

/**
 * A profile of AppArmor (apparmor.d(5)) for sessions, by its paths where others go by capabilities and system calls: it
 * holds where those were opened wide. What it does not grant it denies, and the kernel's log tells: mounting and
 * unmounting, pivot_root, changing to another profile, tracing and signalling from and to what is not a session.
 * What it denies by name it denies in silence, as programs try such things in passing. It includes no file and names no
 * ABI, so that every parser since 3.0 takes it.
 */
export function renderAppArmorProfile(): string {
  return `profile ${APPARMOR_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  unix,
  capability,

  # The host's processes end, stop and look at those of sessions; sessions only one another.
  signal (receive) peer={unconfined,runc,crun},
  signal (send, receive) peer=${APPARMOR_PROFILE},
  ptrace (readby, tracedby) peer={unconfined,runc,crun},
  ptrace (read, readby, trace, tracedby) peer=${APPARMOR_PROFILE},

  # All of /proc but the directories of processes, whose names are numbers (proc(5)).
  deny /proc/[^1-9]** wlk,
  deny /proc/{kcore,keys,kmem,mem,sysrq-trigger,timer_list} rwlkx,

  # All of /sys but the control groups, which a session may have been given (sysfs(5)).
  deny /sys/[^f]** wlk,
  deny /sys/f[^s]** wlk,
  deny /sys/fs/[^c]** wlk,
  deny /sys/fs/c[^g]** wlk,
  deny /sys/{firmware,kernel/security,kernel/debug,kernel/tracing}/** rwlkx,
}
`;
}
