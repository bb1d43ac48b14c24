import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';

/** Where containerd listens: by itself, and as part of each Kubernetes distribution that brings its own. */
const SOCKETS = [
  '/run/containerd/containerd.sock',
  // k3s and rke2
  '/run/k3s/containerd/containerd.sock',
  '/var/snap/microk8s/common/run/containerd.sock',
  '/run/k0s/containerd.sock',
];

/**
 * The socket of the one containerd of this host. Two of them are two places for a session to be, which is not for
 * chance to decide. `root` is for a host that is mounted elsewhere, as on a node agent.
 */
export function findSocket(root = '/'): string {
  const found = SOCKETS.map((path) => join(root, path)).filter((path) => existsSync(path));
  const [socket, ...others] = found;
  if (socket !== undefined && others.length === 0) return socket;
  const problem = socket === undefined ? `no containerd was found at ${SOCKETS.join(', ')}` : 'there are several';
  const several = socket === undefined ? '' : `: ${found.join(', ')}`;
  throw new DriverError('failed-precondition', `address auto: ${problem}${several}; name the socket by its path`, {
    operation: 'find containerd',
  });
}
