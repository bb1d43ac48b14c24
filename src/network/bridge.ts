import { existsSync, readFileSync } from 'node:fs';
import { chooseSubnet, formatAddress, formatSubnet, parseSubnet, type Subnet } from './subnet.js';
import { runTool } from './tools.js';

/** Every bridge of ours begins with it. */
export const BRIDGE_PREFIX = 'cadre-';

/** A bridge of ours, which sessions are plugged into. */
export interface Bridge {
  /** Of the interface. */
  name: string;
  subnet: string;
  /** Sessions on it do not reach one another. */
  isIsolated: boolean;
}

interface Link {
  dst?: string;
  dev?: string;
}

/** Every range that this host has a route to, but its default route. */
async function listRoutes(): Promise<Subnet[]> {
  const routes = JSON.parse((await runTool('ip', ['-json', '-4', 'route', 'show', 'table', 'all'])).join('')) as Link[];
  return routes.flatMap(({ dst = '' }) => parseSubnet(dst) ?? []);
}

/** The asked range, or a private one that nobody uses; undefined when the asked one is in use. */
export async function takeSubnet(asked: string | undefined, reserved: readonly string[]): Promise<string | undefined> {
  const used = [...(await listRoutes()), ...reserved.flatMap((text) => parseSubnet(text) ?? [])];
  const wanted = asked === undefined ? chooseSubnet(used) : parseSubnet(asked);
  if (wanted === undefined) return undefined;
  if (asked === undefined) return formatSubnet(wanted);
  const isUsed = used.some(
    ({ base, bits }) => base < wanted.base + 2 ** (32 - wanted.bits) && wanted.base < base + 2 ** (32 - bits),
  );
  return isUsed ? undefined : formatSubnet(wanted);
}

/** The largest packet that the way out takes (ip-route(8)), so that none has to be broken up. */
export async function readMtu(): Promise<number | undefined> {
  const [route] = JSON.parse(
    (await runTool('ip', ['-json', '-4', 'route', 'show', 'default'])).join('') || '[]',
  ) as Link[];
  const file = `/sys/class/net/${route?.dev}/mtu`;
  return route?.dev !== undefined && existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

/** Makes what is missing of it; may be repeated. */
export async function ensureBridge(bridge: Bridge): Promise<void> {
  const { name, subnet } = bridge;
  if (existsSync(`/sys/class/net/${name}`)) return;
  const { base = 0, bits = 0 } = parseSubnet(subnet) ?? {};
  for (const rule of listRules(bridge)) await runTool('iptables', ['--wait', '--insert', ...rule]);
  await runTool('ip', ['link', 'add', 'name', name, 'type', 'bridge']);
  await runTool('ip', ['address', 'add', `${formatAddress(base + 1)}/${bits}`, 'dev', name]);
  await runTool('ip', ['link', 'set', 'dev', name, 'up']);
}

/** May be repeated. */
export async function removeBridge(bridge: Bridge): Promise<void> {
  for (const rule of listRules(bridge)) await removeRule(rule);
  if (!existsSync(`/sys/class/net/${bridge.name}`)) return;
  await runTool('ip', ['link', 'delete', 'dev', bridge.name]);
}

/** As often as it is there: of two processes one may have been killed. */
async function removeRule(rule: readonly string[]): Promise<void> {
  const isThere = () =>
    runTool('iptables', ['--wait', '--check', ...rule]).then(
      () => true,
      () => false,
    );
  while (await isThere()) await runTool('iptables', ['--wait', '--delete', ...rule]);
}

/** Keeps one port of a bridge from all others of it that are kept so (bridge(8), "isolated"). */
export async function isolatePort(device: string): Promise<void> {
  await runTool('ip', ['link', 'set', 'dev', device, 'type', 'bridge_slave', 'isolated', 'on']);
}

/**
 * Of all sessions of a bridge at once, as plugins would run iptables some twenty times for each of them. Each is inserted, so
 * that the last is looked at first. What is kept from passing is so in `mangle`, which comes before `filter` (iptables(8)):
 * there any program of the host may put first what lets everything pass.
 */
function listRules({ name, subnet, isIsolated }: Bridge): string[][] {
  const comment = ['-m', 'comment', '--comment', `cadre ${name}`];
  const unless = (...states: string[]) => ['-m', 'conntrack', '!', '--ctstate', states.join(), '-j', 'DROP'];
  // Publishing on loopback opens 127.0.0.0/8 to what comes from the bridge (`route_localnet` in ip-sysctl.rst), and with it
  // every service of the host that listens there alone (CVE-2020-8558): only answers may pass.
  const loopback = ['INPUT', '-i', name, '-d', '127.0.0.0/8', ...comment, ...unless('ESTABLISHED', 'RELATED')];
  // To another session, of whatever network of ours; what the host was asked to publish may be reached from there too.
  const sideways = unless('ESTABLISHED', 'RELATED', 'DNAT');
  const others = ['FORWARD', '-i', name, '-o', `${BRIDGE_PREFIX}+`, ...comment, ...sideways];
  const own = ['FORWARD', '-i', name, '-o', name, ...comment, '-j', 'ACCEPT'];
  const answers = ['-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED,DNAT', '-j', 'ACCEPT'];
  return [
    ['POSTROUTING', '-t', 'nat', '-s', subnet, '!', '-o', name, ...comment, '-j', 'MASQUERADE'],
    // A host that forwards for others lets nothing else pass, as one with docker.
    ['FORWARD', '-o', name, ...comment, ...answers],
    ['FORWARD', '-i', name, ...comment, '-j', 'ACCEPT'],
    ...[loopback, others, ...(isIsolated ? [] : [own])].map((rule) => [...rule, '-t', 'mangle']),
  ];
}
