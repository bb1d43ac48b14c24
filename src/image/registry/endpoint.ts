import { isIPv4 } from 'node:net';

export type Capability = 'pull' | 'resolve' | 'push';

export interface TlsSettings {
  /** PEM, besides those that the machine trusts. */
  ca: string[];
  /** PEM of client certificates with their keys. */
  certificates: { cert: string; key: string }[];
  skipVerify: boolean;
}

/** One place where a registry's images are to be had: the registry itself or a mirror. */
export interface Endpoint {
  /** Where paths such as `/team/app/manifests/1` are appended: `https://registry.example/v2`. */
  base: URL;
  capabilities: readonly Capability[];
  tls: TlsSettings;
  /** Sent with every request to this host. */
  headers: Record<string, string>;
  connectTimeoutMs: number;
  /** True when the scheme is a guess, to be made sure of. */
  isGuess: boolean;
}

export const CONNECT_MS = 30_000;
export const NO_TLS: TlsSettings = { ca: [], certificates: [], skipVerify: false };
export const ALL: readonly Capability[] = ['pull', 'resolve', 'push'];

/** True for a host, with or without a port, that is this machine itself. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (isIPv4(name)) return name.startsWith('127.');
  return name === '::1' || name === 'localhost' || name.endsWith('.localhost');
}

/** For messages: without the query, where storage services carry their signatures. */
export function describeUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/**
 * True where the address alone is enough to be served as we are: without certificates, headers or proxies of ours, for
 * whatever is asked.
 */
export function isCommon(
  { base, capabilities, tls, headers }: Endpoint,
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  const proxies = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'].filter((name) => (env[name] ?? '') !== '');
  return (
    base.pathname === '/v2' &&
    capabilities.length === ALL.length &&
    [...tls.ca, ...tls.certificates, ...Object.keys(headers)].length === 0 &&
    !tls.skipVerify &&
    (isLoopback(base.host) || proxies.length === 0)
  );
}
