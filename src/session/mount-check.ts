import { lstat, readlink, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { createInputError, DriverError } from '../core/error.js';
import { isWithin } from '../policy/mounts.js';
import { hidesProcesses } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import type { SessionContext } from './context.js';
import { readMountTable } from './mount-table.js';
import { findForbidden, type Pin } from './pins.js';
import type { SessionRecord } from './record.js';

/** Links that the kernel follows in one path (path_resolution(7)). */
const MOST_LINKS = 40;
const kernelPlaces = ['/proc', '/sys', '/dev'];

interface MountCheck {
  pid: number;
  spec: OciSpec;
  pins: readonly Pin[];
  record: Pick<SessionRecord, 'runtime' | 'held'>;
}

/**
 * Looks at what is really mounted in a session that is created and not started: nothing of the user's has run, and
 * nothing can have hidden what the runtime did. Throws `aborted` when a source is another than the one that was
 * checked, when anything of it is not as restricted as was asked, file systems below it included, or when any mount is at
 * a place of the kernel's that was not asked for. Where the host does not see inside, what it sees of the sources is
 * looked at once more, and what became of them inside is for the runtime alone.
 */
export async function checkMounts(
  context: SessionContext,
  { pid, spec: { mounts }, pins, record }: MountCheck,
): Promise<void> {
  if (hidesProcesses(record)) return checkSources(context, pins, record);
  const root = `/proc/${pid}/root`;
  const resolve = openResolver(root);
  await Promise.all(mounts.map(({ destination }) => checkPlace(resolve, destination)));
  if (pins.length === 0) return;
  const places = new Map<string, Pin | undefined>();
  for (const { destination } of mounts) {
    const pin = pins.find(({ target }) => target === destination);
    places.set(await resolve(destination), pin);
  }
  const table = readMountTable(pid);
  const refuse = (pin: Pin, what: string) =>
    new DriverError('aborted', `mount of ${pin.source} at ${pin.target}: ${what}`, { operation: 'check mounts' });
  // Once more: where the daemon keeps its state is seen in the session's own root file system.
  const [forbidden] = await findForbidden(context, pins);
  if (forbidden !== undefined) throw createInputError('mounts', [forbidden]);
  for (const pin of pins) {
    const place = await resolve(pin.target);
    const stats = await lstat(join(root, place), { bigint: true }).catch(() => undefined);
    const isMounted = table.some(({ point }) => point === place);
    if (!isMounted || stats?.dev !== pin.device || stats.ino !== pin.inode) {
      throw refuse(pin, 'another file took its place while the session was created');
    }
  }
  for (const { point, options } of table) {
    const [place = ''] = [...places.keys()].filter((candidate) => isWithin(point, candidate)).sort(byLength);
    const pin = places.get(place);
    if (pin === undefined) continue;
    const missing = ['nosuid', 'nodev', ...(pin.readOnly ? ['ro'] : [])].find((option) => !options.includes(option));
    if (missing !== undefined) throw refuse(pin, `${point} is not ${missing}, and this host cannot make it so`);
  }
}

/**
 * The names that the shim was given still stand for what was checked; one that was another for a moment is not seen. What is
 * held is no one's to swap.
 */
async function checkSources(
  context: SessionContext,
  pins: readonly Pin[],
  { held }: MountCheck['record'],
): Promise<void> {
  for (const { source, target, device, inode, isOwn } of pins) {
    if (held !== undefined && !isOwn) continue;
    const stats = await stat(source, { bigint: true }).catch(() => undefined);
    if (stats?.dev === device && stats.ino === inode) continue;
    const what = `mount of ${source} at ${target}: another file took its place while the session was created`;
    throw new DriverError('aborted', what, { operation: 'check mounts' });
  }
  const [forbidden] = await findForbidden(context, pins);
  if (forbidden !== undefined) throw createInputError('mounts', [forbidden]);
}

/**
 * A link of the image must not lead a mount to where the kernel's own files are: a tmpfs there, which runc lets be, keeps
 * the runtime from confining the session (CVE-2019-16884).
 */
async function checkPlace(resolve: Resolve, destination: string): Promise<void> {
  const isKernels = (path: string) => kernelPlaces.some((directory) => isWithin(path, directory));
  if (isKernels(destination)) return;
  const place = await resolve(destination);
  if (!isKernels(place)) return;
  const what = `mount at ${destination}: the image has a link there, to ${place}`;
  throw new DriverError('aborted', what, { operation: 'check mounts' });
}

function byLength(one: string, other: string): number {
  return other.length - one.length;
}

/** Undefined for what is no link, /proc/self of a session among it; what is not there is found out by what is missing in it. */
async function readLink(path: string): Promise<string | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isSymbolicLink() === true ? readlink(path).catch(() => undefined) : undefined;
}

/** Where a path of the session leads to inside. */
type Resolve = (path: string) => Promise<string>;

/**
 * For many paths of one session at one time: a name that several have in common is looked at once. Its links are read and never
 * followed: to the kernel they lead out.
 */
export function openResolver(root: string): Resolve {
  const links = new Map<string, Promise<string | undefined>>();
  const readOnce = (place: string) => {
    const link = links.get(place) ?? readLink(join(root, place));
    links.set(place, link);
    return link;
  };
  return async (path) => {
    let resolved = '/';
    const rest = path.split('/').filter(Boolean);
    for (let followed = 0; rest.length > 0; ) {
      const next = posix.join(resolved, rest.shift() as string);
      const link = await readOnce(next);
      if (link === undefined) resolved = next;
      else if (++followed > MOST_LINKS) throw new DriverError('aborted', `too many links in ${path} of the session`);
      else {
        rest.unshift(...link.split('/').filter(Boolean));
        if (link.startsWith('/')) resolved = '/';
      }
    }
    return resolved;
  };
}
