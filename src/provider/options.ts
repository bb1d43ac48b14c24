import { createInputError, DriverError, type Fault } from '../core/error.js';

/** How a provider is set up. */
export interface ProviderOptions {
  /** Reference of the image that sessions start from, such as `busybox:1.36`. */
  image: string;
  /** Socket of containerd, a path or a `unix://` URI. Defaults to CONTAINERD_ADDRESS, else /run/containerd/containerd.sock. */
  address?: string;
  /** containerd namespace. Defaults to CONTAINERD_NAMESPACE, else `cadre`. */
  namespace?: string;
  /** Defaults to `runc`. */
  runtime?: string;
  /** containerd's snapshotter. Defaults to `overlayfs`. */
  snapshotter?: string;
  /** Root-only directory for FIFOs, on a file system that has them. Defaults to /run/cadre-containerd. */
  stateRoot?: string;
}

export type ResolvedOptions = Required<ProviderOptions>;

const keys: (keyof ProviderOptions)[] = ['image', 'address', 'namespace', 'runtime', 'snapshotter', 'stateRoot'];
const identifier = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;

/** Completes and checks the options; every fault is reported at once. */
export function resolveOptions(options: ProviderOptions, env: NodeJS.ProcessEnv = process.env): ResolvedOptions {
  const resolved: ResolvedOptions = {
    image: options.image,
    address: options.address ?? env.CONTAINERD_ADDRESS ?? '/run/containerd/containerd.sock',
    namespace: options.namespace ?? env.CONTAINERD_NAMESPACE ?? 'cadre',
    runtime: options.runtime ?? 'runc',
    snapshotter: options.snapshotter ?? 'overlayfs',
    stateRoot: options.stateRoot ?? '/run/cadre-containerd',
  };
  const faults: Fault[] = [];
  for (const key of Object.keys(options)) {
    if (!keys.includes(key as keyof ProviderOptions)) {
      faults.push({ path: key, value: options[key as keyof ProviderOptions], expected: `one of ${keys.join(', ')}` });
    }
  }
  for (const key of keys) {
    if (typeof resolved[key] !== 'string' || resolved[key] === '') {
      faults.push({ path: key, value: resolved[key], expected: 'a text that is not empty' });
    }
  }
  // The grammar and the length are those of containerd's identifiers.
  for (const key of ['namespace', 'snapshotter'] as const) {
    const value = resolved[key];
    if (typeof value === 'string' && value !== '' && !(identifier.test(value) && value.length <= 76)) {
      faults.push({ path: key, value, expected: 'at most 76 letters and digits, with single . _ - between them' });
    }
  }
  if (typeof resolved.stateRoot === 'string' && !resolved.stateRoot.startsWith('/')) {
    faults.push({ path: 'stateRoot', value: resolved.stateRoot, expected: 'an absolute path' });
  }
  if (faults.length > 0) throw createInputError('provider options', faults);
  return resolved;
}

/** Says in one sentence what is missing where containerd cannot be. */
export function assertHost(): void {
  if (process.platform !== 'linux') {
    throw new DriverError('failed-precondition', `sessions need Linux with containerd, this is ${process.platform}`);
  }
  if (process.getuid?.() !== 0) {
    throw new DriverError('failed-precondition', 'sessions need root: containerd, its FIFOs and cgroups are root-only');
  }
}
