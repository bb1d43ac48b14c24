import { execFile } from 'node:child_process';
import { readlinkSync, statSync } from 'node:fs';
import { promisify } from 'node:util';
import type { OciSpec } from '../../spec/types.js';
import { readOptional, readStat } from '../proc.js';
import { type Check, check, judge } from './check.js';

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
  if (!isEmpty) return [];
  const source = `/proc/${pid}/net/dev`;
  const lines = readOptional(source)?.split('\n').slice(2).filter(Boolean);
  const names = lines?.map((line) => line.slice(0, line.indexOf(':')).trim());
  return [
    check(
      'linux.namespaces.network.interfaces',
      ['lo'],
      names?.filter((name) => !fallbacks.includes(name)),
      source,
    ),
  ];
}

/** /proc shows the hostname of whoever reads it; only a process in the namespace sees its own (uts_namespaces(7)). */
export async function checkHostname({ hostname }: OciSpec, pid: number): Promise<Check> {
  const namespace = `/proc/${pid}/ns/uts`;
  try {
    const { stdout } = await promisify(execFile)('nsenter', [`--uts=${namespace}`, 'uname', '-n']);
    return check('hostname', hostname, stdout.trimEnd(), `uname(2) in ${namespace}`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'this host has no nsenter(1)' : message.trim();
    return check('hostname', hostname, undefined, reason);
  }
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
