import { dirname } from 'node:path';
import { IntrospectionService } from '../generated/github.com/containerd/containerd/api/services/introspection/v1/introspection.js';
import type { SessionContext } from './context.js';
import { type HostPath, listHostPaths } from './host-paths.js';
import { readMountTable } from './mount-table.js';

/** All that is not to be mounted: the host's own places, those of this containerd and those of this library. */
export async function listExposures(context: SessionContext): Promise<HostPath[]> {
  const { channel, directory, volumes } = context;
  const own = [
    { path: channel.address, reason: 'the socket of containerd' },
    { path: dirname(volumes), reason: 'the volumes of all sessions, to be mounted by name' },
    { path: dirname(directory), reason: 'the state of all sessions' },
  ];
  const daemon = [...(await listRoots(context)), ...listStates()];
  const reason = 'the images and containers of containerd';
  return listHostPaths([...own, ...[...new Set(daemon)].map((path) => ({ path, reason }))]);
}

/** What holds the directories of containerd's plugins: their names tell where its own begins. */
const ownPart = /\/io\.containerd\..*$/s;

/** The daemon's directory of data, as its plugins tell it. */
async function listRoots({ channel }: SessionContext): Promise<string[]> {
  const { plugins } = await channel.unary(IntrospectionService.plugins, { filters: [] });
  return plugins.flatMap(({ exports: { root } }) => (root && ownPart.test(root) ? [root.replace(ownPart, '')] : []));
}

/** Directories of state: the root file systems of containers that run are mounted below them. */
function listStates(): string[] {
  const points = readMountTable('self').map(({ point }) => point);
  return points.filter((point) => ownPart.test(point)).map((point) => point.replace(ownPart, ''));
}
