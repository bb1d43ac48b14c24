import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';

/** A range of addresses. */
export type Range = [address: ipaddr.IPv4, bits: number];

/**
 * What no name leads to: of the IANA IPv4 Special-Purpose Address Registry all that is not documentation, multicast, and
 * where clouds serve credentials to whoever asks, public addresses among them.
 */
const ranges: Range[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Of all clouds, of Amazon's containers, of Alibaba, of Oracle, of Azure.
  '169.254.169.254/32',
  '169.254.170.2/32',
  '100.100.100.200/32',
  '192.0.0.192/32',
  '168.63.129.16/32',
].map((text) => ipaddr.IPv4.parseCIDR(text));

/** For how long the host's own addresses are taken as they were, in ms. */
const FRESH_MS = 1_000;

/** Whether an address is one that has to be named; the ranges that it is closed by. */
export type FindClosed = (address: ipaddr.IPv4) => Range[];

/** By the table, and by what addresses this host has at the moment. */
export function watchClosed(): FindClosed {
  let own: Range[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return (address) => {
    if (performance.now() - readAt > FRESH_MS) {
      own = listOwn();
      readAt = performance.now();
    }
    return [...ranges, ...own].filter((range) => address.match(range));
  };
}

function listOwn(): Range[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.flatMap(({ family, address }): Range[] => (family === 'IPv4' ? [[ipaddr.IPv4.parse(address), 32]] : [])),
  );
}

/** Whether all of the one lies in the other. */
export function isWithin([address, bits]: Range, range: Range): boolean {
  return bits >= range[1] && address.match(range);
}
