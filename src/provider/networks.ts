import { createNetwork, inspectNetwork, listNetworks, type Network, removeNetwork } from '../network/networks.js';
import { fileName } from '../policy/fields.js';
import { checkOptions } from '../policy/rule.js';
import { pattern } from '../policy/schema.js';
import type { SessionContext } from '../session/context.js';
import { connectSessionNetwork, disconnectSessionNetwork } from '../session/network.js';

/** How a network is made. */
export interface NetworkOptions {
  /** IPv4, such as `10.9.0.0/24`. Defaults to a private one that no route of the host covers. */
  subnet?: string;
}

const rules = {
  name: fileName,
  subnet: pattern(
    '^(?:\\d{1,3}\\.){3}\\d{1,3}/(?:[89]|1\\d|2\\d)$',
    'an IPv4 range of at least 8 addresses such as 10.9.0.0/24',
  ),
};

/** Networks that sessions are plugged into with `network: { name }`: this library's own, and the host's own of CNI. */
export class Networks {
  readonly #open: () => Promise<SessionContext>;

  /** @internal */
  constructor(open: () => Promise<SessionContext>) {
    this.#open = open;
  }

  /** Makes a network whose sessions reach one another. Throws `already-exists`, and `invalid-argument` for a subnet in use. */
  async create(name: string, options: NetworkOptions = {}): Promise<Network> {
    checkOptions('network', { ...options, name }, rules, ['name']);
    return createNetwork((await this.#open()).directory, name, options.subnet);
  }

  /** All of this daemon and namespace, and the host's, with the sessions in them. */
  async *list(): AsyncGenerator<Network, void, undefined> {
    yield* await listNetworks((await this.#open()).directory);
  }

  /** Throws `not-found`. */
  async inspect(name: string): Promise<Network> {
    return inspectNetwork((await this.#open()).directory, name);
  }

  /** Throws `failed-precondition` while a session is in it and for one of the host's, and `not-found`. */
  async remove(name: string): Promise<void> {
    await removeNetwork((await this.#open()).directory, name);
  }

  /** Gives a session one more interface; resolves with its addresses. `failed-precondition` for one without a network. */
  async connect(name: string, sessionIdOrName: string): Promise<string[]> {
    return connectSessionNetwork(await this.#open(), sessionIdOrName, name);
  }

  /** Takes the interface of that network away from a session. Throws `not-found` when it has none. */
  async disconnect(name: string, sessionIdOrName: string): Promise<void> {
    await disconnectSessionNetwork(await this.#open(), sessionIdOrName, name);
  }
}
