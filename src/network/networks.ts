import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent, listNames } from '../core/absent.js';
import { createInputError, DriverError } from '../core/error.js';
import { withLock } from '../core/lock.js';
import { HOST_NETWORK } from '../policy/ports.js';
import { listAttachments } from './attachment.js';
import { BRIDGE_PREFIX, type Bridge, ensureBridge, readMtu, removeBridge, takeSubnet } from './bridge.js';
import type { NetworkConfig } from './chain.js';

/** The network of a session that names none. Made for the first session, removed when nobody needs it. */
export const DEFAULT_NETWORK = 'default';
const HOST_CONFIGS = '/etc/cni/net.d';
const SUFFIX = '.conflist';

/** What one network is. */
export interface Network {
  /** What a policy's `network.name` says. */
  name: string;
  /** `own`: made by this library; `host`: one of the host's own files of CNI. */
  origin: 'own' | 'host';
  /** Types of the plugins that make it, in their order. */
  plugins: string[];
  /** Of the library's own. */
  subnet?: string;
  /** Name of its interface on the host. Of the library's own. */
  bridge?: string;
  /** Ids of the sessions in it. */
  sessions: string[];
}

/** An own one has a bridge, which is kept with it. */
export type KnownNetwork = NetworkConfig & { bridge?: Bridge };

/** Changes of what networks there are take turns on the whole host: two would choose the same subnet. */
export function withNetworks<T>(work: () => Promise<T>): Promise<T> {
  return withLock(['networks'], work);
}

function nameDirectory(directory: string): string {
  return join(directory, 'networks');
}

/** Makes a network of sessions that reach one another. `directory` is that of one daemon's and namespace's sessions. */
export async function createNetwork(directory: string, name: string, subnet?: string): Promise<Network> {
  return withNetworks(async () => {
    if ([DEFAULT_NETWORK, HOST_NETWORK].includes(name) || (await readNetwork(directory, name)) !== undefined) {
      throw new DriverError('already-exists', `there is a network ${name} already`, { operation: 'create network' });
    }
    return describe(directory, await makeNetwork(directory, { name, subnet, isIsolated: false }));
  });
}

async function makeNetwork(
  directory: string,
  { name, subnet: asked, isIsolated }: { name: string; subnet?: string | undefined; isIsolated: boolean },
): Promise<KnownNetwork> {
  const own = await listOwn(directory);
  const subnet = await takeSubnet(
    asked,
    own.flatMap(({ bridge }) => bridge?.subnet ?? []),
  );
  if (subnet === undefined) {
    const expected = 'an IPv4 range such as 10.1.0.0/24 that no route of this host leads to';
    throw createInputError('network', [{ path: 'subnet', value: asked, expected }]);
  }
  const hash = createHash('sha256').update(join(directory, name)).digest('hex').slice(0, 8);
  const bridge = { name: BRIDGE_PREFIX + hash, subnet, isIsolated };
  const dataDir = join(nameDirectory(directory), 'addresses');
  const mtu = await readMtu();
  const network: KnownNetwork = {
    cniVersion: '1.0.0',
    name,
    bridge,
    plugins: [
      {
        type: 'bridge',
        bridge: bridge.name,
        isGateway: true,
        hairpinMode: true,
        ...(mtu === undefined ? {} : { mtu }),
        ipam: { type: 'host-local', dataDir, ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  };
  await mkdir(nameDirectory(directory), { recursive: true, mode: 0o700 });
  const file = join(nameDirectory(directory), name + SUFFIX);
  // Whole or not at all, and before what it tells of.
  await writeFile(`${file}.new`, JSON.stringify(network));
  await rename(`${file}.new`, file);
  await ensureBridge(bridge);
  return network;
}

/** The network to plug a session into, ready for it; call it under `withNetworks`. */
export async function openNetwork(directory: string, name: string): Promise<KnownNetwork> {
  const found = await readNetwork(directory, name);
  if (found === undefined && name === DEFAULT_NETWORK) return makeNetwork(directory, { name, isIsolated: true });
  if (found === undefined) throw createMissing(name);
  if (found.bridge !== undefined) await ensureBridge(found.bridge);
  return found;
}

/** Of this library first, then of the host. */
async function readNetwork(directory: string, name: string): Promise<KnownNetwork | undefined> {
  const all = [...(await listOwn(directory)), ...(await listHost())];
  return all.find((network) => network.name === name);
}

export async function listNetworks(directory: string): Promise<Network[]> {
  const own = await listOwn(directory);
  const others = (await listHost()).filter(({ name }) => own.every((network) => network.name !== name));
  return Promise.all([...own, ...others].map((network) => describe(directory, network)));
}

/** Throws `not-found`. */
export async function inspectNetwork(directory: string, name: string): Promise<Network> {
  const found = await readNetwork(directory, name);
  if (found === undefined) throw createMissing(name);
  return describe(directory, found);
}

/** Throws `failed-precondition` while a session is in it and for one of the host's own, and `not-found`. */
export async function removeNetwork(directory: string, name: string): Promise<void> {
  await withNetworks(async () => {
    const found = await readNetwork(directory, name);
    if (found === undefined) throw createMissing(name);
    const { origin, sessions } = await describe(directory, found);
    if (origin === 'host') throw refuse(`network ${name} is the host's own`);
    if (sessions.length > 0) throw refuse(`network ${name} is used by ${sessions.join(', ')}`);
    await dropNetwork(directory, found);
  });
}

/** Removes the default network when no session is in it: the next one makes it again. */
export async function removeIdleNetwork(directory: string): Promise<void> {
  // Without the lock first: mostly there is none.
  if ((await listOwn(directory)).every(({ name }) => name !== DEFAULT_NETWORK)) return;
  await withNetworks(async () => {
    const found = (await listOwn(directory)).find(({ name }) => name === DEFAULT_NETWORK);
    if (found === undefined || (await describe(directory, found)).sessions.length > 0) return;
    await dropNetwork(directory, found);
  });
}

async function dropNetwork(directory: string, { name, bridge }: KnownNetwork): Promise<void> {
  if (bridge !== undefined) await removeBridge(bridge);
  await rm(join(nameDirectory(directory), 'addresses', name), { recursive: true, force: true });
  await rm(join(nameDirectory(directory), name + SUFFIX), { force: true });
  for (const empty of [join(nameDirectory(directory), 'addresses'), nameDirectory(directory)]) {
    await rmdir(empty).catch((error: NodeJS.ErrnoException) => {
      if (!['ENOTEMPTY', 'ENOENT'].includes(error.code ?? '')) throw error;
    });
  }
}

async function describe(directory: string, { name, plugins, bridge }: KnownNetwork): Promise<Network> {
  const attachments = await listAttachments(directory);
  return {
    name,
    origin: bridge === undefined ? 'host' : 'own',
    plugins: plugins.map(({ type }) => type),
    ...(bridge === undefined ? {} : { subnet: bridge.subnet, bridge: bridge.name }),
    sessions: attachments.filter(({ network }) => network.name === name).map(({ containerId }) => containerId),
  };
}

function listOwn(directory: string): Promise<KnownNetwork[]> {
  return readConfigs(nameDirectory(directory));
}

async function listHost(): Promise<KnownNetwork[]> {
  const found = await readConfigs(process.env.NETCONFPATH ?? HOST_CONFIGS);
  return found.map(({ bridge: _, ...network }) => network);
}

async function readConfigs(place: string): Promise<KnownNetwork[]> {
  const names = await listNames(place);
  const files = names.filter((name) => name.endsWith(SUFFIX)).sort();
  const found = await Promise.all(files.map((name) => readConfig(join(place, name))));
  return found.flatMap((network) => network ?? []);
}

/** Undefined when it went meanwhile. */
async function readConfig(file: string): Promise<KnownNetwork | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as KnownNetwork;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new DriverError('data-loss', `${file} is no network of CNI: ${(error as Error).message}`, { cause: error });
  }
}

function createMissing(name: string): DriverError {
  return new DriverError('not-found', `there is no network ${name}`, { operation: 'network' });
}

function refuse(message: string): DriverError {
  return new DriverError('failed-precondition', message, { operation: 'remove network' });
}
