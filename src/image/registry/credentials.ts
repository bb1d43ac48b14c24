import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { isAbsent } from '../../core/absent.js';
import { DriverError } from '../../core/error.js';
import type { ResolvedRegistryOptions } from './options.js';

/** What a registry host is shown. A secret: never in a message, a label or a name. */
export interface Credentials {
  username: string;
  password: string;
  /** To be exchanged for access tokens instead of the password (OAuth 2). */
  refreshToken?: string;
  /** To be shown to the registry as it is. */
  accessToken?: string;
}

const HELPER_MS = 30_000;
const DOCKER_HUB = 'https://index.docker.io/v1/';
const operation = 'read registry credentials';

/**
 * The credentials for a registry host: the caller's, else those of Docker's configuration file: of the host's own
 * helper (`credHelpers`), of the common one (`credsStore`), or in the file (`auths`). Undefined when there are none.
 */
export async function findCredentials(
  host: string,
  { credentials, dockerConfig }: Pick<ResolvedRegistryOptions, 'credentials' | 'dockerConfig'>,
): Promise<Credentials | undefined> {
  const given = Object.entries(credentials).find(([name]) => reduceHost(name) === reduceHost(host))?.[1];
  if (given !== undefined) return given;
  const config = await readConfig(dockerConfig);
  const helper = pick(config.credHelpers, host) ?? config.credsStore;
  if (typeof helper === 'string' && helper !== '') {
    const found = await askHelper(helper, reduceHost(host) === 'docker.io' ? DOCKER_HUB : host);
    if (found !== undefined) return found;
  }
  return readAuth(pick(config.auths, host), host, dockerConfig);
}

/** `https://index.docker.io/v1/` -> `docker.io`: the forms under which a host is written. */
function reduceHost(name: string): string {
  const host = name.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}

function pick(table: unknown, host: string): unknown {
  if (typeof table !== 'object' || table === null) return undefined;
  return Object.entries(table).find(([name]) => reduceHost(name) === reduceHost(host))?.[1];
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (isAbsent(cause)) return '{}';
    throw new DriverError('failed-precondition', `${path} cannot be read: ${cause.code}`, { operation, cause });
  });
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === 'object' && config !== null) return config as Record<string, unknown>;
  } catch {
    // The parser's message quotes the text, which holds secrets.
  }
  throw new DriverError('failed-precondition', `${path} is not the JSON of Docker's configuration`, { operation });
}

function readAuth(entry: unknown, host: string, path: string): Credentials | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { auth, username, password, identitytoken, registrytoken } = entry as Record<string, unknown>;
  const tokens = {
    ...(isText(identitytoken) ? { refreshToken: identitytoken } : {}),
    ...(isText(registrytoken) ? { accessToken: registrytoken } : {}),
  };
  if (isText(username) && isText(password)) return { username, password, ...tokens };
  if (isText(auth)) {
    const decoded = Buffer.from(auth, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon > 0) {
      return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, ''), ...tokens };
    }
    const message = `${path}: auths of ${host} is not the base64 of a user name, a colon and a password`;
    throw new DriverError('failed-precondition', message, { operation });
  }
  return Object.keys(tokens).length === 0 ? undefined : { username: '', password: '', ...tokens };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Docker's protocol of helpers: the host on stdin, JSON on stdout. Whatever a helper prints may hold the secret. */
async function askHelper(name: string, host: string): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new DriverError('failed-precondition', "a credential helper of Docker's configuration has no plain name", {
      operation,
    });
  }
  const program = `docker-credential-${name}`;
  const { code, stdout } = await runHelper(program, host);
  if (code !== 0) {
    if (/credentials not found/i.test(stdout)) return undefined;
    throw new DriverError('failed-precondition', `${program} failed for ${host}: exit code ${code}`, { operation });
  }
  try {
    const { Username: username, Secret: secret } = JSON.parse(stdout) as Record<string, unknown>;
    if (typeof username === 'string' && isText(secret)) {
      return username === '<token>'
        ? { username: '', password: '', refreshToken: secret }
        : { username, password: secret };
    }
  } catch {
    // As above.
  }
  throw new DriverError('failed-precondition', `${program} gave no user name and secret for ${host}`, { operation });
}

function runHelper(program: string, host: string): Promise<{ code: number; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, ['get'], { timeout: HELPER_MS, maxBuffer: 1024 * 1024 }, (error, stdout) => {
      if (error === null) return resolve({ code: 0, stdout });
      if (typeof error.code === 'number') return resolve({ code: error.code, stdout });
      const reason = error.killed === true ? `no answer in ${HELPER_MS} ms` : String(error.code);
      reject(new DriverError('failed-precondition', `${program} cannot be run: ${reason}`, { operation }));
    });
    // One that does not read its input has its exit code to say why.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(host);
  });
}
