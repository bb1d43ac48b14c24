import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import type { Denial } from '../../../src/network/allow/denial.js';
import { type Enforcer, type EnforcerOptions, openEnforcer } from '../../../src/network/allow/enforcer.js';

export const GATEWAY = '10.99.0.1';

/** The wall of a session in miniature: sockets are real and on loopback, and carry the destination that was meant. */
export interface Gate {
  enforcer: Enforcer;
  denials: Denial[];
  dns: UdpSocket;
  /** Connects as the session would; whether it is let in shows later. */
  open(address: string, port: number): Promise<Socket>;
  /** What a server that listens on loopback is to the host's network. */
  serve(address: string, port: number, server: Server): Promise<void>;
}

type GateOptions = Partial<EnforcerOptions> & {
  /** What the names lead to; what is not there is no name. */
  hosts?: Record<string, { address: string; ttl?: number }[]>;
};

export async function openGate({ hosts = {}, ...options }: GateOptions): Promise<Gate> {
  const tcp = createServer();
  const dns = createSocket('udp4').bind(0, '127.0.0.1');
  await once(dns, 'listening');
  onTestFinished(() => {
    dns.close();
  });
  const denials: Denial[] = [];
  const outside = new Map<string, number>();
  const enforcer = openEnforcer({
    tcp,
    dns,
    gateway: GATEWAY,
    allow: [],
    dnsServers: [],
    onDenial: (denial) => denials.push(denial),
    // A port of the host that nobody listens on.
    connect: (address, port) =>
      connect({ host: '127.0.0.1', port: outside.get(`${address}:${port}`) ?? 1, allowHalfOpen: true }),
    lookup: async (name) => {
      const found = hosts[name];
      if (found === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
      return found.map(({ address, ttl = 60 }) => ({ address, ttl }));
    },
    ...options,
  });
  onTestFinished(() => enforcer.close());
  return {
    enforcer,
    denials,
    dns,
    open: async (address, port) => {
      const door = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
        door.close();
        Object.defineProperties(socket, { localAddress: { value: address }, localPort: { value: port } });
        tcp.emit('connection', socket);
      });
      const socket = connect({ host: '127.0.0.1', port: await listen(door), allowHalfOpen: true });
      // Who reads it hears of it too.
      socket.on('error', () => socket.destroy());
      onTestFinished(() => {
        socket.destroy();
      });
      return socket;
    },
    serve: async (address, port, server) => {
      server.on('connection', (socket) => socket.on('error', () => socket.destroy()));
      outside.set(`${address}:${port}`, server.listening ? portOf(server) : await listen(server));
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return portOf(server);
}

/** All that comes, or how it breaks off. */
export async function readAll(socket: Socket): Promise<string> {
  try {
    return await text(socket);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
