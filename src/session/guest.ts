import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DriverError } from '../core/error.js';
import { runTool } from '../network/tools.js';
import { sendKill, waitUntilGone } from './kill-tree.js';
import { listShims, type Shim } from './leftovers.js';
import { listMounts } from './mount-table.js';
import { listProcesses, type ProcessStat, readCommand, readStat } from './proc.js';

// What a shim of Kata starts beside itself, which lives on when the shim is killed: the hypervisor makes itself a daemon.

/** Hypervisors that Kata knows (virtcontainers/hypervisor.go), the helper of one, and what serves files to a guest. */
const program = /^(qemu-system-\w+|qemu-kvm|cloud-hypervisor|firecracker|jailer|stratovirt|virtiofsd|nydusd)$/;

/** Where both of its shims keep what belongs to a sandbox, each in a directory of the sandbox's id; below /run. */
const PLACES = ['vc/sbs', 'vc/vm', 'kata', 'kata-containers/shared/sandboxes'];

/** Whose guest it is. */
type Sandbox = Pick<Shim, 'id' | 'address' | 'namespace'>;

/** Programs of a guest, by the id of its sandbox on their command lines: in a name, in a path, or by itself. */
export function findGuest(id: string): ProcessStat[] {
  const names = [id, `sandbox-${id}`];
  const isNamed = (argument: string) => argument.split(/[^A-Za-z0-9_.-]/).some((part) => names.includes(part));
  return listProcesses().flatMap((pid) => {
    const [name = '', ...args] = readCommand(pid);
    return program.test(basename(name)) && args.some(isNamed) ? (readStat(pid) ?? []) : [];
  });
}

/**
 * Kills what is left of a guest when its shim was ended, and removes its files below `root`. Names of sessions come again
 * in other namespaces of a daemon, and so do their ids: while one of those has a shim of the id, nothing is done.
 */
export async function endGuest({ id, address, namespace }: Sandbox, root = '/run'): Promise<void> {
  const isOthers = (shim: Shim) => shim.address !== address || shim.namespace !== namespace;
  if (listShims().some((shim) => shim.id === id && isOthers(shim))) return;
  const members = findGuest(id);
  for (const member of members) sendKill(member);
  const left = await waitUntilGone(members);
  if (left.length > 0) {
    const message = `processes of the guest of session ${id} do not end: ${left.map(({ pid }) => pid).join(', ')}`;
    throw new DriverError('unavailable', message, { operation: 'remove guest' });
  }
  for (const place of PLACES.map((path) => join(root, path, id))) {
    // Nothing is deleted through a mount: what lies behind it may be anyone's.
    for (const point of listMounts(place)) await runTool('umount', ['--', point]);
    await rm(place, { recursive: true, force: true });
  }
}
