import { homedir } from 'node:os';
import { join } from 'node:path';
import { accept, checkOptions, dictionary, hide, object, type Rule, TIMER_MS } from '../../policy/rule.js';
import { absolutePath, whole } from '../../policy/schema.js';

/** Who asks a registry. */
export interface RegistryCredentials {
  /** As the registry knows it. */
  username: string;
  /** Or a token. It is in no message and no log. */
  password: string;
}

/** How registries are reached. */
export interface RegistryOptions {
  /** Configuration of single registries in containerd's form, `HOST/hosts.toml`. Defaults to /etc/containerd/certs.d. */
  hostsDirectory?: string;
  /**
   * Docker's configuration file, for its credentials and credential helpers. Defaults to `$DOCKER_CONFIG/config.json`,
   * else `~/.docker/config.json`.
   */
  dockerConfig?: string;
  /** Credentials by registry host, `registry.example:5000`, before those of Docker's configuration. */
  credentials?: Record<string, RegistryCredentials>;
  /** Registry hosts that may be spoken to without TLS. Loopback addresses may be in any case. */
  plainHttp?: readonly string[];
  /** How often a failed request is tried again. Defaults to 5, which with the growing pauses takes about 6 s. */
  retries?: number;
  /** Ms without an answer, or with next to no bytes, after which a request counts as failed. Defaults to 30,000. */
  stallTimeoutMs?: number;
}

export type ResolvedRegistryOptions = Required<RegistryOptions>;

const HOST = /^[^/\s@]+$/;
const aString = accept((value) => typeof value === 'string', 'a text');

const keys: Record<keyof RegistryOptions, Rule> = {
  hostsDirectory: absolutePath,
  dockerConfig: absolutePath,
  credentials: hide(
    dictionary(
      HOST,
      'a registry host, with its port if it has one',
      object({ username: aString, password: aString }, ['username', 'password']),
    ),
  ),
  plainHttp: accept(
    (value) => Array.isArray(value) && value.every((host) => typeof host === 'string' && HOST.test(host)),
    'an array of registry hosts, each with its port if it has one',
  ),
  retries: whole(0, 100),
  stallTimeoutMs: whole(1, TIMER_MS),
};

export const registryRule = object(keys);

/** Completes the options. Throws `invalid-argument` that names every fault. */
export function resolveRegistryOptions(
  options: RegistryOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): ResolvedRegistryOptions {
  checkOptions('registry options', options, keys);
  const {
    hostsDirectory = '/etc/containerd/certs.d',
    dockerConfig = join(env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json'),
    credentials = {},
    plainHttp = [],
    retries = 5,
    stallTimeoutMs = 30_000,
  } = options;
  return { hostsDirectory, dockerConfig, credentials, plainHttp, retries, stallTimeoutMs };
}
