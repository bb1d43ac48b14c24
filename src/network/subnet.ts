import { DriverError } from '../core/error.js';

/** A range of IPv4 addresses. */
export interface Subnet {
  /** Its first address. */
  base: number;
  /** Length of the prefix. */
  bits: number;
}

/** Private ranges (RFC 1918) where nothing well known sits: docker, podman and Kubernetes begin elsewhere. */
const pools = ['10.213.0.0/16', '172.29.0.0/16', '192.168.208.0/20'];
const OWN_BITS = 24;

export function parseSubnet(text: string): Subnet | undefined {
  const [, address = '', bits = '32'] = /^([\d.]+)(?:\/(\d+))?$/.exec(text) ?? [];
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part <= 255)) || Number(bits) > 32) return undefined;
  const value = parts.reduce((sum, part) => sum * 256 + part, 0);
  const size = 2 ** (32 - Number(bits));
  return { base: value - (value % size), bits: Number(bits) };
}

export function formatSubnet({ base, bits }: Subnet): string {
  return `${formatAddress(base)}/${bits}`;
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

export function overlaps(one: Subnet, other: Subnet): boolean {
  return one.base < other.base + 2 ** (32 - other.bits) && other.base < one.base + 2 ** (32 - one.bits);
}

/** The first private subnet that is none of those in use. */
export function chooseSubnet(used: readonly Subnet[]): Subnet {
  for (const pool of pools.map(parseSubnet)) {
    if (pool === undefined) continue;
    for (let index = 0; index < 2 ** (OWN_BITS - pool.bits); index++) {
      const subnet = { base: pool.base + index * 2 ** (32 - OWN_BITS), bits: OWN_BITS };
      if (used.every((other) => !overlaps(subnet, other))) return subnet;
    }
  }
  const message = `no subnet of ${pools.join(', ')} is free: the routes of this host cover all of them`;
  throw new DriverError('resource-exhausted', message, { operation: 'network' });
}
