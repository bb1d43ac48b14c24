import { existsSync, statSync } from 'node:fs';
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNamespace, isNamespace, nameNamespace, removeNamespace, runInside } from './namespace.js';

/**
 * Of the link between a session and its gate. It is the same for every session, as no two of them meet; a link-local one
 * (RFC 3927), as none of those leads anywhere.
 */
export const GATE_ADDRESS = '169.254.213.1';
export const SESSION_ADDRESS = '169.254.213.2';
const BITS = 30;
export const GATE_INTERFACE = 'gate0';
/** Where the kernel brings every connection, whatever its destination. */
export const GATE_PORT = 15_001;
/** Of what is brought there, and the table of routes that takes it for the gate's own. */
const MARK = 1;
const TABLE = 100;

// Known, so that neither end has to ask for the other's: locally administered (IEEE 802, section 8.2.2).
const GATE_MAC = '02:00:00:00:00:01';
const SESSION_MAC = '02:00:00:00:00:02';

/** The gate speaks no IPv6. With a way out of the session, attempts are seen there, and told of. */
const denied = [
  'address add fe80::2/64 dev eth0 nodad',
  `neighbour add fe80::1 lladdr ${GATE_MAC} dev eth0 nud permanent`,
  'route add default via fe80::1 dev eth0',
];

/** The rule that brings every connection to the gate (Documentation/networking/tproxy.rst). */
export const REDIRECT = [
  ...['PREROUTING', '-p', 'tcp'],
  ...['-j', 'TPROXY', '--on-port', String(GATE_PORT), '--on-ip', '0.0.0.0', '--tproxy-mark', `0x${MARK}/0xffffffff`],
];

/** Where the gate of a session is pinned, below the session's own directory, and what belongs to it. */
export function nameGate(directory: string): string {
  return join(directory, 'gate');
}

/** There when all of it is; touched when the rules have changed. */
function nameMarker(directory: string): string {
  return join(nameGate(directory), 'raised');
}

/** Number of a session's gate (ioctl_ns(2), "inode"); undefined unless all of its wall is there. */
export async function findGate(directory: string): Promise<number | undefined> {
  const gate = nameNamespace(nameGate(directory));
  const isThere = await Promise.all([nameNamespace(directory), gate].map(isNamespace));
  if (!existsSync(nameMarker(directory)) || !isThere.every(Boolean)) return undefined;
  return statSync(gate, { throwIfNoEntry: false })?.ino;
}

/** Is seen by whoever watches the gate's directory. */
export async function touchSignal(directory: string): Promise<void> {
  await utimes(nameMarker(directory), new Date(), new Date());
}

/**
 * Gives the namespace of a session a link that ends in a second namespace, the gate, which has no other. There is nothing to
 * forward to and no rule of the host's that has to hold: what no process takes in the gate goes nowhere.
 */
export async function raiseWall(directory: string): Promise<void> {
  const inside = nameNamespace(directory);
  const gate = nameGate(directory);
  await mkdir(gate, { recursive: true, mode: 0o700 });
  const { path } = await createNamespace(gate, [
    `link add name ${GATE_INTERFACE} address ${GATE_MAC} type veth peer name eth0 address ${SESSION_MAC} netns ${inside}`,
    `link set ${GATE_INTERFACE} addrgenmode none`,
    `address add ${GATE_ADDRESS}/${BITS} dev ${GATE_INTERFACE}`,
    `link set ${GATE_INTERFACE} up`,
    `rule add fwmark ${MARK} lookup ${TABLE}`,
    `route add local default dev lo table ${TABLE}`,
  ]);
  const link = [
    'link set eth0 addrgenmode none',
    'link set eth0 up',
    `address add ${SESSION_ADDRESS}/${BITS} dev eth0`,
    `route add default via ${GATE_ADDRESS}`,
    ...(existsSync('/proc/net/if_inet6') ? denied : []),
  ];
  await Promise.all([
    runInside(inside, 'ip', ['-batch', '-'], [...link, ''].join('\n')),
    runInside(path, 'iptables', ['--wait', '--table', 'mangle', '--append', ...REDIRECT]),
  ]);
  await writeFile(nameMarker(directory), '', { mode: 0o400 });
}

/** May be repeated. The link goes with the namespaces. */
export async function removeWall(directory: string): Promise<void> {
  await removeNamespace(nameGate(directory));
  await rm(nameGate(directory), { recursive: true, force: true });
}
