import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type Denial, Refusal } from './denial.js';
import { DIAL_MS, IDLE_MS } from './limits.js';
import type { Ruleset } from './rules.js';
import type { Shared } from './shared.js';

/** Whether something that was allowed still is. */
export type Ground = (rules: Ruleset, address: string) => boolean;

/** One connection of a session, with those outwards that serve it. */
export class Connection {
  readonly near: Socket;
  /** Where the session meant it to lead. */
  readonly address: string;
  readonly port: number;
  readonly #shared: Shared;
  readonly #fars = new Map<Socket, (rules: Ruleset) => boolean>();

  constructor(near: Socket, address: string, port: number, shared: Shared) {
    this.near = near;
    this.address = address;
    this.port = port;
    this.#shared = shared;
    prepare(near);
    near.on('close', () => {
      for (const far of this.#fars.keys()) if (far.connecting) far.destroy();
    });
  }

  /** Tells of what was refused. */
  tell(denial: Pick<Denial, 'reason'> & Partial<Denial>): void {
    this.#shared.report({ protocol: 'tcp', address: this.address, port: this.port, ...denial });
  }

  /** Tells of it and ends the connection. */
  deny(denial: Pick<Denial, 'reason'> & Partial<Denial>): void {
    this.tell(denial);
    this.reset();
  }

  /** Nothing that was read before is passed on. */
  reset(): void {
    for (const socket of [this.near, ...this.#fars.keys()]) {
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  /** Whether the rules still allow all that it carries. */
  isAllowed(rules: Ruleset): boolean {
    return [...this.#fars.values()].every((holds) => holds(rules));
  }

  /** Connects to the first address that answers. The ground is looked at now, and when the rules change. */
  async dial(addresses: readonly string[], ground: Ground): Promise<Socket> {
    let failure: unknown = new Error('no address');
    for (const address of addresses) {
      if (this.near.destroyed) break;
      if (!ground(this.#shared.rules(), address)) {
        throw new Refusal({ protocol: 'tcp', address, port: this.port, reason: 'the rules have changed' });
      }
      const far = this.#shared.connect(address, this.port);
      prepare(far);
      this.#fars.set(far, (rules) => ground(rules, address));
      far.once('close', () => this.#fars.delete(far));
      const timer = setTimeout(() => far.destroy(new Error('no answer in time')), DIAL_MS).unref();
      try {
        await once(far, 'connect');
        return far;
      } catch (error) {
        failure = error;
        far.destroy();
      } finally {
        clearTimeout(timer);
      }
    }
    throw failure;
  }

  /**
   * Connects to a host that the rules allow by its name; the address that the session chose counts only where it was told
   * so. Throws a `Refusal` where the name leads nowhere that is open.
   */
  async dialName(name: string, protocol: 'tls' | 'http'): Promise<Socket> {
    const { address, port } = this;
    const { names, pins, rules } = this.#shared;
    const ground: Ground = (now, chosen) => now.allowsName(name, port) && now.isReachable(chosen, port);
    if (pins.has(address, name)) return this.dial([address], ground);
    const found = await names.resolve(name);
    if (found.status !== 'found') throw new Refusal({ protocol, name, port, reason: 'the name leads to no address' });
    const closed = found.addresses.find((one) => !rules().isReachable(one, port));
    if (closed !== undefined) {
      throw new Refusal({
        protocol,
        name,
        address: closed,
        port,
        reason: 'the name leads to an address that is closed',
      });
    }
    return this.dial(found.addresses, ground);
  }

  /** Carries what the far side says; an error of one side is one of the other. */
  hear(far: Socket): void {
    const { near } = this;
    far.on('error', () => this.reset());
    near.on('error', () => this.reset());
    // What was read is still passed on.
    far.on('close', () => near.destroySoon());
    near.on('close', () => far.destroySoon());
    far.pipe(near);
  }

  /** Carries bytes both ways until both sides have ended. */
  join(far: Socket): void {
    this.hear(far);
    this.near.pipe(far);
  }
}

function prepare(socket: Socket): void {
  // Either side may end while the other still sends.
  socket.allowHalfOpen = true;
  socket.unref();
  socket.setNoDelay(true);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
}
