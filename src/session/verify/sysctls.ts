import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { OciSpec } from '../../spec/types.js';
import { type Check, check } from './check.js';

/** /proc/sys shows the namespaces of whoever reads it, so that only a process in the session's sees its own. */
export async function checkSysctls({ linux: { sysctl = {} } }: OciSpec, pid: number): Promise<Check[]> {
  return Promise.all(Object.entries(sysctl).map(([name, value]) => checkSysctl(name, value, pid)));
}

async function checkSysctl(name: string, expected: string, pid: number): Promise<Check> {
  const path = `/proc/sys/${name.replaceAll('.', '/')}`;
  const field = `linux.sysctl.${name}`;
  try {
    const namespaces = [`--ipc=/proc/${pid}/ns/ipc`, `--net=/proc/${pid}/ns/net`];
    const { stdout } = await promisify(execFile)('nsenter', [...namespaces, 'cat', path]);
    return check(field, expected, stdout.trim().replace(/\s+/g, ' '), `${path} in its namespaces`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return check(field, expected, undefined, code === 'ENOENT' ? 'this host has no nsenter(1)' : message.trim());
  }
}
