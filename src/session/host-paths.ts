import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import os from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isAbsent } from '../core/absent.js';
import { isWithin } from '../policy/mounts.js';
import { locate, type MountEntry, readMountTable } from './mount-table.js';

/** A place of the host that no policy mounts: neither it, nor what is below or above it. */
export interface HostPath {
  path: string;
  /** What it is, as a phrase. */
  reason: string;
  /** Harmless to read. */
  isReadable?: boolean;
}

const places: readonly HostPath[] = [
  { path: '/proc', reason: 'the processes of the host and the settings of its kernel' },
  { path: '/sys', reason: 'the devices and cgroups of the host' },
  { path: '/dev', reason: 'the devices of the host' },
  { path: '/run', reason: 'the sockets of the services of the host, container engines among them' },
  { path: '/boot', reason: 'the kernel of the host' },
  { path: '/etc', reason: 'the accounts and the configuration of the host' },
  { path: '/root', reason: 'the home of root' },
  { path: '/var/lib/containerd', reason: 'the images and containers of containerd' },
  { path: '/var/lib/docker', reason: 'the images and containers of docker' },
  { path: '/var/lib/containers', reason: 'the images and containers of podman' },
  { path: '/var/lib/crio', reason: 'the containers of cri-o' },
  { path: '/var/lib/kubelet', reason: 'the volumes and secrets of Kubernetes' },
  { path: '/var/lib/rancher', reason: 'the containers and secrets of k3s and rke2' },
  { path: '/var/lib/cadre-containerd', reason: 'the volumes of all sessions, to be mounted by name' },
  { path: '/var/spool/cron', reason: 'commands that the host runs' },
  { path: '/usr', reason: 'programs that the host runs', isReadable: true },
  { path: '/bin', reason: 'programs that the host runs', isReadable: true },
  { path: '/sbin', reason: 'programs that the host runs', isReadable: true },
  { path: '/lib', reason: 'libraries that the host runs', isReadable: true },
  { path: '/lib64', reason: 'libraries that the host runs', isReadable: true },
];

/** Refused wherever they are; and a home is refused as a whole, as it may have them. */
const credentials = [
  ['.ssh', 'SSH keys'],
  ['.gnupg', 'PGP keys'],
  ['.aws', 'credentials of AWS'],
  ['.azure', 'credentials of Azure'],
  ['.config/gcloud', 'credentials of Google Cloud'],
  ['.config/gh', 'credentials of GitHub'],
  ['.kube', 'credentials of Kubernetes'],
  ['.docker', 'credentials of registries'],
  ['.netrc', 'passwords'],
  ['.git-credentials', 'passwords of git'],
  ['.password-store', 'passwords'],
] as const;

/** Sockets through which whoever reaches them is root on the host, by name: wherever an engine was told to listen. */
const engineSocket = /\/(containerd|docker|dockershim|cri-dockerd|podman|crio|buildkitd|k3s|libpod)[^/]*\.sock[^/]*$/;

/** Uids that people have (login.defs(5)); those of services often have / or /bin for a home. */
const PEOPLE = { first: 1_000, last: 60_000 };

/** What the host keeps for itself as it is now, the most telling reason first. `own` are places of this library's. */
export function listHostPaths(own: readonly HostPath[]): HostPath[] {
  const sockets = listEngineSockets().map((path) => ({ path, reason: 'the socket of a container engine' }));
  const secrets = listHomes().flatMap((home) =>
    credentials.map(([name, reason]) => ({ path: join(home, name), reason: `${reason} in a home` })),
  );
  const all = [...own, ...places, ...sockets, ...secrets];
  // A place that is a link is also where it leads to.
  return all.flatMap((place) => {
    const real = resolve(place.path);
    return real === place.path ? [place] : [place, { ...place, path: real }];
  });
}

/** Why a source may not be mounted; undefined when it may. `source` is resolved. */
export function findExposure(
  { source, readOnly }: { source: string; readOnly: boolean },
  hostPaths: readonly HostPath[],
  table: readonly MountEntry[] = readMountTable('self'),
): string | undefined {
  if (source === '/') return 'it is the whole host';
  for (const [name, reason] of credentials) {
    if (`${source}/`.includes(`/${name}/`)) return `${reason} (${name})`;
  }
  // Every containerd keeps what its plugins have in directories of such names.
  if (/\/io\.containerd\.[^/]+(\/|$)/.test(source)) return 'the images and containers of a containerd';
  // By where it is in its file system too, which may be mounted at a second place.
  const place = locate(table, source);
  for (const { path, reason, isReadable = false } of hostPaths) {
    if (isReadable && readOnly) continue;
    const hostPlace = locate(table, path);
    if (isWithin(source, path) || isPlacedWithin(place, hostPlace)) return `${path} is ${reason}`;
    if (isWithin(path, source) || isPlacedWithin(hostPlace, place)) return `in it is ${path}, ${reason}`;
  }
  return undefined;
}

function isPlacedWithin(place?: string, directory?: string): boolean {
  const [device = '', path = ''] = place?.split(/ (.*)/s) ?? [];
  const [otherDevice, otherPath = ''] = directory?.split(/ (.*)/s) ?? [];
  return device === otherDevice && isWithin(path, otherPath);
}

/** unix(7): what is bound in this network namespace, with the path it was bound to. */
function listEngineSockets(): string[] {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return lines.map((line) => line.slice(line.indexOf('/'))).filter((path) => engineSocket.test(path));
}

function listHomes(): string[] {
  const accounts = readText('/etc/passwd')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , uid]) => uid === '0' || (Number(uid) >= PEOPLE.first && Number(uid) <= PEOPLE.last))
    .flatMap((fields) => (fields[5]?.startsWith('/') ? [fields[5]] : []));
  const homes = listDirectory('/home').map((name) => join('/home', name));
  return [...new Set([...accounts, ...homes, os.homedir()])];
}

function readText(path: string): string {
  return readOr(() => readFileSync(path, 'utf8'), '');
}

function listDirectory(path: string): string[] {
  return readOr(() => readdirSync(path), []);
}

/** Of what is not there yet, where it would come to be. */
function resolve(path: string): string {
  const real = readOr(() => realpathSync(path), '');
  return real || join(resolve(dirname(path)), basename(path));
}

/** What is not there, as on a host without homes, keeps nothing. */
function readOr<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (isAbsent(error)) return otherwise;
    throw error;
  }
}
