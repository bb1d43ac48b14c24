/**
 * Every capability of capabilities(7). An unknown one is refused here, as runc only warns of it: a drop with a typo
 * would drop nothing.
 */
export const capabilityNames: readonly string[] = [
  'AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH',
  'FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN',
  'NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT',
  'SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM',
].flatMap((line) => line.split(' '));

/** Every limit of setrlimit(2). */
export const ulimitNames: readonly string[] =
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' ');

/** The kernel's one name of a limit that may be spelt `nofile` or `RLIMIT_NOFILE`. */
export function normaliseUlimit(name: string): string {
  return name.toLowerCase().replace(/^rlimit_/, '');
}
