import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isAbsent } from '../../core/absent.js';
import { DriverError, formatValue } from '../../core/error.js';
import { ALL, type Capability, CONNECT_MS, type Endpoint, isLoopback, type TlsSettings } from './endpoint.js';
import type { ResolvedRegistryOptions } from './options.js';

type Options = Pick<ResolvedRegistryOptions, 'hostsDirectory' | 'plainHttp'>;
type Table = Record<string, unknown>;

const FILE = 'hosts.toml';
const fields = ['capabilities', 'ca', 'client', 'skip_verify', 'header', 'override_path', 'dial_timeout'];
const operation = 'read registry configuration';

/**
 * Where a registry is reached: its mirrors in the order of `hosts.toml`, then the registry itself. The file is
 * looked for as containerd does: `HOST_PORT_`, then `HOST:PORT`, then `_default`. A directory without the file may hold
 * `*.crt` (CA) and pairs of `*.cert` and `*.key` (client), as Docker has them. Throws `failed-precondition` that names
 * the file and the field which cannot be honoured.
 */
export async function readEndpoints(registry: string, options: Options): Promise<Endpoint[]> {
  const underscored = registry.replace(/:(\d+)$/, '_$1_');
  for (const name of new Set([underscored, registry, '_default'])) {
    const directory = join(options.hostsDirectory, name);
    const names = await listDirectory(directory);
    if (names === undefined) continue;
    if (names.includes(FILE)) return await readHostsFile(registry, directory, options);
    return [makeEndpoint(registry, undefined, { tls: await readCertificates(directory, names) }, options)];
  }
  return [makeEndpoint(registry, undefined, {}, options)];
}

async function readHostsFile(registry: string, directory: string, options: Options): Promise<Endpoint[]> {
  const path = join(directory, FILE);
  const text = await readPem(path);
  const { parse } = await import('smol-toml');
  let file: Table;
  try {
    file = parse(text) as Table;
  } catch (cause) {
    // Only the first line: the rest of the parser's message quotes the file, which may hold header secrets.
    const [reason = ''] = (cause as Error).message.split('\n');
    throw refuse(`${path} is not TOML: ${reason}`);
  }
  const { server, host = {}, ...own } = file;
  const endpoints: Endpoint[] = [];
  for (const [url, table] of Object.entries(expectTable(host, `${path}: host`))) {
    const where = `${path}: host ${formatValue(redactUrl(url))}`;
    endpoints.push(makeEndpoint(registry, url, await readTable(expectTable(table, where), directory, where), options));
  }
  if (server !== undefined && typeof server !== 'string') throw refuse(`${path}: server is not a text`);
  endpoints.push(makeEndpoint(registry, server, await readTable(own, directory, path), options));
  return endpoints;
}

interface Settings {
  capabilities?: Capability[];
  tls?: TlsSettings;
  headers?: Record<string, string>;
  overridePath?: boolean;
  connectTimeoutMs?: number;
}

function makeEndpoint(registry: string, given: string | undefined, settings: Settings, options: Options): Endpoint {
  const { capabilities = ALL, tls, headers = {}, overridePath = false, connectTimeoutMs = CONNECT_MS } = settings;
  const text = given ?? registry;
  const hasScheme = /^https?:\/\//.test(text);
  let base: URL;
  try {
    base = new URL(hasScheme ? text : `https://${text}`);
  } catch (cause) {
    throw refuse(`the host ${formatValue(redactUrl(text))} of registry ${registry} is not a URL`, cause);
  }
  if (base.username !== '' || base.password !== '') {
    throw refuse(
      `the host ${base.host} of registry ${registry} has credentials in its URL: use Docker's configuration`,
    );
  }
  // Docker's registry has a name of its own for the API.
  if (base.host === 'docker.io' || base.host === 'index.docker.io') base.host = 'registry-1.docker.io';
  const isPlainAsked = options.plainHttp.some((host) => host === base.host || host === registry);
  if (!hasScheme && isPlainAsked) base.protocol = 'http:';
  const path = base.pathname.replace(/\/+$/, '');
  base.pathname = overridePath || path.endsWith('/v2') ? path : `${path}/v2`;
  return {
    base,
    capabilities,
    tls: tls ?? { ca: [], certificates: [], skipVerify: false },
    headers,
    connectTimeoutMs,
    isGuess: !hasScheme && !isPlainAsked && tls === undefined && isLoopback(base.host),
  };
}

async function readTable(table: Table, directory: string, where: string): Promise<Settings> {
  const unknown = Object.keys(table).find((key) => !fields.includes(key));
  if (unknown !== undefined) throw refuse(`${where}: ${unknown} is not one of ${fields.join(', ')}`);
  const { capabilities, ca, client, skip_verify: skipVerify = false, header = {} } = table;
  const { override_path: overridePath = false, dial_timeout: dialTimeout } = table;
  if (typeof skipVerify !== 'boolean') throw refuse(`${where}: skip_verify is not true or false`);
  if (typeof overridePath !== 'boolean') throw refuse(`${where}: override_path is not true or false`);
  const read = (name: string) => readPem(resolve(directory, name));
  const hasTls = ca !== undefined || client !== undefined || skipVerify;
  return {
    ...(capabilities === undefined ? {} : { capabilities: readCapabilities(capabilities, where) }),
    ...(hasTls
      ? {
          tls: {
            ca: await Promise.all(readTexts(ca, `${where}: ca`).map(read)),
            certificates: await Promise.all(
              readPairs(client, `${where}: client`).map(async ([cert, key]) => ({
                cert: await read(cert),
                key: await read(key),
              })),
            ),
            skipVerify,
          },
        }
      : {}),
    headers: Object.fromEntries(
      Object.entries(expectTable(header, `${where}: header`)).map(([name, value]) => [
        name.toLowerCase(),
        readTexts(value, `${where}: header ${name}`).join(', '),
      ]),
    ),
    overridePath,
    ...(dialTimeout === undefined ? {} : { connectTimeoutMs: parseDuration(dialTimeout, where) }),
  };
}

function readCapabilities(value: unknown, where: string): Capability[] {
  return readTexts(value, `${where}: capabilities`).map((name) => {
    const known = ALL.find((capability) => capability === name);
    if (known === undefined) throw refuse(`${where}: capability ${formatValue(name)} is not one of ${ALL.join(', ')}`);
    return known;
  });
}

/** One text or a list of them. */
function readTexts(value: unknown, where: string): string[] {
  const items = value === undefined ? [] : Array.isArray(value) ? value : [value];
  if (items.every((item): item is string => typeof item === 'string')) return items;
  throw refuse(`${where} is neither a text nor a list of texts`);
}

/** A file with both, a list of such files, or a list of pairs of certificate and key. */
function readPairs(value: unknown, where: string): [string, string][] {
  const items: unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value];
  return items.map((item) => {
    const [cert, key, ...more] = readTexts(item, where);
    if (cert === undefined || more.length > 0) throw refuse(`${where} is not a certificate and its key`);
    return [cert, key || cert];
  });
}

/** Go's form: `1.5s`, `1m30s`, `300ms`. */
function parseDuration(value: unknown, where: string): number {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (typeof value === 'string' && /^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) {
    return [...value.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce(
      (sum, [, count = '', unit = '']) => sum + Number(count) * (units[unit] ?? 0),
      0,
    );
  }
  throw refuse(`${where}: dial_timeout is not a duration such as "5s"`);
}

async function readCertificates(directory: string, names: string[]): Promise<TlsSettings> {
  const read = (name: string) => readPem(join(directory, name));
  const pairs = names.filter((name) => name.endsWith('.cert') && names.includes(name.replace(/cert$/, 'key')));
  return {
    ca: await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read)),
    certificates: await Promise.all(
      pairs.map(async (name) => ({ cert: await read(name), key: await read(name.replace(/cert$/, 'key')) })),
    ),
    skipVerify: false,
  };
}

async function listDirectory(directory: string): Promise<string[] | undefined> {
  try {
    return (await readdir(directory)).sort();
  } catch (cause) {
    if (isAbsent(cause)) return undefined;
    throw refuse(`${directory} cannot be read: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw refuse(`${path} cannot be read: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
}

function expectTable(value: unknown, where: string): Table {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table;
  throw refuse(`${where} is not a table`);
}

function redactUrl(text: string): string {
  return text.replace(/\/\/[^/@]*@/, '//');
}

function refuse(message: string, cause?: unknown): DriverError {
  return new DriverError('failed-precondition', message, { operation, cause });
}
