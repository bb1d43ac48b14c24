import { type Field, pattern, shape } from './schema.js';

/**
 * Parameters of the kernel that each IPC and network namespace has of its own (sysctl(8); admin-guide/sysctl of the
 * kernel): one that is the whole host's is not among them, and so refused by its name. All are numbers.
 */
const names = `
  fs.mqueue.msg_default fs.mqueue.msg_max fs.mqueue.msgsize_default fs.mqueue.msgsize_max fs.mqueue.queues_max
  kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shm_rmid_forced kernel.shmall kernel.shmmax kernel.shmmni
  net.core.somaxconn net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range
  net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_keepalive_time
  net.ipv4.tcp_max_syn_backlog net.ipv4.tcp_rmem net.ipv4.tcp_syn_retries net.ipv4.tcp_syncookies net.ipv4.tcp_tw_reuse
  net.ipv4.tcp_wmem net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.default.disable_ipv6 net.unix.max_dgram_qlen`;

const sysctlNames: readonly string[] = names.trim().split(/\s+/);

const numbers = pattern('^\\d{1,20}(?: \\d{1,20}){0,3}$', 'a number, or up to four with a blank between');

export const sysctls: Field = shape(Object.fromEntries(sysctlNames.map((name) => [name, numbers])));
