import { readlinkSync, statSync } from 'node:fs';
import type { OciSpec } from '../../spec/types.js';
import { readOptional, readStat } from '../proc.js';
import { type Check, check, judge } from './check.js';
import { checkInside } from './nsenter.js';

/** The runtime specification's names (config-linux.md, "Namespaces") and the kernel's. */
const files: Record<string, string> = { mount: 'mnt', network: 'net' };

/**
 * Interfaces that the kernel itself makes in every network namespace where such a tunnel's module is loaded
 * (admin-guide/sysctl/net.rst, fb_tunnels_only_for_init_net). They are down and lead nowhere.
 */
const fallbacks = ['tunl0', 'gre0', 'gretap0', 'erspan0', 'ip_vti0', 'ip6_vti0', 'sit0', 'ip6tnl0', 'ip6gre0'];

/**
 * Each namespace is the one that was asked for: that of a path, or one that is not the host's. The host's are those of
 * the shim, its parent: this process may have a mount namespace of its own.
 */
export function checkNamespaces({ linux }: OciSpec, pid: number): Check[] {
  const shim = readStat(pid)?.parent;
  return linux.namespaces.map(({ type, path }) => {
    const file = files[type] ?? type;
    const source = `/proc/${pid}/ns/${file}`;
    const observed = readLink(source);
    const field = `linux.namespaces.${type}`;
    if (path !== undefined) return check(field, `${file}:[${readInode(path)}]`, observed, source);
    const host = readLink(`/proc/${shim}/ns/${file}`);
    return judge(field, `not ${host}`, observed, source, host !== undefined && observed !== host);
  });
}

/** A network namespace that nobody has prepared holds loopback alone: what `networkMode: 'none'` stands for. */
export function checkNetwork({ linux }: OciSpec, pid: number): Check[] {
  const isEmpty = linux.namespaces.some(({ type, path }) => type === 'network' && path === undefined);
  return isEmpty ? [checkInterfaces(pid)] : [];
}

/** Of the network namespace that a process is in. */
export function checkInterfaces(pid: number): Check {
  const source = `/proc/${pid}/net/dev`;
  const lines = readOptional(source)?.split('\n').slice(2).filter(Boolean);
  const names = lines?.map((line) => line.slice(0, line.indexOf(':')).trim());
  const observed = names?.filter((name) => !fallbacks.includes(name));
  return check('linux.namespaces.network.interfaces', ['lo'], observed, source);
}

/** As uname(2) has it there (uts_namespaces(7)). */
export async function checkHostname({ hostname }: OciSpec, pid: number): Promise<Check> {
  const source = `uname(2) in /proc/${pid}/ns/uts`;
  const command = ['uname', '-n'];
  return checkInside(pid, { field: 'hostname', expected: hostname, namespaces: ['uts'], command, source });
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    // ESRCH: the process ended meanwhile. EACCES: it belongs to someone that this process may not look at.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function readInode(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
