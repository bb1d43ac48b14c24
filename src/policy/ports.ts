import { isIP } from 'node:net';
import type { Fault } from '../core/error.js';
import { findAllowFaults } from './allow.js';
import { isRecord } from './rule.js';
import type { IsolationPolicy } from './types.js';

/** A port of the session that is reached through one of the host. */
export interface PublishedPort {
  /** Address of the host; `0.0.0.0` is every one. */
  hostIp: string;
  /** Undefined until a free one is chosen. */
  hostPort?: number;
  port: number;
  protocol: 'tcp' | 'udp';
}

/** `[ADDRESS:][HOST_PORTS:]PORTS[/tcp|/udp]`, as docker spells it. */
export const portPattern =
  '^(?:(?:(?:\\d{1,3}\\.){3}\\d{1,3}:)?\\d{1,5}(?:-\\d{1,5})?:)?\\d{1,5}(?:-\\d{1,5})?(?:/(?:tcp|udp))?$';
/** `network.name` of the host's own network. */
export const HOST_NETWORK = 'host';
const LOOPBACK = '127.0.0.1';
/** resolv.conf(5), MAXNS. */
const MAX_SERVERS = 3;

export const addressPattern = '^[0-9A-Fa-f.:]{2,45}$';
const addressForm = new RegExp(addressPattern, 'u');

interface ReadPorts {
  ports: PublishedPort[];
  /** What is wrong with it; undefined when nothing is. */
  expected?: string;
}

function readEntry(entry: number | string): ReadPorts {
  const [mapping = '', protocol = 'tcp'] = String(entry).split('/');
  const parts = mapping.split(':');
  const inside = readRange(parts.at(-1));
  const outside = parts.length > 1 ? readRange(parts.at(-2)) : undefined;
  const hostIp = parts.length > 2 ? (parts[0] ?? '') : LOOPBACK;
  const ports: PublishedPort[] = [];
  if (inside === undefined || (parts.length > 1 && outside === undefined)) {
    return { ports, expected: 'ports from 1 to 65535, a range with its lower end first' };
  }
  if (outside !== undefined && outside.length !== inside.length) {
    return { ports, expected: 'as many ports of the host as of the session' };
  }
  if (isIP(hostIp) !== 4) return { ports, expected: 'an IPv4 address of the host before its port' };
  for (const [index, port] of inside.entries()) {
    const hostPort = outside?.[index];
    ports.push({ hostIp, ...(hostPort === undefined ? {} : { hostPort }), port, protocol: protocol as 'tcp' | 'udp' });
  }
  return { ports };
}

function readRange(text = ''): number[] | undefined {
  const [first = 0, last = first] = text.split('-').map(Number);
  if (!(first >= 1 && last <= 65_535 && first <= last)) return undefined;
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Of a list that is right. */
export function listPorts(given: readonly (number | string)[]): PublishedPort[] {
  return given.flatMap((entry) => readEntry(entry).ports);
}

/** Whether two cannot both be had. */
export function clashes(one: PublishedPort, other: PublishedPort): boolean {
  const isSamePlace = one.hostIp === other.hostIp || [one.hostIp, other.hostIp].includes('0.0.0.0');
  return (
    one.hostPort !== undefined && one.hostPort === other.hostPort && one.protocol === other.protocol && isSamePlace
  );
}

/** Read from anything. */
export function findNetworkContradictions(network: unknown): Fault[] {
  const { name, allow, ports, dns, bandwidthKbps } = isRecord(network) ? network : {};
  const faults: Fault[] = findAllowFaults(allow);
  for (const [key, value] of Object.entries({ ports, bandwidthKbps })) {
    if (name !== HOST_NETWORK || value === undefined) continue;
    faults.push({ path: `network.${key}`, value, expected: "nothing, as the host's network is not the session's" });
  }
  const seen: PublishedPort[] = [];
  for (const [index, entry] of Array.isArray(ports) ? ports.entries() : []) {
    if (typeof entry !== 'number' && (typeof entry !== 'string' || !new RegExp(portPattern, 'u').test(entry))) continue;
    const path = `network.ports[${index}]`;
    const { ports: found, expected } = readEntry(entry);
    if (expected !== undefined) faults.push({ path, value: entry, expected });
    else if (found.some((port) => seen.some((other) => clashes(port, other)))) {
      faults.push({ path, value: entry, expected: 'each port of the host once' });
    }
    seen.push(...found);
  }
  for (const [index, address] of Array.isArray(dns) ? dns.entries() : []) {
    // What has not even the form of one is a fault already.
    if (typeof address === 'string' && addressForm.test(address) && isIP(address) === 0) {
      faults.push({ path: `network.dns[${index}]`, value: address, expected: 'an IP address' });
    }
  }
  if (Array.isArray(dns) && dns.length > MAX_SERVERS) {
    faults.push({ path: 'network.dns', value: dns, expected: `at most ${MAX_SERVERS}, as resolvers use no more` });
  }
  return faults;
}

/** Rules for a network that the session does not have; its mode may come from what the policy lies upon. */
export function findIdleRules(input: unknown, { networkMode: base = 'full' }: IsolationPolicy): Fault[] {
  const { networkIsolation, networkMode, network } = isRecord(input) ? input : {};
  const mode = networkMode ?? (networkIsolation === undefined ? base : networkIsolation ? 'none' : 'full');
  if (!isRecord(network)) return [];
  const { allow, ...others } = network;
  const faults: Fault[] = [];
  for (const [key, value] of mode === 'none' ? Object.entries(others) : []) {
    const expected = 'networkMode full beside it: a session without a network has no use for it';
    faults.push({ path: `network.${key}`, value, expected });
  }
  if (allow !== undefined && mode !== 'allowlist') {
    const expected = `networkMode allowlist beside it: ${mode} asks nobody`;
    faults.push({ path: 'network.allow', value: allow, expected });
  }
  return faults;
}
