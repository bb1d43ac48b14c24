import { createHash } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { listNamesSync } from '../core/absent.js';
import { nameShimGroup } from '../spec/runtime.js';
import { readLink, readOptional } from './proc.js';

// A shim listens on a socket whose name every generation of containerd makes in the same way, of the session's id or, where
// several share it, of their group's name. containerd notes the socket in the bundle of each session that it reaches by it.

const SHIM_SOCKETS = '/run/containerd/s';
/** Where containerd notes it; the second is that of 2.x. */
const NOTES = ['address', 'bootstrap.json'];

/** What names a shim's socket. */
interface SocketPlace {
  address: string;
  namespace: string;
  id: string;
}

/** A shim that was killed leaves its socket. */
export function removeSocket(place: SocketPlace): void {
  rmSync(nameSocket(place), { force: true });
}

/** The same where others may have the socket as well: it stays while somebody listens. */
export async function removeGroupSocket({ id: group, ...place }: SocketPlace): Promise<void> {
  const path = nameSocket({ ...place, id: nameShimGroup(group) });
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || (await hasListener(path))) return;
  // One that a new shim has made meanwhile is another file.
  if (statSync(path, { throwIfNoEntry: false })?.ino === found.ino) rmSync(path, { force: true });
}

function nameSocket({ address, namespace, id }: SocketPlace): string {
  const name = createHash('sha256').update(join(address, namespace, id));
  return join(SHIM_SOCKETS, name.digest('hex'));
}

function hasListener(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Ids of the sessions that containerd reaches by a shim; without those of which it has let go. */
export function listServed({ pid, bundle }: { pid: number; bundle: string }): string[] {
  const sockets = listSockets(pid);
  const parent = dirname(bundle);
  const isNoted = (id: string) =>
    NOTES.map((note) => readOptional(join(parent, id, note)) ?? '').some((text) =>
      sockets.some((socket) => text.includes(socket)),
    );
  return sockets.length === 0 ? [] : listNamesSync(parent).filter(isNoted);
}

/** Paths of the unix sockets that a process has open (proc_pid_net(5), "unix"). */
function listSockets(pid: number): string[] {
  const own = new Set(listNamesSync(`/proc/${pid}/fd`).map((fd) => readLink(`/proc/${pid}/fd/${fd}`)));
  const lines = (readOptional(`/proc/${pid}/net/unix`) ?? '')
    .split('\n')
    .map((line) => line.split(' ').filter(Boolean));
  const found = lines.flatMap(([, , , , , , inode, path]) =>
    path?.startsWith(SHIM_SOCKETS) && own.has(`socket:[${inode}]`) ? [path] : [],
  );
  return [...new Set(found)];
}
