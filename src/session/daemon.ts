import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { IntrospectionService } from '../generated/github.com/containerd/containerd/api/services/introspection/v1/introspection.js';
import { Empty } from '../generated/google/protobuf/empty.js';
import type { Channel } from '../rpc/channel.js';
import { readOptional, readVisible } from './proc.js';

/** The process that is containerd, as far as this one can see it; its shims have the same environment and files. */
export interface DaemonProcess {
  environment: Readonly<Record<string, string>>;
  /** Where it looks for shims: its PATH, then the directory of its own program. */
  places: string[];
  /** Its root directory as this process reaches it; empty where both see the same files. */
  root: string;
}

/** Undefined where it cannot be told: the daemon is of another pid namespace, or not to be read by this user. */
export async function findDaemon(channel: Channel): Promise<DaemonProcess | undefined> {
  const { pid, pidns } = await channel.unary(IntrospectionService.server, Empty.create());
  // 1.6 tells no pid.
  if (pid === 0n) return readDaemon(findListener(channel.address));
  return pidns === BigInt(statSync('/proc/self/ns/pid').ino) ? readDaemon(Number(pid)) : undefined;
}

function readDaemon(pid: number | undefined): DaemonProcess | undefined {
  if (pid === undefined) return undefined;
  return readVisible(() => {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    const environment: Record<string, string> = Object.fromEntries(entries.map(parseEntry));
    const path = (environment.PATH ?? '').split(':').filter((place) => place.startsWith('/'));
    const isShared = (link: string) => readlinkSync(`/proc/${pid}/${link}`) === readlinkSync(`/proc/self/${link}`);
    return {
      environment,
      places: [...path, dirname(readlinkSync(`/proc/${pid}/exe`))],
      root: isShared('ns/mnt') && isShared('root') ? '' : `/proc/${pid}/root`,
    };
  }, undefined);
}

function parseEntry(entry: string): [name: string, value: string] {
  const end = entry.indexOf('=');
  return [entry.slice(0, end), entry.slice(end + 1)];
}

/** Flag of a socket that listens, in /proc/net/unix (unix(7)). */
const LISTENS = '00010000';

/** The process that listens on a socket: the socket's inode is named by the kernel, and by the descriptors that hold it. */
function findListener(address: string): number | undefined {
  const sockets = readOptional('/proc/net/unix')?.split('\n') ?? [];
  const paths = [address, readVisible(() => realpathSync(address), address)];
  const inodes = sockets.flatMap((line) => {
    const [, , , flags, , , inode, path = ''] = line.trim().split(/\s+/);
    return flags === LISTENS && paths.includes(path) ? [`socket:[${inode}]`] : [];
  });
  if (inodes.length === 0) return undefined;
  const isDaemon = (pid: number) => readOptional(`/proc/${pid}/comm`)?.trim() === 'containerd';
  const pids = readdirSync('/proc').map(Number).filter(Boolean);
  // Most likely first: to look at every descriptor of a host takes a while.
  return [...pids.filter(isDaemon), ...pids].find((pid) => holdsAny(pid, inodes));
}

function holdsAny(pid: number, sockets: readonly string[]): boolean {
  const directory = `/proc/${pid}/fd`;
  const read = (fd: string) => readVisible(() => readlinkSync(join(directory, fd)), '');
  return readVisible(() => readdirSync(directory), []).some((fd) => sockets.includes(read(fd)));
}
