import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DriverError } from '../core/error.js';
import { findTool } from '../network/tools.js';
import { checkOptions } from '../policy/rule.js';
import { whole } from '../policy/schema.js';

/** Which port inside is reached, and where. */
export interface ForwardOptions {
  /** Of a program inside that listens on loopback or on every address. */
  targetPort: number;
  /** Of 127.0.0.1 on the host. Defaults to a free one. */
  localPort?: number;
}

/** Where connections lead: into a network namespace, or to an address that this host reaches. */
export type ForwardTarget = { netns: string } | { address: string };

/**
 * Runs in the network namespace and hands over connections made there: a socket belongs to the namespace that it was made
 * in (network_namespaces(7)), whoever reads it.
 */
const DIALER = `
const { connect } = require('node:net');
process.on('disconnect', () => process.exit());
process.on('message', ({ id, port }) => dial(id, port, ['127.0.0.1', '::1']));
function dial(id, port, [host, ...others]) {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.pause();
  socket.once('error', ({ code }) => others.length > 0 ? dial(id, port, others) : process.send({ id, code }));
  socket.once('connect', () => process.send({ id }, socket));
}`;

/** A port of 127.0.0.1 that leads to one inside a session, until it is closed. */
export class PortForward implements AsyncDisposable {
  /** Of 127.0.0.1 on the host. */
  readonly localPort: number;
  /** Inside. */
  readonly targetPort: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #dialer: Dialer;

  /** @internal */
  constructor(server: Server, sockets: Set<Socket>, dialer: Dialer, targetPort: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.#dialer = dialer;
    this.localPort = (server.address() as { port: number }).port;
    this.targetPort = targetPort;
  }

  /** Ends its connections too; may be called again. */
  async close(): Promise<void> {
    this.#dialer.close();
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const rules = { targetPort: whole(1, 65_535), localPort: whole(1, 65_535) };

/** Throws `invalid-argument` for what is no port. */
export function checkForward(options: ForwardOptions): void {
  checkOptions('forward options', options, rules, ['targetPort']);
}

/** Throws `already-exists` for a local port that is in use. */
export async function openForward(target: ForwardTarget, options: ForwardOptions): Promise<PortForward> {
  const { targetPort, localPort = 0 } = options;
  const dialer = 'netns' in target ? new NamespaceDialer(target.netns) : new AddressDialer(target.address);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    keep(near);
    near.on('error', () => near.destroy());
    dialer.dial(targetPort).then(
      (far) => {
        keep(far);
        join(near, far);
      },
      () => near.resetAndDestroy(),
    );
  });
  try {
    server.listen(localPort, '127.0.0.1');
    await once(server, 'listening');
  } catch (cause) {
    dialer.close();
    const code = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'already-exists' : 'unavailable';
    throw new DriverError(code, `port ${localPort} of 127.0.0.1 cannot be had: ${(cause as Error).message}`, { cause });
  }
  return new PortForward(server, sockets, dialer, targetPort);
}

/** Either side may end while the other still sends. */
function join(near: Socket, far: Socket): void {
  far.allowHalfOpen = true;
  far.on('error', () => near.destroy());
  near.on('close', () => far.destroy());
  far.on('close', () => near.destroy());
  near.pipe(far).pipe(near);
}

interface Dialer {
  dial(port: number): Promise<Socket>;
  close(): void;
}

class AddressDialer implements Dialer {
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  async dial(port: number): Promise<Socket> {
    const socket = connect({ host: this.#address, port, allowHalfOpen: true }).pause();
    await once(socket, 'connect');
    return socket;
  }

  close(): void {}
}

class NamespaceDialer implements Dialer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (socket: Socket) => void; reject: (error: Error) => void }>();
  #last = 0;

  constructor(netns: string) {
    const args = [`--net=${netns}`, process.execPath, '--eval', DIALER];
    this.#child = spawn(findTool('nsenter'), args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: {} });
    this.#child.on('message', ({ id, code }: { id: number; code?: string }, socket) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (socket === undefined) waiting?.reject(new Error(code));
      else waiting?.resolve(socket as Socket);
    });
    this.#child.on('error', () => this.#fail());
    this.#child.on('exit', () => this.#fail());
    // Neither keeps this process alive: the server does.
    this.#child.unref();
    this.#child.channel?.unref();
  }

  dial(port: number): Promise<Socket> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, port }, (error) => error && reject(error));
    });
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #fail(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('the session has no network any more'));
    this.#waiting.clear();
  }
}
