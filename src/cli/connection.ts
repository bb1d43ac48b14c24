import type { ProviderOptions } from '../provider/options.js';
import type { ContainerdProvider } from '../provider/provider.js';
import type { connectionOptions, Values } from './verb.js';

/**
 * A provider for a verb that makes no session of its own, or names its image later. The library is loaded here and
 * nowhere else in the command line: help, versions and completions do without.
 */
export async function openProvider(
  { address, namespace, 'state-root': stateRoot, 'volume-root': volumeRoot }: Values<typeof connectionOptions>,
  options: Partial<ProviderOptions> = {},
): Promise<ContainerdProvider> {
  const { ContainerdProvider } = await import('../provider/provider.js');
  const { findSocket } = await import('../config/socket.js');
  const given = { address: address === 'auto' ? findSocket() : address, namespace, stateRoot, volumeRoot };
  const connection = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return new ContainerdProvider({ image: 'scratch', ...connection, ...options });
}
