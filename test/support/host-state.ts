/** What a daemon and a containerd namespace hold on the host, whatever the daemon says. */
import { createHash } from 'node:crypto';
import { type Dirent, existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { isOwnerAlive } from '../../src/core/owner.js';
import type { Scope } from './leaks.js';

export interface HostState {
  /** Ids of running shims of this daemon and namespace. */
  readonly shims: readonly string[];
  /** Mount points under the daemon's root and under `stateRoot`. */
  readonly mounts: readonly string[];
  /** Directories below the namespace's own in any hierarchy; that one is kept by the namespace, not by a session. */
  readonly cgroups: readonly string[];
  /** Of the daemon, by id. */
  readonly bundles: readonly string[];
  readonly workDirectories: readonly string[];
  /** Containers in runc's state root. */
  readonly runc: readonly string[];
  /** Sockets of the shims of `ids`. */
  readonly sockets: readonly string[];
  /** Everything under `stateRoot` but what outlives sessions. */
  readonly files: readonly string[];
}

const BUNDLES = 'io.containerd.runtime.v2.task';

/** Lists by name, sorted. */
export async function observeHost(scope: Scope): Promise<HostState> {
  const { root, namespace, stateRoot } = scope;
  const bundles = await list(join(root, 'state', BUNDLES, namespace));
  const workDirectories = await list(join(root, 'root', BUNDLES, namespace));
  return {
    shims: await listShims(scope),
    mounts: await listMounts([root, ...(stateRoot ? [stateRoot] : [])]),
    cgroups: await listCgroups(scope),
    bundles,
    workDirectories,
    runc: await list(join('/run/containerd/runc', namespace)),
    sockets: listSockets(scope),
    files: stateRoot ? (await walk(stateRoot)).map(({ path }) => path).filter(isOfSession) : [],
  };
}

/** All but the first level, networks but for addresses in use, and the unused FIFOs of providers that are open. */
function isOfSession(path: string): boolean {
  if (/^[^/]+\/networks(\/[^/]+\.conflist|\/addresses(\/[^/]+(\/(last_reserved_ip\.0|lock))?)?)?$/.test(path))
    return false;
  const owner = path.match(/(?:^|\/)fifos\.[0-9a-f]+\.([^/]+)/)?.[1];
  return path.includes(sep) && (owner === undefined || !isOwnerAlive(owner));
}

/** Numbers of our own open descriptors, for a test that says that its process leaks none. */
export async function countDescriptors(pid: number | 'self' = 'self'): Promise<number> {
  return (await list(`/proc/${pid}/fd`)).length;
}

async function listShims({ address, namespace }: Scope): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await list('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const read = (option: string) => words[words.indexOf(option) + 1];
    if (!words.includes('-address') || read('-address') !== address || read('-namespace') !== namespace) continue;
    found.push(read('-id') ?? `pid ${pid}`);
  }
  return found.sort();
}

async function listMounts(roots: readonly string[]): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '');
  return points.filter((point) => roots.some((root) => point.startsWith(`${root}/`))).sort();
}

async function listCgroups({ namespace, ids = [] }: Scope): Promise<string[]> {
  const names = [namespace, ...ids];
  const directories = (await walk('/sys/fs/cgroup')).filter(({ isDirectory }) => isDirectory);
  const parts = directories.map(({ path }) => path.split(sep));
  return parts
    .filter((path) => path.some((part) => isNamed(part, names)) && path.at(-1) !== namespace)
    .map((path) => path.join(sep));
}

/** With the systemd driver a cgroup is called `prefix-ID.scope`. */
function isNamed(part: string, names: readonly string[]): boolean {
  return names.some((name) => part === name || part.endsWith(`-${name}.scope`));
}

function listSockets({ ids = [], ...scope }: Scope): string[] {
  return ids.filter((id) => existsSync(locateSocket(scope, id)));
}

/** Of a shim. containerd builds the name from address, namespace and id: the same in 1.6, 1.7 and 2.1. */
export function locateSocket({ address, namespace }: Scope, id: string): string {
  const name = createHash('sha256').update(join(address, namespace, id));
  return join('/run/containerd/s', name.digest('hex'));
}

interface Found {
  /** Relative to where the walk began. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** Everything below, sorted. What goes during the walk is left out, and only that. */
async function walk(top: string, below = ''): Promise<Found[]> {
  const found: Found[] = [];
  for (const entry of await read(join(top, below))) {
    const path = join(below, entry.name);
    found.push({ path, isDirectory: entry.isDirectory() });
    if (entry.isDirectory()) found.push(...(await walk(top, path)));
  }
  return found;
}

/** Names in a directory, sorted. */
async function list(directory: string): Promise<string[]> {
  return (await read(directory)).map(({ name }) => name);
}

/** Empty when there is no such directory. */
async function read(directory: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  } catch (error) {
    // ENODEV: a cgroup that was removed while it was read.
    if (['ENOENT', 'ENOTDIR', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}
