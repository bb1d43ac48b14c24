import { createInputError } from '../core/error.js';
import { type Findings, object } from '../policy/rule.js';
import { type ProviderOptions, resolveOptions } from '../provider/options.js';
import { ContainerdProvider } from '../provider/provider.js';
import { replaceAliases } from './aliases.js';
import { checkDemands } from './demands.js';
import { isolationFields, PROVIDERS } from './fields.js';
import { findSocket } from './socket.js';
import type { ContainerConfig, Deprecation, IsolationConfig } from './types.js';

/** Where settings come from beside the block, and who is told. */
export interface LoadOptions {
  /** Defaults to `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** Called once for each old key. Defaults to a `DeprecationWarning` of the process, once for each code. */
  warn?: (deprecation: Deprecation) => void;
  /** Told of each setting that was taken from somewhere else than the configuration. Defaults to nothing. */
  log?: (message: string) => void;
}

/** Which environment variable stands for which setting; it wins over the configuration. */
const variables = {
  CADRE_RUNTIME: 'runtime',
  CONTAINERD_ADDRESS: 'address',
  CONTAINERD_NAMESPACE: 'namespace',
} as const;

/**
 * Reads the framework's `isolation` block into the options of a provider: environment over configuration over default.
 * Undefined when isolation is switched off. Throws `invalid-argument` with every fault and the nearest known key, and
 * `CapabilityMismatchError` where the block's own policies ask for what its runtime or this host does not have.
 */
export function resolveIsolation(block: unknown, options: LoadOptions = {}): ProviderOptions | undefined {
  const { env = process.env, warn = emitOnce, log = () => undefined } = options;
  const config = parseBlock(block);
  if (config.enabled === false) return undefined;
  const asked = readVariable(env, 'CADRE_ISOLATION_PROVIDER');
  if (asked !== undefined) log(`isolation.provider is ${asked}, from CADRE_ISOLATION_PROVIDER`);
  const provider = asked === undefined ? config.provider : checkProvider(asked);
  const settings = replaceAliases({ ...config, ...(provider === undefined ? {} : { provider }) }, warn);
  const chosen: ContainerConfig = { ...settings };
  for (const [variable, key] of Object.entries(variables)) {
    const value = readVariable(env, variable);
    if (value === undefined) continue;
    chosen[key] = value;
    log(`isolation.containerOptions.${key} is ${value}, from ${variable}`);
  }
  if (chosen.address === 'auto') {
    chosen.address = findSocket();
    log(`isolation.containerOptions.address is ${chosen.address}, found on this host`);
  }
  const { image, ...rest } = chosen;
  if (image === undefined) {
    const expected = 'an image reference, such as alpine:3';
    throw createInputError('configuration', [{ path: 'isolation.containerOptions.image', value: image, expected }]);
  }
  const { policyProfile: profile, policyProfiles: profiles, policy } = config;
  const given = Object.entries({ profile, profiles, policy }).filter(([, value]) => value !== undefined);
  const resolved = { image, ...rest, ...Object.fromEntries(given) };
  // Now, and not when the first session is asked for.
  checkDemands(config, resolveOptions(resolved, env));
  return resolved;
}

/** A provider as the block says; undefined when isolation is switched off. Nothing is connected yet. */
export function loadProvider(block: unknown, options: LoadOptions = {}): ContainerdProvider | undefined {
  const resolved = resolveIsolation(block, options);
  return resolved && new ContainerdProvider(resolved);
}

function parseBlock(block: unknown): IsolationConfig {
  const findings: Findings = { unknown: [], wrong: [] };
  object({ isolation: isolationFields }, ['isolation']).check({ isolation: block }, '', findings);
  const faults = [...findings.unknown, ...findings.wrong];
  if (faults.length > 0) throw createInputError('configuration', faults);
  return block as IsolationConfig;
}

function checkProvider(value: string): NonNullable<IsolationConfig['provider']> {
  const known = PROVIDERS.find((name) => name === value);
  if (known !== undefined) return known;
  const expected = `one of ${PROVIDERS.join(', ')}`;
  throw createInputError('environment', [{ path: 'CADRE_ISOLATION_PROVIDER', value, expected }]);
}

/** A variable that is set to nothing is one that is not set. */
function readVariable(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  return env[name] || undefined;
}

const emitted = new Set<string>();

/** Says it once in the life of the process. */
export function emitOnce({ code, message }: Deprecation): void {
  if (emitted.has(code)) return;
  emitted.add(code);
  process.emitWarning(message, { type: 'DeprecationWarning', code });
}
