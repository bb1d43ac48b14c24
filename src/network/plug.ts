import { listPorts } from '../policy/ports.js';
import type { NetworkRules } from '../policy/types.js';
import { type Attachment, attach, detach, listAttachments, noteAttachment, readAttachments } from './attachment.js';
import { isolatePort } from './bridge.js';
import type { CniResult, NetworkConfig } from './chain.js';
import { removeNamespace } from './namespace.js';
import { openNetwork, withNetworks } from './networks.js';
import { choosePorts, describeMapping, type OpenPort, readMapping } from './ports.js';
import { removeWall } from './wall.js';

/** Bits. Below it a single segment of TCP would not fit. */
const LEAST_BURST = 1_000_000;

export interface PlugRequest {
  /** Of all sessions of one daemon and namespace. */
  root: string;
  /** The session's own, below it. */
  directory: string;
  id: string;
  network: string;
  rules: Pick<NetworkRules, 'ports' | 'bandwidthKbps'>;
}

/** Plugs the namespace of a session into a network; resolves with its addresses there. */
export async function plug(request: PlugRequest): Promise<string[]> {
  const { directory } = request;
  const { attachment, isIsolated } = await prepare(request);
  const result = await attach(directory, attachment);
  const port = isIsolated ? findHostPort(attachment, result) : undefined;
  if (port !== undefined) await isolatePort(port);
  return listAddresses(result);
}

/** What is decided under the lock: the network is kept, and its ports are taken, from the moment that the note is there. */
function prepare({ root, directory, id, network: name, rules }: PlugRequest) {
  return withNetworks(async () => {
    const { bridge, ...network } = await openNetwork(root, name);
    const ports = await choosePorts(listPorts(rules.ports ?? []), (await listAttachments(root)).flatMap(listOpenPorts));
    const bandwidth = describeBandwidth(rules.bandwidthKbps);
    const runtimeConfig = {
      ...(ports.length === 0 ? {} : { portMappings: ports.map(describeMapping) }),
      ...(bandwidth === undefined ? {} : { bandwidth }),
    };
    const used = (await readAttachments(directory)).map(({ ifname }) => ifname);
    const ifname = Array.from({ length: used.length + 1 }, (_, index) => `eth${index}`).find(
      (one) => !used.includes(one),
    );
    // Of our own networks, what has nothing to do is not called.
    const isNeeded = ({ capabilities }: (typeof network.plugins)[number]) =>
      bridge === undefined ||
      capabilities === undefined ||
      Object.keys(capabilities).some((key) => key in runtimeConfig);
    // The way out is the first network's.
    const plugins = network.plugins
      .filter(isNeeded)
      .map((plugin) => (used.length > 0 ? withoutRoutes(plugin) : plugin));
    const attachment: Attachment = {
      containerId: id,
      ifname: ifname ?? 'eth0',
      network: { ...network, plugins },
      runtimeConfig,
    };
    await noteAttachment(directory, attachment);
    return { attachment, isIsolated: bridge?.isIsolated === true };
  });
}

function withoutRoutes(plugin: NetworkConfig['plugins'][number]): NetworkConfig['plugins'][number] {
  return typeof plugin.ipam === 'object' ? { ...plugin, ipam: { ...plugin.ipam, routes: [] } } : plugin;
}

/** Takes a session out of all its networks and gives its namespace back; may be repeated, whatever is left of it. */
export async function unplugAll(directory: string): Promise<void> {
  // A namespace that is gone takes its interfaces with it, and plugins then free the rest all the same.
  for (const attachment of await readAttachments(directory)) await detach(directory, attachment);
  await removeWall(directory);
  await removeNamespace(directory);
}

export function listOpenPorts({ runtimeConfig: { portMappings = [] } }: Attachment): OpenPort[] {
  return portMappings.map(readMapping);
}

/** Without the length of their prefix. */
export function listAddresses({ ips = [] }: CniResult): string[] {
  return ips.map(({ address }) => address.replace(/\/\d+$/, ''));
}

/** The host's end of the wire: the one that is neither inside nor the bridge. */
function findHostPort({ network }: Attachment, { interfaces = [] }: CniResult): string | undefined {
  const bridges = network.plugins.map(({ bridge }) => bridge);
  return interfaces.find(({ name, sandbox }) => !sandbox && !bridges.includes(name))?.name;
}

/** The plugin's names are the session's: ingress is what it receives. Rates in bit/s, bursts in bits. */
function describeBandwidth(asked: NetworkRules['bandwidthKbps']): Record<string, number> | undefined {
  if (asked === undefined) return undefined;
  const { in: inward, out: outward } = typeof asked === 'number' ? { in: asked, out: asked } : asked;
  const describe = (way: string, kbps: number | undefined) =>
    kbps === undefined
      ? {}
      : { [`${way}Rate`]: kbps * 1000, [`${way}Burst`]: Math.max(LEAST_BURST, Math.floor(kbps * 100)) };
  return { ...describe('ingress', inward), ...describe('egress', outward) };
}
