import { addSuppressed } from '../core/error.js';
import { type PluginCall, type PluginConfig, runPlugin } from './plugins.js';

/** A network as CNI 1.0 describes one ("Section 1: Network configuration format"). */
export interface NetworkConfig {
  cniVersion: string;
  name: string;
  plugins: (PluginConfig & { capabilities?: Record<string, boolean> })[];
}

/** What a plugin answers (CNI 1.0, "ADD Success"), as far as it is read here. */
export interface CniResult {
  interfaces?: { name: string; mac?: string; sandbox?: string }[];
  ips?: { address: string; gateway?: string; interface?: number }[];
  dns?: { nameservers?: string[] };
  [key: string]: unknown;
}

type Call = Omit<PluginCall, 'command'> & {
  /** Given to the plugins that say that they can do it, such as `portMappings`. */
  runtimeConfig: Record<string, unknown>;
};

/**
 * Each plugin after the other, with the result of the one before it, which is noted: plugins find by it on DEL what they
 * have to undo, also when this process ends in between.
 */
export async function addToNetwork(
  network: NetworkConfig,
  call: Call,
  note: (result: CniResult) => Promise<void>,
): Promise<CniResult> {
  let result: CniResult = {};
  for (const [index, plugin] of network.plugins.entries()) {
    const config = configure(network, plugin, call, index === 0 ? undefined : result);
    result = (await runPlugin(config, { ...call, command: 'ADD' })) ?? result;
    await note(result);
  }
  return result;
}

/** Rejects when something is not as ADD has left it. */
export async function checkNetwork(network: NetworkConfig, call: Call, result: CniResult): Promise<void> {
  for (const plugin of network.plugins) {
    await runPlugin(configure(network, plugin, call, result), { ...call, command: 'CHECK' });
  }
}

/** In reverse. All are called whatever becomes of one of them, and may be called again. */
export async function removeFromNetwork(network: NetworkConfig, call: Call, result?: CniResult): Promise<void> {
  const failures: unknown[] = [];
  for (const plugin of network.plugins.toReversed()) {
    try {
      await runPlugin(configure(network, plugin, call, result), { ...call, command: 'DEL' });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw addSuppressed(failures[0], failures.slice(1));
}

function configure(
  { cniVersion, name }: NetworkConfig,
  { capabilities = {}, ...plugin }: NetworkConfig['plugins'][number],
  { runtimeConfig }: Call,
  prevResult: CniResult | undefined,
): PluginConfig {
  const own = Object.entries(runtimeConfig).filter(([key]) => capabilities[key]);
  return {
    ...plugin,
    cniVersion,
    name,
    ...(own.length === 0 ? {} : { runtimeConfig: Object.fromEntries(own) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}
