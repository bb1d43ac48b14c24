import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { DriverError } from '../core/error.js';
import { clashes, type PublishedPort } from '../policy/ports.js';
import { runTool } from './tools.js';

/** As the plugin `portmap` takes one. */
export interface PortMapping {
  hostPort: number;
  containerPort: number;
  protocol: string;
  hostIP?: string;
}

/** A port of the host that leads to one of a session. */
export type OpenPort = Required<PublishedPort>;

/** How often a free port is looked for. */
const TRIES = 20;

/**
 * Gives each its port of the host, a free one where none was asked for. Throws `failed-precondition` for one that is taken: by
 * a process of the host, or by the rules of any container, which would go unnoticed. Call it under `withNetworks`.
 */
export async function choosePorts(ports: readonly PublishedPort[], taken: readonly OpenPort[]): Promise<OpenPort[]> {
  if (ports.length === 0) return [];
  const rules = await readRules();
  const chosen: OpenPort[] = [];
  for (const port of ports) {
    const used = (open: OpenPort) =>
      [...taken, ...chosen].some((other) => clashes(open, other)) || rules.has(`${open.protocol} ${open.hostPort}`);
    chosen.push(await choosePort(port, used));
  }
  return chosen;
}

async function choosePort(asked: PublishedPort, isUsed: (port: OpenPort) => boolean): Promise<OpenPort> {
  for (let round = 0; round < TRIES; round++) {
    const hostPort = await bind(asked);
    const open = { ...asked, hostPort: hostPort ?? 0 };
    if (hostPort !== undefined && !isUsed(open)) return open;
    if (asked.hostPort !== undefined) break;
  }
  const { hostIp, hostPort = 'any', protocol } = asked;
  throw new DriverError('failed-precondition', `port ${hostPort}/${protocol} of ${hostIp} is in use on this host`, {
    operation: 'publish port',
  });
}

/** The port, when a process could have it now. */
async function bind({ hostIp, hostPort = 0, protocol }: PublishedPort): Promise<number | undefined> {
  try {
    if (protocol === 'udp') {
      const socket = createSocket('udp4').bind(hostPort, hostIp);
      await once(socket, 'listening');
      const { port } = socket.address();
      await new Promise<void>((resolve) => socket.close(resolve));
      return port;
    }
    const server = createServer().listen(hostPort, hostIp);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    return port;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') return undefined;
    throw new DriverError('invalid-argument', `port ${hostPort} of ${hostIp} cannot be published: ${message}`, {
      cause,
    });
  }
}

/** Ports that `portmap` redirects already, whoever asked for it. */
async function readRules(): Promise<Set<string>> {
  const lines = await runTool('iptables', ['--wait', '--table', 'nat', '--list-rules']);
  return new Set(
    lines.flatMap((line) => {
      const [, protocol, port] = /^-A CNI-DN-\S+ .*-p (tcp|udp) .*--dport (\d+) -j DNAT/.exec(line) ?? [];
      return port === undefined ? [] : [`${protocol} ${port}`];
    }),
  );
}

export function describeMapping({ hostIp, hostPort, port, protocol }: OpenPort): PortMapping {
  return { hostPort, containerPort: port, protocol, ...(hostIp === '0.0.0.0' ? {} : { hostIP: hostIp }) };
}

export function readMapping({ hostPort, containerPort, protocol, hostIP = '0.0.0.0' }: PortMapping): OpenPort {
  return { hostIp: hostIP, hostPort, port: containerPort, protocol: protocol as OpenPort['protocol'] };
}
