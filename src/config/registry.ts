import type { ContainerdProvider } from '../provider/provider.js';
import { PROVIDERS } from './fields.js';
import { emitOnce, type LoadOptions, loadProvider, resolveIsolation } from './isolation.js';
import type { Deprecation, IsolationConfig } from './types.js';

/** As much of the framework's `ProviderRegistry` as registering takes. */
export interface Registry {
  /** Keeps a factory under a name; the framework calls it when the name is first asked for. */
  register(name: string, factory: () => ContainerdProvider): unknown;
}

/**
 * Registers the provider under `containerd` and `container`, and under the old names `docker` and `kata`. The block is
 * checked now and throws as `resolveIsolation` does; a provider is made when its name is first asked for. Registers
 * nothing where isolation is switched off.
 */
export function registerContainerd(registry: Registry, block: IsolationConfig, options: LoadOptions = {}): void {
  const { env = process.env, warn = emitOnce } = options;
  const told = new Set<string>();
  const once = (deprecation: Deprecation) => {
    if (!told.has(deprecation.code)) warn(deprecation);
    told.add(deprecation.code);
  };
  if (resolveIsolation(block, { ...options, warn: once }) === undefined) return;
  // The registry has chosen by then, from the same variable or from something that goes before it.
  const named = { ...options, warn: once, env: { ...env, CADRE_ISOLATION_PROVIDER: undefined } };
  for (const provider of PROVIDERS) {
    let made: ContainerdProvider | undefined;
    registry.register(provider, () => {
      made ??= loadProvider({ ...block, provider }, named) as ContainerdProvider;
      return made;
    });
  }
}
