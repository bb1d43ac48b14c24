import type { Socket as UdpSocket } from 'node:dgram';
import { connect, type Server, type Socket } from 'node:net';
import { AddressPins } from './address-pins.js';
import { watchClosed } from './closed.js';
import { Connection } from './connection.js';
import { type Denial, Refusal, Reporter } from './denial.js';
import { serveDatagrams } from './dns.js';
import { HttpProxy } from './http-proxy.js';
import { MAX_CONNECTIONS } from './limits.js';
import { type Lookup, NameCache, openLookup } from './resolver.js';
import { route } from './routes.js';
import { Ruleset } from './rules.js';
import type { Shared } from './shared.js';

/** Bytes under way in one direction of a connection. */
const HIGH_WATER_MARK = 256 * 1024;

export interface EnforcerOptions {
  /**
   * Accepts every connection of the session: `localAddress` and `localPort` of a socket are what the session meant to
   * reach. Best made with `allowHalfOpen`, `pauseOnConnect` and a `highWaterMark` of 256 KiB. Its life is the caller's.
   */
  tcp: Server;
  /** Receives what the session asks of the gateway. Its life is the caller's. */
  dns: UdpSocket;
  /** The gate's IPv4 address; its port 53 is DNS over TCP. */
  gateway: string;
  /** `network.allow` of a policy. */
  allow: readonly string[];
  /** Upstream resolvers, `address` or `address:port`; those of the host where the list is empty. */
  dnsServers: readonly string[];
  /** Called for each thing that was refused; more than 100 a second are told as a number. */
  onDenial(denial: Denial): void;
  /** Opens connections outwards. Defaults to net.connect. */
  connect?: Shared['connect'];
  /** Asks for addresses. Defaults to the upstream resolvers. */
  lookup?: Lookup;
}

/** Lets through what the rules allow, of what the wall of a session has caught. */
export interface Enforcer {
  /** Holds at once, also for what is open: connections that are no longer allowed end. */
  update(allow: readonly string[]): void;
  /** Ends every connection; what comes then is reset. May be called again. */
  close(): void;
}

/** Keeps no process alive by itself: the server and the socket do, unless the caller has unreferenced them. */
export function openEnforcer(options: EnforcerOptions): Enforcer {
  return new SessionEnforcer(options);
}

class SessionEnforcer implements Enforcer {
  readonly #findClosed = watchClosed();
  readonly #connections = new Set<Connection>();
  readonly #reporter: Reporter;
  readonly #shared: Shared;
  readonly #gateway: string;
  readonly #http: HttpProxy;
  readonly #stop: (() => void)[] = [];
  #rules: Ruleset;
  #isOpen = true;

  constructor({ tcp, dns, gateway, allow, dnsServers, onDenial, connect: open = dial, lookup }: EnforcerOptions) {
    const upstream = openLookup(dnsServers);
    this.#gateway = gateway;
    this.#rules = new Ruleset(allow, this.#findClosed);
    this.#reporter = new Reporter(onDenial);
    this.#shared = {
      rules: () => this.#rules,
      names: new NameCache(lookup ?? upstream.lookup),
      pins: new AddressPins(),
      report: (denial) => this.#reporter.report(denial),
      connect: open,
    };
    this.#http = new HttpProxy(this.#shared.rules);
    // The listener stays, so that nothing that comes after the end is left waiting.
    tcp.on('connection', (socket) => void this.#serve(socket));
    this.#stop.push(serveDatagrams(dns, this.#shared), upstream.cancel);
  }

  update(allow: readonly string[]): void {
    this.#rules = new Ruleset(allow, this.#findClosed);
    for (const connection of this.#connections) {
      if (!connection.isAllowed(this.#rules)) connection.deny({ reason: 'the rules have changed' });
    }
  }

  close(): void {
    this.#isOpen = false;
    for (const stop of this.#stop.splice(0)) stop();
    for (const connection of this.#connections) connection.reset();
    this.#reporter.close();
  }

  async #serve(near: Socket): Promise<void> {
    const { localAddress, localPort } = near;
    // A socket that is gone already has none.
    if (!this.#isOpen || localAddress === undefined || localPort === undefined) {
      near.resetAndDestroy();
      return;
    }
    const connection = new Connection(near, localAddress.replace(/^::ffff:/, ''), localPort, this.#shared);
    if (this.#connections.size >= MAX_CONNECTIONS) return connection.deny({ reason: 'too many connections at once' });
    this.#connections.add(connection);
    near.once('close', () => this.#connections.delete(connection));
    try {
      await route(connection, { ...this.#shared, gateway: this.#gateway, http: this.#http });
    } catch (error) {
      if (error instanceof Refusal) connection.deny(error.denial);
      // Nobody answers there: the session is told as it would be by the network.
      else connection.reset();
    }
  }
}

function dial(address: string, port: number): Socket {
  const options = { host: address, port, allowHalfOpen: true, highWaterMark: HIGH_WATER_MARK };
  return connect(options);
}
