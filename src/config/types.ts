import type { FlatPolicy, Layer } from '../policy/types.js';
import type { ProviderOptions } from '../provider/options.js';

/** The framework's `isolation` block, with all the names that it ever had. */
export interface IsolationConfig {
  /** Defaults to true. With false no provider is chosen. */
  enabled?: boolean;
  /** Defaults to `containerd`, of which `container` is another name. The others are old: see docs/migrating.md. */
  provider?: 'container' | 'containerd' | 'docker' | 'kata';
  /** How the provider is set up. `image` is required in it, unless an old key names one. */
  containerOptions?: ContainerConfig;
  /** Profile of every policy that names none. Defaults to `default`. */
  policyProfile?: string;
  /** Profiles beside the built-in ones. */
  policyProfiles?: Record<string, Layer & FlatPolicy>;
  /** Above the profile and below the policy of each session. */
  policy?: Layer & FlatPolicy;
  /** Old: `containerOptions`. */
  dockerOptions?: { image?: string; extraArgs?: string[] };
  /** Old: `containerOptions`. */
  kata?: { runtimePath?: string; image?: string; backend?: string };
  /** Old: `containerOptions.image`. */
  dockerImage?: string;
  /** For the framework's own choice: a provider that cannot honour a policy says so in either case. */
  allowFallbackToHost?: boolean;
}

type Carried = Omit<ProviderOptions, 'image' | 'audit' | 'hostEnv' | 'registry' | 'profile' | 'profiles' | 'policy'>;

/** The options of a provider that a file can carry; `address` may be `auto`, for the socket that is found on this host. */
export interface ContainerConfig extends Carried {
  /** Required, here or under an old name. */
  image?: string;
  /** Old, and ignored: no command line tool is called. */
  cli?: 'docker' | 'nerdctl';
}

/** Tells of one old key: what it is called now, with a code of its own for `process.on('warning')`. */
export interface Deprecation {
  /** Such as `CADRE_CONTAINERD_DOCKER`; docs/migrating.md has them all. */
  code: string;
  /** Names the old key and the new one. */
  message: string;
}
