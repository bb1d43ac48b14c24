import { lstatSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isWithin } from '../../policy/mounts.js';
import type { OciMount, OciSpec } from '../../spec/types.js';
import { openResolver } from '../mount-check.js';
import { findTop, locate, type MountEntry, readMountTable } from '../mount-table.js';
import { type Check, check, judge } from './check.js';
import { defaultDevices } from './device-nodes.js';

import { readPageSize } from './page-size.js';

const restrictions = ['ro', 'nosuid', 'nodev', 'noexec'];
const units: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** The file systems that a process sees: those of the spec as it says, its hidden and read-only places, and no other. */
export async function checkMounts(spec: OciSpec, pid: number): Promise<Check[]> {
  const source = `/proc/${pid}/mountinfo`;
  const table = readMountTable(pid);
  const own = readMountTable('self');
  const root = findTop(table, '/');
  const { maskedPaths, readonlyPaths } = spec.linux;
  const isRemade = (path: string) => readonlyPaths.includes(path);
  const last = new Map<string, OciMount>();
  // An image may have a link where something is to be mounted.
  const resolve = openResolver(`/proc/${pid}/root`);
  for (const mount of spec.mounts) last.set(await resolve(mount.destination), mount);
  return [
    check('root.readonly', spec.root.readonly, root?.options.includes('ro'), source),
    ...[...last].map(([place, mount]) => {
      const entry = findTop(table, place);
      const expected = expectMount(mount, own, isRemade(mount.destination));
      const observed = entry && describeMount(mount, entry);
      return judge(`mounts.${mount.destination}`, expected, observed, source, isAsAsked(expected, observed));
    }),
    ...[...last].flatMap(([place, mount]) => checkBelow(mount, place, table, source)),
    ...maskedPaths.map((path) => {
      const observed = observeMasked(table, pid, path);
      return judge(`linux.maskedPaths.${path}`, 'hidden', observed, source, observed !== 'visible');
    }),
    ...readonlyPaths.map((path) => {
      const entry = findTop(table, path);
      const observed = entry?.options.includes('ro') ? 'read-only' : exists(pid, path) ? 'writable' : 'absent';
      return judge(`linux.readonlyPaths.${path}`, 'read-only', observed, source, observed !== 'writable');
    }),
    check('mounts', [], listOthers(spec, last, table), source),
  ];
}

interface SeenMount {
  type?: string;
  /** Of a bind mount: device and path of what is mounted. */
  source?: string | undefined;
  /** Of a tmpfs, in bytes. */
  size?: number | undefined;
  restrictions: string[];
}

function expectMount(mount: OciMount, own: readonly MountEntry[], isRemade: boolean): SeenMount {
  const { options, type } = mount;
  const asked = restrictions.filter((word) => options.includes(word) || (word === 'ro' && isRemade));
  if (isBind(mount)) {
    return { source: locate(own, mount.source), restrictions: asked };
  }
  const size = options.find((option) => option.startsWith('size='));
  return { type, ...(size === undefined ? {} : { size: readSize(size) }), restrictions: asked };
}

function describeMount(mount: OciMount, { options, type, device, root, superOptions }: MountEntry): SeenMount {
  const seen = restrictions.filter((word) => options.includes(word));
  // A file that was replaced on the host since is still the one that was mounted.
  if (isBind(mount)) return { source: `${device} ${root.replace(/\/\/deleted$/, '')}`, restrictions: seen };
  const size = superOptions.find((option) => option.startsWith('size='));
  const isSized = mount.options.some((option) => option.startsWith('size='));
  // The hierarchies of cgroup v1 are gathered in a tmpfs.
  const isGroups = mount.type === 'cgroup' && ['tmpfs', 'cgroup2'].includes(type);
  return {
    type: isGroups ? 'cgroup' : type,
    ...(isSized ? { size: size && readSize(size) } : {}),
    restrictions: seen,
  } as SeenMount;
}

/** A bind mount keeps the restrictions of the place that it is made from, beside its own. */
function isAsAsked(expected: SeenMount, observed: SeenMount | undefined): boolean {
  if (observed === undefined) return false;
  const asked = (word: string) =>
    expected.source === undefined || word === 'ro' || expected.restrictions.includes(word);
  return isDeepStrictEqual(expected, { ...observed, restrictions: observed.restrictions.filter(asked) });
}

function isBind({ type, options }: OciMount): boolean {
  return type === 'bind' || options.includes('bind') || options.includes('rbind');
}

/** In bytes; the kernel counts a tmpfs in whole pages. */
function readSize(option: string): number | undefined {
  const [, digits, unit = ''] = /^size=(\d+)([kmg]?)$/i.exec(option) ?? [];
  if (digits === undefined) return undefined;
  const page = readPageSize();
  return Math.ceil((Number(digits) * (units[unit.toLowerCase()] ?? 1)) / page) * page;
}

/** Mounts that came along with a recursive bind, where they had to become as restricted as its top. */
function checkBelow(
  { destination, options }: OciMount,
  place: string,
  table: readonly MountEntry[],
  source: string,
): Check[] {
  const asked = restrictions.filter((word) => options.includes(`r${word}`));
  if (asked.length === 0) return [];
  const below = table.filter(({ point }) => point !== place && isWithin(point, place));
  const loose = below.filter((entry) => !asked.every((word) => entry.options.includes(word)));
  const points = loose.map(({ point }) => point);
  return [check(`mounts.${destination}.below`, [], points, `${source}, those that are not ${asked.join(', ')}`)];
}

/** What the host does not have cannot be hidden, and need not be. */
function observeMasked(table: readonly MountEntry[], pid: number, path: string): string {
  const entry = findTop(table, path);
  if (entry === undefined) return exists(pid, path) ? 'visible' : 'absent';
  const isEmptyDirectory = entry.type === 'tmpfs' && entry.options.includes('ro') && entry.root === '/';
  // In a user namespace no device can be made: the host's own are mounted. crun mounts the host's everywhere, which is of
  // the kernel's one devtmpfs.
  const nullMount = findTop(table, '/dev/null') ?? findTop(table, '/dev');
  const isNull = entry.root === '/null' && (entry.type === 'devtmpfs' || entry.device === nullMount?.device);
  return isEmptyDirectory || isNull ? 'hidden' : 'visible';
}

function exists(pid: number, path: string): boolean {
  // These places are below file systems of the kernel's own, so that no link of the session's is followed.
  return lstatSync(`/proc/${pid}/root${path}`, { throwIfNoEntry: false }) !== undefined;
}

/** Mounts that neither the spec asks for nor the runtime makes by itself. */
function listOthers(
  { linux, process }: OciSpec,
  mounts: ReadonlyMap<string, OciMount>,
  table: readonly MountEntry[],
): string[] {
  const known = new Set(['/', ...mounts.keys(), ...linux.maskedPaths, ...linux.readonlyPaths]);
  if (process.terminal) known.add('/dev/console');
  const wide = [...mounts].filter(([, mount]) => mount.options.includes('rbind') || mount.type === 'cgroup');
  const isBelow = (point: string) => wide.some(([place]) => isWithin(point, place));
  const isDevice = ({ point, root }: MountEntry) => point === `/dev${root}` && defaultDevices.includes(root.slice(1));
  const others = table.filter((entry) => linux.uidMappings === undefined || !isDevice(entry));
  return others.map(({ point }) => point).filter((point) => !known.has(point) && !isBelow(point));
}
